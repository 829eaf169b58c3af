"""The look-up of stored pictures by the CUDA kernels against float64: on a processor by `cuda_on_host`, and the same
checks on a device (-m cuda).

Tolerances, as largest difference in code values, before the result is rounded:
    cells     1/128     half of what a stored value counts, which is 1/128 of a code or, for wide tables, 1/64
    texture   1/100     the same, and the rounding of the texture unit between two 16-bit values
    nodes     1e-3      float32 on values of some hundred codes (8 bits); 0.05 on some ten thousand (16 bits)
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.cuda import lut3d
from kernels.reference import lut3d as reference
from kernels.reference import lut3d_float as float_reference
from tests.kernels.draws import draw_codes, same_bits, steep_lut, tame_lut

SIDES = (1, 2, 17, 33, 129)
NODES = (2, 3, 17, 33, 65, 129)
CELL_NODES = (2, 3, 5, 9, 17, 33)
BOUNDS = {"cells": 1 / 128, "texture": 0.01, "nodes": 1e-3}
BOUND_16 = 0.05
INF = float("inf")


def exact_codes(picture: Tensor, lut: Tensor) -> Tensor:
    """What the look-up gives before it is rounded, float64, clamped to the codes."""
    top = torch.iinfo(picture.dtype).max
    colours = (picture.double() / top).reshape(1, -1, 1, 3).permute(0, 3, 1, 2)
    result = float_reference.lut3d(colours, lut.double()) * top
    return result.permute(0, 2, 3, 1).reshape(picture.shape).clamp(0, top)


def assert_rounds(got: Tensor, exact: Tensor, bound: float) -> None:
    assert got.shape == exact.shape
    assert (got.cpu().double() - exact).abs().max() <= 0.5 + bound


@pytest.mark.parametrize("path", ["cells", "texture", "nodes"])
@pytest.mark.parametrize("nodes", CELL_NODES)
def test_each_path_is_within_its_bound_of_float64(device: torch.device, nodes: int, path: Any) -> None:
    for lut in (tame_lut(nodes), steep_lut(nodes)):
        table = lut3d.prepare(lut.to(device), path)
        for side in SIDES:
            picture = draw_codes(torch.uint8, side, side + 1, 3)
            assert_rounds(lut3d.look_up(picture.to(device), table), exact_codes(picture, lut), BOUNDS[path])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("nodes", [*NODES, 20, 64])
def test_any_table_is_looked_up_without_asking_for_a_path(device: torch.device, nodes: int, dtype: torch.dtype) -> None:
    lut = tame_lut(nodes)
    fits = dtype == torch.uint8 and nodes in CELL_NODES
    bound = BOUNDS["cells"] if fits else BOUNDS["nodes"] if dtype == torch.uint8 else BOUND_16
    for side in SIDES:
        picture = draw_codes(dtype, side, side + 1, 3)
        got = lut3d.lut3d_apply(picture.to(device), lut.to(device))
        assert got.dtype == dtype
        assert_rounds(got, exact_codes(picture, lut), bound)


@pytest.mark.parametrize("nodes", CELL_NODES)
@pytest.mark.parametrize("path", ["cells", "texture"])
def test_every_code_of_an_axis_finds_its_cell(device: torch.device, path: Any, nodes: int) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    still = torch.full_like(codes, 131)
    pictures = [torch.stack(order, -1)[None] for order in ((codes, still, still), (still, codes, codes.flip(0)))]
    for lut, picture in product((steep_lut(nodes), reference.identity_lut(nodes)), pictures):
        got = lut3d.lut3d_apply(picture.to(device), lut.to(device), path)
        assert_rounds(got, exact_codes(picture, lut), BOUNDS[path])


@pytest.mark.parametrize("nodes", [2, 33, 65])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_identity_changes_no_value(device: torch.device, dtype: torch.dtype, nodes: int) -> None:
    values = torch.arange(torch.iinfo(dtype).max + 1)
    picture = torch.stack([values, values.flip(0), values.roll(7)], -1).reshape(16, -1, 3).to(dtype)
    assert same_bits(lut3d.lut3d_apply(picture.to(device), reference.identity_lut(nodes).to(device)).cpu(), picture)


@pytest.mark.parametrize("reach", [2.0, 3.0, 100.0, 1e6])
def test_steep_tables_stay_within_a_code(device: torch.device, reach: float) -> None:
    lut = steep_lut(17, reach) - reach / 2
    picture = draw_codes(torch.uint8, 40, 41, 3)
    exact = exact_codes(picture, lut)
    off = (lut3d.lut3d_apply(picture.to(device), lut.to(device)).cpu().double() - exact).abs()
    inside = (exact > 0) & (exact < 255)
    assert off[~inside].max() <= 0.5 + 1e-6 * 255 * reach
    assert off.max() <= (1 if reach <= 100 else 1e-6 * 255 * reach + 0.5)


def test_the_range_of_a_table_says_whether_cells_hold_it(device: torch.device) -> None:
    for low, high, tame in ((0, 1, True), (-0.5, 1.5, True), (0, 30, False), (40, 41, False), (-INF, 1, False)):
        lut = torch.full((3, 5, 5, 5), float(low), device=device)
        lut[1, 2, 3, 4] = high
        assert lut3d.prepare(lut).is_tame() is tame
    assert not lut3d.prepare(tame_lut(65).to(device)).is_tame()


def test_a_path_that_does_not_fit_the_table_is_refused(device: torch.device) -> None:
    for path, lut in product(("cells", "texture"), (tame_lut(20), 10 * tame_lut(17))):
        with pytest.raises(ValueError, match=f"path {path} serves tables of 2, 3, 5, 9, 17 or 33 nodes"):
            lut3d.prepare(lut.to(device), path)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_nothing_is_written_beyond_the_picture(
    device: torch.device, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of 1 to 1,100 pixels, so that every remainder of a tile and of 16 bytes comes up."""
    margin, mark = 4096, 171
    whole = torch.empty(0)

    def empty_like(picture: Tensor) -> Tensor:
        nonlocal whole
        size = picture.numel() * picture.element_size()
        whole = torch.full((size + 2 * margin,), mark, dtype=torch.uint8, device=device)
        return whole[margin : margin + size].view(dtype).view(picture.shape)

    monkeypatch.setattr(torch, "empty_like", empty_like)
    table = lut3d.prepare(tame_lut(3).to(device), "nodes")
    for pixels in (*range(1, 40), 255, 256, 257, 511, 512, 513, 1023, 1100):
        picture = draw_codes(dtype, 1, pixels, 3)
        got = lut3d.look_up(picture.to(device), table)
        assert_rounds(got, exact_codes(picture, tame_lut(3)), BOUND_16)
        assert (whole[:margin] == mark).all() and (whole[-margin:] == mark).all()


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_a_batch_equals_its_pictures_one_by_one(device: torch.device, dtype: torch.dtype, batch: int) -> None:
    pictures = draw_codes(dtype, batch, 17, 9, 3).to(device)
    tables = torch.stack([tame_lut(5) * (1 - k / 4) for k in range(3)])[:batch].to(device)
    shared, own = lut3d.lut3d_apply(pictures, tame_lut(5).to(device)), lut3d.lut3d_apply(pictures, tables)
    assert shared.shape == own.shape == pictures.shape
    for k in range(batch):
        assert same_bits(shared[k], lut3d.lut3d_apply(pictures[k], tame_lut(5).to(device)))
        assert same_bits(own[k], lut3d.lut3d_apply(pictures[k], tables[k]))


def test_views_of_any_stride_and_start_give_what_their_copies_give(device: torch.device) -> None:
    wide, lut = draw_codes(torch.uint8, 34, 41, 3).to(device), tame_lut(17).to(device)
    for view in (wide[1:], wide[::2, 3:33:3].transpose(0, 1), wide[3:, :, :]):
        assert same_bits(lut3d.lut3d_apply(view, lut), lut3d.lut3d_apply(view.clone(), lut))
    turned = lut.permute(0, 3, 1, 2)
    assert same_bits(lut3d.lut3d_apply(wide, turned), lut3d.lut3d_apply(wide, turned.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tables_of_any_floating_type_are_taken_as_float32(device: torch.device, dtype: torch.dtype) -> None:
    picture, lut = draw_codes(torch.uint8, 20, 21, 3).to(device), tame_lut(17).to(dtype).to(device)
    assert same_bits(lut3d.lut3d_apply(picture, lut), lut3d.lut3d_apply(picture, lut.float()))
