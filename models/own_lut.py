"""A user's own table (`models.cube`) as something that pixels go through: curves, a table, or the curves before it.

A plain table, three-dimensional over 0 to 1, is an ordinary `lut` and goes the way of every other. For the rest, what
a code of each channel becomes before the table is computed once for all 256 or 65,536 codes; the look-up between nodes
then works in float32, and `strength` goes from the picture's own colours to those looked up. It reads no files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels import ops
from kernels.reference.lut3d import identity_lut
from models.cube import Cube, Domain

Array = NDArray[Any]
Floats = NDArray[np.float64]


def table_of(cube: Cube, strength: float = 1.0, device: torch.device | str = "cpu") -> Tensor:
    """The three-dimensional part, (3, D, D, D) float32; strength goes to the identity, which only a plain one has.

    Raises ValueError for a strength below 1 where the domain is not 0 to 1 or curves come first.
    """
    rows = np.frombuffer(cube.numbers, np.float32).reshape(-1, 3)[cube.nodes_1d :]
    size = cube.nodes_3d
    table = torch.from_numpy(rows.T.reshape(3, size, size, size).copy()).to(device)
    if strength == 1.0:
        return table
    if not cube.is_plain:
        raise ValueError("a table after curves or over another domain has no identity that is a table")
    return torch.lerp(identity_lut(size).to(table), table, strength)


def look_up(cube: Cube, strength: float, device: torch.device | str = "cpu") -> Callable[[Array], Array]:
    """What takes (h, w, 3) uint8 or uint16 to the same, for any table; rounded half up, as `lut3d_apply` does."""
    return _curve_look_up(cube, strength) if not cube.nodes_3d else _table_look_up(cube, strength, device)


def _curve_look_up(cube: Cube, strength: float) -> Callable[[Array], Array]:
    @cache
    def codes(dtype: np.dtype[Any]) -> Array:
        colours, curves = _ramp(dtype), _before_table(cube, dtype)
        return _codes(colours + strength * (curves - colours), dtype)

    return lambda band: cv2.merge(_each_channel(codes(band.dtype), band))


def _table_look_up(cube: Cube, strength: float, device: torch.device | str) -> Callable[[Array], Array]:
    table = table_of(cube, device=device)

    @cache
    def places(dtype: np.dtype[Any]) -> Array:
        return _before_table(cube, dtype).astype(np.float32)

    def through(band: Array) -> Array:
        at = torch.from_numpy(np.stack(_each_channel(places(band.dtype), band))[None])
        looked_up = ops.lut3d(at.to(device), table)[0].cpu().numpy()
        if strength != 1.0:
            looked_up = _blend(band, looked_up, strength)
        merged: Array = cv2.merge(list(_codes(looked_up, band.dtype)))
        return merged

    return through


def _blend(band: Array, looked_up: Array, strength: float) -> Array:
    """From the band's own colours to those looked up, (3, h, w), which it overwrites."""
    colours = np.stack(_each_channel(np.tile(_ramp(band.dtype).astype(np.float32), (3, 1)), band))
    looked_up -= colours
    looked_up *= np.float32(strength)
    looked_up += colours
    return looked_up


def _codes(colours: Array, dtype: np.dtype[Any]) -> Array:
    """Colours as codes, rounded half up; by numpy, since threads for so short a work would wait for each other."""
    top = colours.dtype.type(np.iinfo(dtype).max)
    codes: Array = colours * top
    codes += colours.dtype.type(0.5)
    return np.clip(codes, 0, top, out=codes).astype(dtype)


def _each_channel(curves: Array, band: Array) -> list[Array]:
    """Curves (3, levels) at the codes of a band (h, w, 3)."""
    return [np.take(curves[channel], band[..., channel]) for channel in range(3)]


def _ramp(dtype: np.dtype[Any]) -> Floats:
    """The colour of each code, 0 to 1."""
    top = np.iinfo(dtype).max
    return np.arange(top + 1, dtype=np.float64) / top


def _before_table(cube: Cube, dtype: np.dtype[Any]) -> Floats:
    """What each code becomes, (3, levels): by the curves, and where a table follows, its place there, 0 to 1."""
    colours = np.tile(_ramp(dtype), (3, 1))
    if cube.nodes_1d:
        curves = np.frombuffer(cube.numbers, np.float32)[: 3 * cube.nodes_1d].reshape(-1, 3).T.astype(np.float64)
        places = _place(colours, cube.domain_1d)
        colours = np.stack([_between_nodes(*pair) for pair in zip(curves, places, strict=True)])
    return _place(colours, cube.domain_3d) if cube.nodes_3d else colours


def _place(colours: Floats, domain: Domain) -> Floats:
    """Colours (3, n) clamped to a domain, 0 at its beginning and 1 at its end."""
    low, high = np.array(domain)[:, :, None]
    places: Floats = (colours.clip(low, high) - low) / (high - low)
    return places


def _between_nodes(curve: Floats, places: Floats) -> Floats:
    """A curve of any number of nodes at places of 0 to 1, linearly."""
    at = places * (len(curve) - 1)
    cell = np.minimum(at.astype(np.int64), len(curve) - 2)
    values: Floats = curve[cell] + (at - cell) * (curve[cell + 1] - curve[cell])
    return values
