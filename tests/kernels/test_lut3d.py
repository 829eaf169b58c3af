"""The look-up table against its definition written out: eight corners, in float64. Each way to serve it: what is built
for the processor, and the reference.

Tolerances, as largest difference over the range of the table's values:
    float64   1e-12   both sides compute in float64
    float32   2e-6 * D   the place in the table, v (D - 1), carries an error of a few float32 steps that grows with D
    uint8     1 code value, and at most 1 in 1,000 differ: float32 lands on the other side of a half
    uint16    1 + D / 8 code values: the float32 error above times 65,535
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels import ops
from kernels.reference.lut3d import identity_lut

pytestmark = pytest.mark.usefixtures("implementation")

SIDES = (1, 2, 17, 33, 129)
NODES = (2, 3, 17, 33, 65, 129)


def eight_corners(picture: Tensor, lut: Tensor) -> Tensor:
    """(N, 3, H, W) and (3, D, D, D) or (N, 3, D, D, D), float64: the definition, one corner after the other."""
    nodes = lut.shape[-1]
    tables = lut if lut.dim() == 5 else lut.expand(len(picture), *lut.shape)
    place = torch.nan_to_num(picture, nan=0.0).clamp(0, 1) * (nodes - 1)
    cell = place.floor().clamp(max=nodes - 2).long()
    part = place - cell
    out = torch.zeros_like(picture)
    for n, table in enumerate(tables):
        for corner in range(8):
            step = [corner >> axis & 1 for axis in range(3)]  # red, green, blue
            index = [cell[n, axis] + step[axis] for axis in range(3)]
            weight = torch.ones_like(part[n, 0])
            for axis in range(3):
                weight = weight * (part[n, axis] if step[axis] else 1 - part[n, axis])
            out[n] += weight * table[:, index[2], index[1], index[0]]
    return out


def draw_lut(nodes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(nodes)
    return (identity_lut(nodes, torch.float64) + 0.2 * torch.randn(3, nodes, nodes, nodes, generator=generator)).to(
        dtype
    )


def draw_picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64) * 1.2 - 0.1


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("side", SIDES)
def test_the_float_look_up_equals_eight_corners_written_out(side: int, nodes: int) -> None:
    picture, lut = draw_picture(1, 3, side, side + 1), draw_lut(nodes)
    wanted = eight_corners(picture, lut)
    assert (ops.lut3d(picture, lut) - wanted).abs().max() < 1e-12
    single = ops.lut3d(picture.float(), lut.float())
    assert (single.double() - wanted).abs().max() < 2e-6 * nodes


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("side", SIDES)
def test_the_look_up_of_stored_pictures_rounds_half_up_and_clamps(side: int, dtype: torch.dtype, nodes: int) -> None:
    top = 255 if dtype == torch.uint8 else 65535
    lut = draw_lut(nodes, torch.float32)
    picture = (draw_picture(side, side + 1, 3).clamp(0, 1) * top).round().to(dtype)
    exact = eight_corners(picture.double().permute(2, 0, 1)[None] / top, lut.double())[0].permute(1, 2, 0)
    wanted = (exact * top + 0.5).clamp(0, top).floor()
    got = ops.lut3d_apply(picture, lut)
    assert got.dtype == dtype
    assert got.shape == picture.shape
    off = (got.double() - wanted).abs()
    assert off.max() <= (1 if top == 255 else 1 + nodes / 8)
    if top == 255:
        assert (off > 0).double().mean() <= 1e-3 or (off > 0).sum() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_identity_table_changes_no_value(dtype: torch.dtype) -> None:
    values = torch.arange(0, 65536 if dtype == torch.uint16 else 256, 1, dtype=torch.int32)
    picture = torch.stack([values, values.flip(0), values.roll(7)], -1).reshape(16, -1, 3).to(dtype)
    for nodes in (2, 33, 65):
        assert torch.equal(ops.lut3d_apply(picture, identity_lut(nodes)), picture)


def test_views_with_strides_give_what_their_copies_give() -> None:
    wide = (draw_picture(34, 40, 3).clamp(0, 1) * 255).to(torch.uint8)
    table = draw_lut(17, torch.float32)
    view, turned = wide[::2, 3:33:3].transpose(0, 1), table.permute(0, 3, 1, 2)
    assert not view.is_contiguous()
    got = ops.lut3d_apply(view, turned)
    assert torch.equal(got, ops.lut3d_apply(view.contiguous(), turned.contiguous()))
    picture = draw_picture(2, 9, 8, 3).permute(0, 3, 1, 2)
    assert torch.equal(ops.lut3d(picture, draw_lut(5)), ops.lut3d(picture.contiguous(), draw_lut(5)))


def test_pictures_larger_than_a_band_are_looked_up_whole() -> None:
    picture = torch.randint(0, 256, (700, 511, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    table = draw_lut(9, torch.float32)
    got = ops.lut3d_apply(picture, table)
    for rows in (slice(0, 3), slice(340, 343), slice(697, 700)):
        assert (got[rows].int() - ops.lut3d_apply(picture[rows], table).int()).abs().max() <= 1
    assert ops.lut3d_apply(picture[:0], table).shape == (0, 511, 3)


def test_values_outside_the_table_are_clamped_and_nan_counts_as_black() -> None:
    picture = torch.tensor([-1.0, 2.0, float("nan"), float("inf"), -float("inf")], dtype=torch.float64)
    table = draw_lut(4)
    got = ops.lut3d(picture.expand(1, 3, 1, 5), table)
    wanted = ops.lut3d(torch.tensor([0.0, 1, 0, 1, 0], dtype=torch.float64).expand(1, 3, 1, 5), table)
    assert torch.equal(got, wanted)
