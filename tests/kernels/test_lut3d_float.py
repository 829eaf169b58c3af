"""The compiled look-up for training against the reference: values, and the gradients by picture and by table.

Tolerances, as largest difference over the largest number there is (D nodes):
    float64   1e-12       both sides compute in float64
    float32   2e-6 * D    the place in the table, v (D - 1), carries an error of a few float32 steps that grows with D;
                          the parts of a cell, and so values, weights and slopes, carry the same
Pictures lie away from nodes, where the slope jumps and rounding would pick the side; nodes have a test of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels import cpu, ops
from kernels.reference import lut3d_float as reference
from kernels.reference.lut3d import identity_lut

SIDES = (1, 2, 17, 33, 129)
NODES = (2, 3, 17, 33, 65, 129)
INF, NAN = float("inf"), float("nan")

pytestmark = pytest.mark.skipif(bool(cpu.why_missing()), reason=cpu.why_missing() or "built")


def tolerance(dtype: torch.dtype, nodes: int) -> float:
    return 1e-12 if dtype == torch.float64 else 2e-6 * nodes


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@cache
def draw_lut(nodes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (identity_lut(nodes, torch.float64) + 0.2 * draw(3, nodes, nodes, nodes)).to(dtype)


def draw_picture(nodes: int, *shape: int) -> Tensor:
    """Colours inside the cells of a table."""
    generator = torch.Generator().manual_seed(sum(shape))
    cells = torch.randint(0, nodes - 1, shape, generator=generator)
    return (cells + 0.05 + 0.9 * torch.rand(shape, generator=generator, dtype=torch.float64)) / (nodes - 1)


def assert_close(got: Tensor, wanted: Tensor, bound: float) -> None:
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    assert (got - wanted).abs().max() <= bound * wanted.abs().max()


def assert_all_close(picture: Tensor, lut: Tensor, bound: float) -> None:
    """Values and both gradients, compiled and reference."""
    grad = draw(*picture.shape).to(picture.dtype)
    assert_close(cpu.lut3d(picture, lut), reference.lut3d(picture, lut), bound)
    ours, theirs = cpu.lut3d_backward(grad, picture, lut), reference.lut3d_backward(grad, picture, lut)
    for got, wanted in zip(ours, theirs, strict=True):
        assert_close(got, wanted, bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("side", SIDES)
def test_values_and_gradients_are_those_of_the_reference(side: int, nodes: int, dtype: torch.dtype) -> None:
    assert_all_close(
        draw_picture(nodes, 1, 3, side, side + 1).to(dtype), draw_lut(nodes, dtype), tolerance(dtype, nodes)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nodes", [2, 3, 17, 33])
@pytest.mark.parametrize("shared", [True, False])
def test_a_batch_has_the_values_and_gradients_of_the_reference(shared: bool, nodes: int, dtype: torch.dtype) -> None:
    lut = draw_lut(nodes, dtype)
    tables = lut if shared else torch.stack([lut, -lut, 2 * lut])
    assert_all_close(draw_picture(nodes, 3, 3, 40, 31).to(dtype), tables, 3 * tolerance(dtype, nodes))


@pytest.mark.parametrize("nodes", [3, 17, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_of_threads_gives_the_same_bits(
    dtype: torch.dtype, nodes: int, threads: Callable[[int], None]
) -> None:
    picture, lut = draw_picture(nodes, 2, 3, 240, 170).to(dtype), draw_lut(nodes, dtype)
    grad = draw(*picture.shape).to(dtype)
    result = []
    for count in (1, 2, 3, 7):
        threads(count)
        result.append((cpu.lut3d(picture, lut), *cpu.lut3d_backward(grad, picture, lut)))
    for other in result[1:]:
        for got, wanted in zip(other, result[0], strict=True):
            assert torch.equal(got, wanted)


def test_a_batch_has_the_bits_of_its_pictures_one_by_one(threads: Callable[[int], None]) -> None:
    threads(3)
    pictures, tables = (
        draw_picture(5, 3, 3, 150, 120).float(),
        torch.stack([draw_lut(5).float() * k for k in (1, 2, 3)]),
    )
    grads = draw(*pictures.shape).float()
    by_picture, by_lut = cpu.lut3d_backward(grads, pictures, tables)
    for k in range(3):
        own = slice(k, k + 1)
        assert torch.equal(cpu.lut3d(pictures, tables)[own], cpu.lut3d(pictures[own], tables[own]))
        one_by_picture, one_by_lut = cpu.lut3d_backward(grads[own], pictures[own], tables[own])
        assert torch.equal(by_picture[own], one_by_picture)
        assert torch.equal(by_lut[own], one_by_lut)


def test_no_update_is_lost_where_all_pixels_meet_in_one_cell(threads: Callable[[int], None]) -> None:
    threads(4)
    picture = torch.full((2, 3, 256, 300), 0.3, dtype=torch.float64)
    _, by_lut = cpu.lut3d_backward(torch.ones_like(picture), picture, draw_lut(5))
    wanted = torch.zeros(3, 5, 5, 5, dtype=torch.float64)
    axis = torch.tensor([0.8, 0.2], dtype=torch.float64)  # 0.3 * 4 = 1.2
    wanted[:, 1:3, 1:3, 1:3] = 2 * 256 * 300 * axis[:, None, None] * axis[:, None] * axis
    assert (by_lut - wanted).abs().max() < 1e-12 * wanted.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backward", [cpu.lut3d_backward, reference.lut3d_backward])
def test_gradients_where_colours_are_clamped_or_meet_a_node(
    backward: Callable[..., tuple[Tensor, Tensor]], dtype: torch.dtype
) -> None:
    curve = torch.tensor([0.0, 1.0, 3.0, 7.0, 15.0], dtype=dtype)  # slopes 4 * (1, 2, 4, 8)
    lut = curve.expand(3, 5, 5, 5).contiguous()
    reds = [
        (-INF, 0),
        (-1, 0),
        (0, 0),
        (0.1, 4),
        (0.25, 8),
        (0.5, 16),
        (0.75, 32),
        (0.99, 32),
        (1, 0),
        (2, 0),
        (INF, 0),
    ]
    reds.append((NAN, 0))
    picture = torch.full((1, 3, 1, len(reds)), 0.4, dtype=dtype)
    picture[0, 0, 0] = torch.tensor([red for red, _ in reds], dtype=dtype)
    by_picture, by_lut = backward(torch.ones_like(picture), picture, lut)
    wanted = torch.tensor([3.0 * slope for _, slope in reds], dtype=dtype)  # three channels with one curve
    assert torch.allclose(by_picture[0, 0, 0], wanted, rtol=1e-5, atol=0)
    assert not by_picture[0, 1:].any()
    # Clamped colours, and NaN as 0, still pull at the nodes that they were looked up in.
    assert by_lut[0].sum((0, 1)).tolist() == pytest.approx([4.6, 1.4, 1, 1.04, 3.96], rel=1e-5)


@pytest.mark.parametrize("module", [cpu, reference])
def test_strides_change_nothing(module: Any) -> None:
    look_up, backward = module.lut3d, module.lut3d_backward
    picture = draw_picture(5, 2, 9, 16, 3)[:, :, ::2].permute(0, 3, 1, 2)
    lut = draw_lut(5).permute(0, 3, 1, 2)
    grad = torch.ones(1, 1, 1, 1, dtype=torch.float64).expand(picture.shape)
    plain = [tensor.contiguous() for tensor in (grad, picture, lut)]
    assert not picture.is_contiguous() and not lut.is_contiguous() and not grad.is_contiguous()
    assert torch.equal(look_up(picture, lut), look_up(*plain[1:]))
    for got, wanted in zip(backward(grad, picture, lut), backward(*plain), strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("module", [cpu, reference])
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True), (False, False)])
def test_a_gradient_that_is_not_wanted_is_an_empty_one(wanted: tuple[bool, bool], module: Any) -> None:
    picture, lut = draw_picture(3, 1, 3, 4, 4), draw_lut(3)
    result, both = module.lut3d_backward(picture, picture, lut, *wanted), module.lut3d_backward(picture, picture, lut)
    for got, whole, is_needed in zip(result, both, wanted, strict=True):
        assert torch.equal(got, whole) if is_needed else got.shape == (0,)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("module", [cpu, reference])
def test_pictures_without_pixels_have_results_without_pixels(
    module: Any, shared: bool, shape: tuple[int, int, int, int]
) -> None:
    look_up, backward = module.lut3d, module.lut3d_backward
    picture, lut = torch.zeros(shape), draw_lut(3, torch.float32)
    tables = lut if shared else lut.expand(shape[0], *lut.shape)
    by_picture, by_lut = backward(picture, picture, tables)
    assert look_up(picture, tables).shape == by_picture.shape == shape
    assert by_lut.shape == tables.shape and not by_lut.any()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("built", [True, False])
def test_gradients_are_what_finite_differences_give(built: bool, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not built:
        monkeypatch.setattr(cpu, "why_missing", lambda: "left out by this test")
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 4, (2, 3, 3, 4), generator=generator)
    parts = 0.2 + 0.6 * torch.rand(2, 3, 3, 4, generator=generator, dtype=torch.float64)
    picture = ((cells + parts) / 4).requires_grad_()  # away from nodes and clamps
    table = (draw_lut(5).clone() if shared else torch.stack([draw_lut(5), -draw_lut(5)])).requires_grad_()
    assert torch.autograd.gradcheck(ops.lut3d, (picture, table))


def test_a_table_that_holds_nan_spoils_the_pixels_that_read_it_and_no_others() -> None:
    lut = draw_lut(5).clone()
    lut[:, 4, 4, 4] = NAN
    picture = torch.tensor([0.1, 0.9], dtype=torch.float64).expand(1, 3, 1, 2)
    assert cpu.lut3d(picture, lut).isnan()[0, 0, 0].tolist() == [False, True]


def test_the_extension_refuses_arrays_that_do_not_fit_each_other() -> None:
    from kernels import _cpu as extension

    picture, lut = torch.zeros(2, 3, 8), torch.zeros(1, 3, 4, 4, 4)
    for out, table, message in (
        (torch.zeros(2, 3, 7), lut, "differ in shape"),
        (torch.zeros(2, 3, 8), torch.zeros(3, 3, 4, 4, 4), "one table or one each"),
        (torch.zeros(2, 3, 8), torch.zeros(1, 3, 4, 4, 5), "D from 2"),
        (torch.zeros(2, 3, 8), torch.zeros(1, 3, 1, 1, 1), "D from 2"),
    ):
        with pytest.raises(ValueError, match=message):
            extension.lut3d_forward(picture, table, out, 1)
    with pytest.raises(TypeError):
        extension.lut3d_forward(picture, lut, torch.zeros(2, 8, 3).transpose(1, 2), 1)  # would be written to a copy
    with pytest.raises(TypeError):
        extension.lut3d_forward(picture, lut.double(), torch.zeros(2, 3, 8), 1)
