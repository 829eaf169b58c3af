"""The look-up of stored pictures (8 and 16 bits) on a CUDA device: plans the launches of `lut3d.cu`.

A picture is looked up by one of three ways. `cells`: 8 bits, tables of 2, 3, 5, 9, 17 or 33 nodes whose range is
at most about two: 48 bytes a cell, integers, within 1/128 of a code of the exact value. `texture`: the same corners
through the texture unit. `nodes`: any table, 8 and 16 bits, float32. Left to itself it takes cells where they fit; that
is decided on the device, so nothing waits for the host.
It checks no arguments; that is `kernels.ops`. Source: Zeng et al., TPAMI 2022, equation of the trilinear look-up.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from kernels.cuda import loader
from kernels.cuda.launches import aligned, blocks

Way = Literal["cells", "nodes", "texture"]

SOURCE = "lut3d/lut3d.cu"
THREADS = 256
RANGE_THREADS = 1024
TILE_BYTES = 1536  # a warp
BLOCK_BYTES = TILE_BYTES * THREADS // 32
CELLS = 32  # on an axis
CELL_BYTES = 48


@dataclass(frozen=True)
class Table:
    """A table as the kernels read it. Kept by who looks up many pictures by one table; it is bound to its device."""

    nodes: int
    stored_range: Tensor  # (2,) float32: low, and the bits as an integer; read where cells or texels are
    entries: Tensor  # (D, D, D, 4) float32
    cells: Tensor | None
    texels: Tensor | None
    texture: Any  # cuda.core TextureObject, or None
    stream: Any  # torch's, on which it was written; None off the device

    def is_tame(self) -> bool:
        """Whether its range fits cells and texels; waits for the device."""
        fits = self.cells is not None or self.texels is not None
        return fits and int(self.stored_range.view(torch.int32)[1]) > 0


def lut3d_apply(picture: Tensor, lut: Tensor, path: Way | None = None) -> Tensor:
    """picture (..., 3) uint8 or uint16, lut (3, D, D, D), or with a batch (N, 3, D, D, D), floating -> a new picture.

    Raises ValueError where `path` is given and cannot serve the table within its bound.
    """
    if picture.dtype == torch.uint16 and path is None:
        path = "nodes"
    if lut.dim() == 4:
        return look_up(picture, prepare(lut, path))
    if picture.numel() == 0:
        return torch.empty_like(picture)
    pictures = [look_up(one, prepare(table, path)) for one, table in zip(picture, lut, strict=True)]
    return torch.stack([one.view(torch.uint8) for one in pictures]).view(picture.dtype)  # not every torch stacks uint16


def prepare(lut: Tensor, path: Way | None = None) -> Table:
    """Writes the table as `path` reads it; a path that is given and does not fit it raises ValueError."""
    nodes = lut.shape[-1]
    lut = lut.detach().float().contiguous()
    with_cells = path in (None, "cells") and cells_fit(nodes)
    with_texels = path == "texture" and cells_fit(nodes)
    stored_range = torch.empty(2, dtype=torch.float32, device=lut.device)
    entries = torch.empty((nodes, nodes, nodes, 4), dtype=torch.float32, device=lut.device)
    cells = _empty_bytes(CELLS**3 * CELL_BYTES, lut.device) if with_cells else None
    texels = _empty_bytes((2 * CELLS) ** 3 * 8, lut.device) if with_texels else None

    def run(kernel: str, count: int, threads: int, *arguments: loader.Argument) -> None:
        loader.launch(SOURCE, kernel, (count,), threads, *arguments, device=lut.device)

    if with_cells or with_texels:
        run("lut3d_range", 1, RANGE_THREADS, lut, nodes, stored_range)
    items = max(nodes**3, 3 * CELLS**3 if with_cells else 0)
    run("lut3d_pack", blocks(items, THREADS), THREADS, lut, nodes, stored_range, entries, 0 if cells is None else cells)
    if texels is not None:
        run("lut3d_texels", blocks((2 * CELLS) ** 3, THREADS), THREADS, lut, nodes, stored_range, texels)
    table = Table(nodes, stored_range, entries, cells, texels, None, _current_stream(lut.device))
    if path in ("cells", "texture") and not table.is_tame():
        raise ValueError(f"path {path} serves tables of 2, 3, 5, 9, 17 or 33 nodes and a range of at most about two")
    return table if texels is None else _with_texture(table, texels)


def look_up(picture: Tensor, table: Table) -> Tensor:
    """picture (..., 3) uint8 or uint16 -> a new picture."""
    picture = aligned(picture)
    out = torch.empty_like(picture)
    size_bytes = picture.numel() * picture.element_size()
    if size_bytes == 0:
        return out
    _wait_for(table, picture.device)
    rest: tuple[loader.Argument, ...]
    if picture.dtype == torch.uint16:
        kernel, rest = "lut3d_u16", (table.nodes, table.entries)
    elif table.texture is not None:
        kernel, rest = "lut3d_u8_texture", (int(table.texture.handle), table.stored_range)
    else:
        cells = 0 if table.cells is None else table.cells
        kernel, rest = "lut3d_u8", (table.nodes, table.stored_range, table.entries, cells)
    grid = (blocks(size_bytes, BLOCK_BYTES),)
    loader.launch(SOURCE, kernel, grid, THREADS, picture, out, size_bytes, *rest, device=picture.device)
    return out


def cells_fit(nodes: int) -> bool:
    return 2 <= nodes <= CELLS + 1 and CELLS % (nodes - 1) == 0


def _empty_bytes(size: int, device: torch.device) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device=device)


def _current_stream(device: torch.device) -> Any:
    return torch.cuda.current_stream(device) if device.type == "cuda" else None


def _wait_for(table: Table, device: torch.device) -> None:
    """A table may be written on one stream and read on another. A capture begins with the device at rest."""
    stream = _current_stream(device)
    if stream == table.stream or torch.cuda.is_current_stream_capturing():
        return
    stream.wait_stream(table.stream)
    for tensor in (table.stored_range, table.entries, table.cells):
        if tensor is not None:
            tensor.record_stream(stream)


def _with_texture(table: Table, texels: Tensor) -> Table:
    """Copies the texels to an array of the texture unit, (blue, green, red) of four 16-bit values from 0 to 1."""
    core = importlib.import_module("cuda.core")
    texture = importlib.import_module("cuda.core.texture")
    side = 2 * CELLS
    with torch.cuda.device(texels.device):
        device = loader.make_current(texels.device)
        array = device.create_opaque_array(
            texture.OpaqueArrayOptions(shape=(side, side, side), format="uint16", num_channels=4)
        )
        stream = device.create_stream(loader.CurrentStream(texels.device))
        array.copy_from(core.Buffer.from_handle(texels.data_ptr(), texels.numel(), owner=texels), stream=stream)
        handle = device.create_texture_object(
            resource=texture.ResourceDescriptor.from_opaque_array(array),
            options=texture.TextureObjectOptions(filter_mode="linear", read_mode="normalized_float"),
        )
    return replace(table, texture=handle)
