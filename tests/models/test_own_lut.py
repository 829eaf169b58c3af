"""Putting colours through what a .cube file holds, against the definition written out in float64."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kernels import ops
from kernels.reference.lut3d import identity_lut
from models import own_lut
from models.cube import Cube, read_cube
from tests.models.test_cube import INVERTING, random_cube, random_text

Pixels = NDArray[np.unsignedinteger[Any]]


def picture(dtype: type[np.unsignedinteger[Any]], seed: int = 1) -> Pixels:
    top = np.iinfo(dtype).max
    pixels: Pixels = np.random.default_rng(seed).integers(0, top, (23, 31, 3), endpoint=True).astype(dtype)
    pixels[0, :2] = [[0, 0, 0], [top, top, top]]
    return pixels


def by_definition(cube: Cube, pixels: Pixels, strength: float = 1.0) -> NDArray[np.float64]:
    """Each colour by itself: clamp, curve, clamp, eight corners; then strength, as codes that are not yet rounded."""
    top = np.iinfo(pixels.dtype).max
    rows = np.frombuffer(cube.numbers, np.float32).reshape(-1, 3).astype(np.float64)
    curves, table = rows[: cube.nodes_1d], rows[cube.nodes_1d :].reshape((*(cube.nodes_3d,) * 3, 3))
    colours = pixels.astype(np.float64) / top
    found = colours.copy()
    if cube.nodes_1d:
        for c in range(3):
            nodes = np.linspace(cube.domain_1d[0][c], cube.domain_1d[1][c], cube.nodes_1d)
            found[..., c] = np.interp(found[..., c], nodes, curves[:, c])
    if cube.nodes_3d:
        low, high = np.array(cube.domain_3d)
        place = (found.clip(low, high) - low) / (high - low) * (cube.nodes_3d - 1)
        cell = np.minimum(place.astype(int), cube.nodes_3d - 2)
        part = place - cell
        found = np.zeros_like(found)
        for far in product((0, 1), repeat=3):
            r, g, b = (cell + far).transpose(2, 0, 1)
            weight = np.where(far, part, 1 - part).prod(-1)
            found += weight[..., None] * table[b, g, r]
    return np.clip(top * (colours + strength * (found - colours)), 0, top)


def test_the_table_of_the_dialect_with_curves_before_it_inverts_twice() -> None:
    cube = read_cube(INVERTING.encode())
    assert (cube.nodes_1d, cube.nodes_3d, cube.is_plain) == (6, 2, False)
    for dtype in (np.uint8, np.uint16):
        pixels = picture(dtype)
        assert np.array_equal(own_lut.look_up(cube, 1.0)(pixels), pixels)


KINDS = {
    "curves": (17, 0, ""),
    "curves of two nodes": (2, 0, ""),
    "curves over a domain inside 0 to 1": (9, 0, "DOMAIN_MIN 0.2 0.3 0\nDOMAIN_MAX 0.9 0.5 1"),
    "curves over a larger domain": (65, 0, "LUT_1D_INPUT_RANGE -0.5 4"),
    "a table": (0, 9, ""),
    "a table over a domain inside 0 to 1": (0, 5, "DOMAIN_MIN 0.2 0.3 0\nDOMAIN_MAX 0.9 0.5 1"),
    "a table over a larger domain": (0, 17, "LUT_3D_INPUT_RANGE -0.5 4"),
    "curves before a table": (33, 9, ""),
    "curves before a table, both over domains": (33, 5, "LUT_1D_INPUT_RANGE -1 1.5\nLUT_3D_INPUT_RANGE 0.1 0.8"),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_is_its_definition(kind: str, strength: float, dtype: type) -> None:
    cube, pixels = random_cube(*KINDS[kind]), picture(dtype)
    found = own_lut.look_up(cube, strength)(pixels)
    assert (found.dtype, found.shape) == (pixels.dtype, pixels.shape)
    # Half a code of rounding, and what float32 places lose: some 1e-6 of the steepest cell.
    slack = 0.5 + (1e-3 if dtype == np.uint8 else 0.25)
    assert np.abs(found - by_definition(cube, pixels, strength)).max() <= slack


@pytest.mark.parametrize("kind", KINDS)
def test_strength_nought_changes_nothing(kind: str) -> None:
    for dtype in (np.uint8, np.uint16):
        pixels = picture(dtype)
        assert np.array_equal(own_lut.look_up(random_cube(*KINDS[kind]), 0.0)(pixels), pixels)


def test_curves_of_8_bits_are_exactly_rounded() -> None:
    cube, pixels = random_cube(1024, 0), picture(np.uint8)
    expected = np.floor(by_definition(cube, pixels) + 0.5)
    assert np.array_equal(own_lut.look_up(cube, 1.0)(pixels), expected)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_plain_table_is_an_ordinary_one_and_agrees_with_the_general_way(strength: float) -> None:
    cube, pixels = random_cube(0, 33), picture(np.uint8)
    table = own_lut.table_of(cube, strength)
    assert torch.allclose(table, torch.lerp(identity_lut(33), own_lut.table_of(cube), strength))
    through_kernel = ops.lut3d_apply(torch.from_numpy(pixels), table).numpy().astype(int)
    assert np.abs(through_kernel - own_lut.look_up(cube, strength)(pixels)).max() <= 1


def test_a_table_over_another_domain_has_no_strength_of_its_own() -> None:
    with pytest.raises(ValueError, match="no identity"):
        own_lut.table_of(random_cube(0, 3, "DOMAIN_MAX 2 2 2"), 0.5)


def test_an_identity_over_a_larger_domain_is_the_identity() -> None:
    rows = "".join(f"{r} {g} {b}\n" for b, g, r in product((-1, 0.5, 2), repeat=3))
    cube = read_cube(f"LUT_3D_SIZE 3\nDOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 2 2 2\n{rows}".encode())
    for dtype in (np.uint8, np.uint16):
        assert np.array_equal(own_lut.look_up(cube, 1.0)(picture(dtype)), picture(dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_opencolorio_reads_the_same_table_and_finds_the_same_colours(kind: str, tmp_path: Path) -> None:
    colour = pytest.importorskip("PyOpenColorIO")
    text, pixels = random_text(*KINDS[kind]), picture(np.uint8)
    (tmp_path / "t.cube").write_text(text)
    transform = colour.FileTransform(str(tmp_path / "t.cube"), interpolation=colour.INTERP_LINEAR)
    depth = colour.BIT_DEPTH_F32
    processor = colour.Config.CreateRaw().getProcessor(transform)
    found = pixels.astype(np.float32) / 255
    processor.getOptimizedCPUProcessor(depth, depth, colour.OPTIMIZATION_LOSSLESS).applyRGB(found)
    assert np.abs(np.clip(found * 255, 0, 255) - own_lut.look_up(read_cube(text.encode()), 1.0)(pixels)).max() < 0.501
