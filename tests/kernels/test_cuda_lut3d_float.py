"""The look-up of float pictures and its gradients by the CUDA kernels against the reference: on a processor by
`cuda_on_host`, and the same checks on a device (-m cuda).

Tolerances: float64 1e-12; float32 2e-6 * D, since the place v (D - 1) carries float32 steps that grow with D.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from kernels.cuda import lut3d_float
from kernels.reference import lut3d_float as float_reference
from tests.kernels.draws import generator, tame_lut

NODES = (2, 3, 17, 33, 65, 129)
NAN, INF = float("nan"), float("inf")


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
        above, x, table = (tensor.to(device=device, dtype=dtype) for tensor in (grad, colours, lut))
        wanted = float_reference.lut3d_backward(grad, colours, lut)
        assert_near(lut3d_float.lut3d(x, table), float_reference.lut3d(colours, lut), dtype, nodes)
        for got, by in zip(lut3d_float.lut3d_backward(above, x, table), wanted, strict=True):
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
    result = lut3d_float.lut3d_backward(colours.to(device), colours.to(device), lut.to(device))
    for got, by in zip(result, wanted, strict=True):
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
