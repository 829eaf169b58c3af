"""The CUDA kernels against the reference: on a processor by `cuda_on_host`, and the same checks on a device (-m cuda).

Tolerances of stored pictures, as largest difference from float64 in code values, before the result is rounded:
    cells     1/128     half of what a stored value counts, which is 1/128 of a code or, for wide tables, 1/64
    texture   1/100     the same, and the rounding of the texture unit between two 16-bit values
    nodes     1e-3      float32 on values of some hundred codes (8 bits); 0.05 on some ten thousand (16 bits)
Float pictures: float64 1e-12; float32 2e-6 * D, since the place v (D - 1) carries float32 steps that grow with D.
Table super-resolution is integer arithmetic: every bit.
The deformable convolution and the render perceptron: as on the processor, from whose tests (`test_deform`,
`test_modulated_mlp`) their pictures come too.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kernels import cuda
from kernels.cuda import deform, eclut, loader, lut3d, lut3d_float, modulated_mlp
from kernels.reference import deform as deform_reference
from kernels.reference import eclut as ec_reference
from kernels.reference import lut3d as reference
from kernels.reference import lut3d_float as float_reference
from kernels.reference import modulated_mlp as mlp_reference
from kernels.reference.deform import NeedsGrad
from tests.kernels import cuda_on_host, test_deform, test_modulated_mlp

SIDES = (1, 2, 17, 33, 129)
NODES = (2, 3, 17, 33, 65, 129)
CELL_NODES = (2, 3, 5, 9, 17, 33)
BOUNDS = {"cells": 1 / 128, "texture": 0.01, "nodes": 1e-3}
BOUND_16 = 0.05
NAN, INF = float("nan"), float("inf")


@pytest.fixture(params=["host", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    if request.param == "host":
        return cuda_on_host.stand_in(monkeypatch)
    if missing := cuda.why_missing():
        pytest.skip(missing)
    return torch.device("cuda", torch.cuda.current_device())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def tame_lut(nodes: int) -> Tensor:
    """The identity, unevenly, from -0.1 to 1.1."""
    uneven = 0.2 * torch.rand(3, nodes, nodes, nodes, generator=generator(nodes)) - 0.1
    return reference.identity_lut(nodes) + uneven


def steep_lut(nodes: int, reach: float = 1.0) -> Tensor:
    return reach * torch.rand(3, nodes, nodes, nodes, generator=generator(nodes))


def draw_codes(dtype: torch.dtype, *shape: int) -> Tensor:
    top = torch.iinfo(dtype).max
    codes = torch.randint(0, top + 1, shape, generator=generator(sum(shape)))
    codes.view(-1)[: min(6, codes.numel())] = torch.tensor([0, 0, 0, top, top, top])[: codes.numel()]
    return codes.to(dtype)


def exact_codes(picture: Tensor, lut: Tensor) -> Tensor:
    """What the look-up gives before it is rounded, float64, clamped to the codes."""
    top = torch.iinfo(picture.dtype).max
    colours = (picture.double() / top).reshape(1, -1, 1, 3).permute(0, 3, 1, 2)
    found = float_reference.lut3d(colours, lut.double()) * top
    return found.permute(0, 2, 3, 1).reshape(picture.shape).clamp(0, top)


def assert_rounds(got: Tensor, exact: Tensor, bound: float) -> None:
    assert got.shape == exact.shape
    assert (got.cpu().double() - exact).abs().max() <= 0.5 + bound


def same(first: Tensor, second: Tensor) -> bool:
    """Bit by bit, on the processor: devices compare fewer types."""
    return torch.equal(first.cpu(), second.cpu())


# ---- Stored pictures -------------------------------------------------------------------------------------------------


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
    assert same(lut3d.lut3d_apply(picture.to(device), reference.identity_lut(nodes).to(device)).cpu(), picture)


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
        assert same(shared[k], lut3d.lut3d_apply(pictures[k], tame_lut(5).to(device)))
        assert same(own[k], lut3d.lut3d_apply(pictures[k], tables[k]))


def test_views_of_any_stride_and_start_give_what_their_copies_give(device: torch.device) -> None:
    wide, lut = draw_codes(torch.uint8, 34, 41, 3).to(device), tame_lut(17).to(device)
    for view in (wide[1:], wide[::2, 3:33:3].transpose(0, 1), wide[3:, :, :]):
        assert same(lut3d.lut3d_apply(view, lut), lut3d.lut3d_apply(view.clone(), lut))
    turned = lut.permute(0, 3, 1, 2)
    assert same(lut3d.lut3d_apply(wide, turned), lut3d.lut3d_apply(wide, turned.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tables_of_any_floating_type_are_taken_as_float32(device: torch.device, dtype: torch.dtype) -> None:
    picture, lut = draw_codes(torch.uint8, 20, 21, 3).to(device), tame_lut(17).to(dtype).to(device)
    assert same(lut3d.lut3d_apply(picture, lut), lut3d.lut3d_apply(picture, lut.float()))


# ---- Float pictures --------------------------------------------------------------------------------------------------


def draw_colours(nodes: int, *shape: int) -> Tensor:
    """Inside the cells of a table, away from nodes, where slopes jump."""
    cells = torch.randint(0, nodes - 1, shape, generator=generator(sum(shape)))
    parts = 0.05 + 0.9 * torch.rand(shape, generator=generator(nodes), dtype=torch.float64)
    return (cells + parts) / (nodes - 1)


def assert_near(got: Tensor, wanted: Tensor, dtype: torch.dtype, nodes: int) -> None:
    assert got.shape == wanted.shape and got.dtype == dtype
    if wanted.numel():
        bound = 1e-12 if dtype == torch.float64 else 2e-6 * nodes
        assert (got.cpu().double() - wanted).abs().max() <= bound * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("nodes", NODES)
def test_values_and_gradients_equal_the_reference(
    device: torch.device, nodes: int, own: bool, dtype: torch.dtype
) -> None:
    for side, batch in product((1, 2, 17, 33), (1, 3) if nodes < 129 else (2,)):
        colours = draw_colours(nodes, batch, 3, side, side + 1)
        lut = (
            torch.stack([tame_lut(nodes) * (k + 1) for k in range(batch)]).double() if own else tame_lut(nodes).double()
        )
        grad = torch.randn(colours.shape, generator=generator(side), dtype=torch.float64)
        on_device = [tensor.to(device=device, dtype=dtype) for tensor in (grad, colours, lut)]
        wanted = float_reference.lut3d_backward(grad, colours, lut)
        assert_near(lut3d_float.lut3d(*on_device[1:]), float_reference.lut3d(colours, lut), dtype, nodes)
        for got, by in zip(lut3d_float.lut3d_backward(*on_device), wanted, strict=True):
            assert_near(got, by, dtype, nodes)


def test_colours_outside_the_table_are_clamped_and_have_no_slope(device: torch.device) -> None:
    colour = torch.tensor([-1.0, 0.0, 1.0, 2.0, NAN, INF, -INF, 0.3], dtype=torch.float64)
    colours = torch.stack([colour, colour.roll(1), colour.roll(3)])[None, :, None]
    lut, grad = tame_lut(4).double(), torch.ones_like(colours)
    assert_near(
        lut3d_float.lut3d(colours.to(device), lut.to(device)), float_reference.lut3d(colours, lut), torch.float64, 4
    )
    got = lut3d_float.lut3d_backward(grad.to(device), colours.to(device), lut.to(device))
    for ours, theirs in zip(got, float_reference.lut3d_backward(grad, colours, lut), strict=True):
        assert_near(ours, theirs, torch.float64, 4)
    assert int((got[0] != 0).sum()) == 3


def test_no_addition_to_the_table_is_lost_where_all_pixels_meet(device: torch.device) -> None:
    colours = torch.full((2, 3, 300, 301), 0.5, dtype=torch.float64, device=device)
    _, by_lut = lut3d_float.lut3d_backward(torch.ones_like(colours), colours, tame_lut(3).double().to(device))
    assert float(by_lut.sum()) == colours.numel()
    assert by_lut[:, 1, 1, 1].tolist() == [2 * 300 * 301] * 3


@pytest.mark.parametrize("for_picture", [True, False])
@pytest.mark.parametrize("for_lut", [True, False])
def test_only_the_gradients_that_are_wanted_are_made(device: torch.device, for_picture: bool, for_lut: bool) -> None:
    colours, lut = draw_colours(5, 2, 3, 4, 5).to(device), tame_lut(5).double().to(device)
    by_picture, by_lut = lut3d_float.lut3d_backward(colours, colours, lut, for_picture, for_lut)
    assert by_picture.shape == (colours.shape if for_picture else (0,))
    assert by_lut.shape == (lut.shape if for_lut else (0,))


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5)])
def test_empty_pictures_give_empty_pictures_and_no_gradient(device: torch.device, shape: tuple[int, ...]) -> None:
    colours, lut = torch.zeros(shape, device=device), tame_lut(5).to(device)
    assert lut3d_float.lut3d(colours, lut).shape == shape
    by_picture, by_lut = lut3d_float.lut3d_backward(colours, colours, lut)
    assert by_picture.shape == shape
    assert not by_lut.any()


def test_batches_larger_than_a_grid_go_round(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lut3d_float, "MAX_GRID_Y", 2)
    colours, lut = draw_colours(5, 5, 3, 3, 4), torch.stack([tame_lut(5) * k for k in range(5)]).double()
    assert_near(
        lut3d_float.lut3d(colours.to(device), lut.to(device)), float_reference.lut3d(colours, lut), torch.float64, 5
    )
    wanted = float_reference.lut3d_backward(colours, colours, lut)
    found = lut3d_float.lut3d_backward(colours.to(device), colours.to(device), lut.to(device))
    for got, by in zip(found, wanted, strict=True):
        assert_near(got, by, torch.float64, 5)


def test_where_torch_must_be_deterministic_the_gradient_by_the_table_is_refused(device: torch.device) -> None:
    colours, lut = draw_colours(5, 1, 3, 4, 5).to(device), tame_lut(5).double().to(device)
    torch.use_deterministic_algorithms(True)
    try:
        lut3d_float.lut3d_backward(colours, colours, lut, for_lut=False)
        with pytest.raises(RuntimeError, match="varies from run to run"):
            lut3d_float.lut3d_backward(colours, colours, lut)
    finally:
        torch.use_deterministic_algorithms(False)


# ---- Table super-resolution ------------------------------------------------------------------------------------------


@cache
def ec_table(scale: int, step: str) -> Tensor:
    maps = torch.randint(-128, 128, (65536, 9 * scale * scale), generator=generator(scale)).to(torch.int8)
    return maps if step == "lr" else ec_reference.collapse(maps, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_table_super_resolution_gives_every_bit_of_the_reference(device: torch.device, step: str, scale: int) -> None:
    table = ec_table(scale, step)
    for size in ((1, 1), (1, 2), (2, 1), (2, 2), (1, 50), (3, 4), (17, 18), (33, 129)):
        picture = draw_codes(torch.uint8, *size, 3)
        wanted = ec_reference.eclut(picture, table, scale, step)
        assert same(eclut.eclut(picture.to(device), table.to(device), scale, step).cpu(), wanted)


@pytest.mark.parametrize("step", ["lr", "hr"])
def test_extreme_tables_are_clamped_as_the_reference_clamps(device: torch.device, step: str) -> None:
    picture = draw_codes(torch.uint8, 9, 10, 3)
    for value in (-32768, -128, 127, 32767):
        table = ec_table(2, step).clone()
        table[:] = max(-128, min(127, value)) if step == "lr" else value
        wanted = ec_reference.eclut(picture, table, 2, step)
        assert same(eclut.eclut(picture.to(device), table.to(device), 2, step).cpu(), wanted)


def test_entries_that_nine_maps_cannot_have_count_as_the_nearest_they_can(device: torch.device) -> None:
    """High and low ones in turn, so that their sums stay among the codes."""
    picture = draw_codes(torch.uint8, 17, 18, 3)
    high = torch.rand(65536, 16, generator=generator(0)) < 0.5
    table = torch.where(high, 32767, -32768).to(torch.int16)
    wanted = ec_reference.eclut(picture, table, 2, "hr")
    assert ((wanted > 0) & (wanted < 255)).double().mean() > 0.2
    assert same(eclut.eclut(picture.to(device), table.to(device), 2, "hr"), wanted)


def test_pictures_higher_than_a_grid_go_round(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eclut, "MAX_GRID_Y", 3)
    picture, table = draw_codes(torch.uint8, 10, 4, 3), ec_table(3, "lr")
    wanted = ec_reference.eclut(picture, table, 3)
    assert same(eclut.eclut(picture.to(device), table.to(device), 3).cpu(), wanted)


def test_views_and_empty_pictures_are_enlarged(device: torch.device) -> None:
    picture = draw_codes(torch.uint8, 12, 13, 3).to(device)
    wide = torch.cat([torch.zeros(1, 36, dtype=torch.int8), ec_table(2, "lr")]).to(device)
    table = wide[1:]  # begins 36 bytes into its memory
    view = picture[1::2, ::3]
    assert same(eclut.eclut(view, table, 2), eclut.eclut(view.contiguous(), table.clone(), 2))
    assert eclut.eclut(picture[:0], table, 2).shape == (0, 26, 3)


# ---- The deformable convolution --------------------------------------------------------------------------------------


def assert_convolves_as_specified(inputs: list[Tensor], device: torch.device) -> None:
    """Values and the four gradients, against the specification in float64."""
    exact, given = [tensor.double() for tensor in inputs], [tensor.to(device) for tensor in inputs]
    dtype = inputs[0].dtype
    grad = test_deform.draw(inputs[0].shape[0], len(inputs[3]), *inputs[0].shape[2:]).to(dtype)
    found = (deform.deform_conv2d(*given), *deform.deform_conv2d_backward(grad.to(device), *given))
    wanted = (
        deform_reference.deform_conv2d(*exact),
        *deform_reference.deform_conv2d_backward(grad.double(), *exact),
    )
    for got, by, like in zip(found, wanted, (inputs[0], *inputs), strict=True):
        assert got.dtype == like.dtype
        test_deform.assert_near(got.cpu(), by, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", test_deform.SHAPES)
def test_the_deformable_convolution_and_its_gradients_are_those_specified(
    device: torch.device, shape: tuple[int, int, int, int, int], dtype: torch.dtype
) -> None:
    assert_convolves_as_specified(test_deform.draw_inputs(*shape, dtype), device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_offsets_that_are_not_finite_or_huge_read_zero(device: torch.device, dtype: torch.dtype) -> None:
    inputs = test_deform.draw_inputs(1, 5, 4, 9, 10, dtype)
    odd = torch.tensor([NAN, INF, -INF, 1e38, -1e38, 2.0**31, -(2.0**31), 2.0**24])
    spoilt = inputs[1].view(-1)[::3]
    spoilt.copy_(odd.repeat(1 + len(spoilt) // len(odd))[: len(spoilt)])
    assert_convolves_as_specified(inputs, device)


@pytest.mark.parametrize("column_bytes", [1, 1 << 13])
def test_bands_of_any_height_give_the_whole(
    device: torch.device, column_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deform, "COLUMN_BYTES", column_bytes)
    assert_convolves_as_specified(test_deform.draw_inputs(2, 17, 6, 13, 11, torch.float32), device)


def test_no_addition_to_the_picture_is_lost_where_all_taps_meet(device: torch.device) -> None:
    inputs = [tensor.to(device) for tensor in test_deform.all_meet(30, 40, 33)]
    by_x, *_ = deform.deform_conv2d_backward(torch.ones(1, 1, 30, 40, device=device), *inputs)
    assert by_x[0, :, 15, 21].tolist() == [9.0 * 30 * 40] * 33
    assert float(by_x.sum()) == 33 * 9.0 * 30 * 40


@pytest.mark.parametrize("wanted", [*product((True, False), repeat=4)])
def test_only_the_wanted_gradients_of_a_convolution_are_made(device: torch.device, wanted: tuple[bool, ...]) -> None:
    inputs = [tensor.to(device) for tensor in test_deform.draw_inputs(1, 5, 3, 4, 6, torch.float64)]
    grad = torch.ones(1, 3, 4, 6, dtype=torch.float64, device=device)
    whole = deform.deform_conv2d_backward(grad, *inputs)
    found = deform.deform_conv2d_backward(grad, *inputs, NeedsGrad(*wanted))
    for got, full, asked in zip(found, whole, wanted, strict=True):
        if asked:
            test_deform.assert_near(got, full, torch.float64)
        else:
            assert got.shape == (0,)


def test_a_convolution_comes_back_in_the_order_in_memory_of_its_picture(device: torch.device) -> None:
    x, offset, mask, weight = (tensor.to(device) for tensor in test_deform.draw_inputs(2, 8, 4, 9, 13, torch.float32))
    for kept in (torch.contiguous_format, torch.channels_last):
        ordered = x.to(memory_format=kept)
        found = deform.deform_conv2d(ordered, offset, mask, weight)
        by_x, *_ = deform.deform_conv2d_backward(found, ordered, offset, mask, weight)
        assert found.is_contiguous(memory_format=kept) and by_x.is_contiguous(memory_format=kept)


@pytest.mark.parametrize("shape", [(0, 3, 2, 4, 5), (2, 3, 2, 0, 5), (2, 3, 0, 4, 5)])
def test_empty_convolutions_give_zeros(device: torch.device, shape: tuple[int, int, int, int, int]) -> None:
    inputs = [tensor.to(device) for tensor in test_deform.draw_inputs(*shape, torch.float32)]
    found = deform.deform_conv2d(*inputs)
    assert found.shape == (shape[0], shape[2], *shape[3:])
    for tensor, by in zip(inputs, deform.deform_conv2d_backward(found, *inputs), strict=True):
        assert by.shape == tensor.shape and not by.any()


def test_where_torch_must_be_deterministic_the_gradient_by_the_picture_is_refused(device: torch.device) -> None:
    inputs = [tensor.to(device) for tensor in test_deform.draw_inputs(1, 5, 3, 4, 6, torch.float32)]
    grad = torch.ones(1, 3, 4, 6, device=device)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="gradient of the picture in an order that varies from run to run"):
            deform.deform_conv2d_backward(grad, *inputs)
    finally:
        torch.use_deterministic_algorithms(False)


# ---- The render perceptron -------------------------------------------------------------------------------------------


def on(device: torch.device, inputs: test_modulated_mlp.Inputs) -> test_modulated_mlp.Inputs:
    moved: test_modulated_mlp.Inputs = tree_map_only(Tensor, lambda tensor: tensor.to(device), inputs)
    return moved


@pytest.mark.parametrize("scale", test_modulated_mlp.SCALES)
@pytest.mark.parametrize("side", [1, 2, 17, 33])
def test_the_render_perceptron_is_near_the_specification(device: torch.device, side: int, scale: float) -> None:
    for size in ((side, 3), (2, side)):
        inputs = test_modulated_mlp.draw_inputs(*size, scale)
        exact = mlp_reference.modulated_mlp(*test_modulated_mlp.in_float64(inputs))
        found = modulated_mlp.modulated_mlp(*on(device, inputs))
        test_modulated_mlp.assert_near(found.cpu(), exact)
        modulations, *rest = on(device, inputs)
        assert same(modulated_mlp.modulated_mlp(modulations.bfloat16(), *rest), found)


def test_parts_of_a_rendered_picture_have_the_bits_of_the_whole(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    modulations, window, samples, layers = on(device, test_modulated_mlp.draw_inputs(9, 60, 2.7))
    whole = modulated_mlp.modulated_mlp(modulations, window, samples, layers)
    monkeypatch.setattr(modulated_mlp, "MAX_GRID_Y", 3)  # and the rows go round
    rows, cols = slice(3, 20), slice(5, 140)
    some = test_modulated_mlp.some(samples, rows, cols)
    none = test_modulated_mlp.some(samples, slice(0, 0), cols)
    assert same(modulated_mlp.modulated_mlp(modulations, window, some, layers), whole[:, rows, cols])
    assert modulated_mlp.modulated_mlp(modulations, window, none, layers).shape == (3, 0, 135)


def test_a_pixel_that_is_not_a_number_spoils_the_samples_around_it_and_no_other(device: torch.device) -> None:
    modulations, window, samples, layers = on(device, test_modulated_mlp.draw_inputs(9, 11, 2.7))
    whole = modulated_mlp.modulated_mlp(modulations, window, samples, layers)
    rows, cols = (torch.stack([axis.floor, axis.floor + 1]) for axis in samples[:2])
    touched = (rows == 4).any(0)[:, None] & (cols == 6).any(0)
    ruined = modulations.clone()
    ruined[:, 4, 6] = NAN
    found = modulated_mlp.modulated_mlp(ruined, window, samples, layers)
    assert found[:, touched].isnan().all()
    assert same(found[:, ~touched], whole[:, ~touched])


def test_every_source_is_known_to_the_loader_and_to_the_stand_in() -> None:
    sources = {path.relative_to(loader.SOURCE_FOLDER).as_posix() for path in loader.SOURCE_FOLDER.glob("*/*.cu")}
    assert sources == set(loader.SOURCES) == set(cuda_on_host.KERNELS)
    assert {module.SOURCE for module in (lut3d, lut3d_float, eclut, deform, modulated_mlp)} == sources
