"""LM-LIIF's render perceptron for training: the specification against its definition written out and against autograd,
the compiled kernels against the specification in float64.

Tolerance, as largest difference over the largest number there is:
    predictions    5e-6    as `test_modulated_mlp` has it: seven layers in a row, each a sum of up to 17 products
    gradients      5e-6    the same layers forward and back; those by weights add up all predictions, but lane by lane
                           and part by part, which rounds less than one sum in a row would
Gradients jump where a unit meets 0: predictions with a unit closer to it than rounding can tell have no part in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels import cpu, ops, perceptron
from kernels.ops import Pixels, PredictLayers, Ways
from kernels.reference import modulated_mlp_predict as reference
from tests.kernels.paths import need, on_each_path

BOUND = 5e-6
AWAY = 1e-5  # from 0, where float32 has the sign of float64
NAN = float("nan")

LUTRA = torch.ops.lutra
Inputs = tuple[Pixels, Ways, PredictLayers]


def draw_inputs(count: int, down: int, right: int) -> Inputs:
    generator = torch.Generator().manual_seed(1000 * count + 10 * down + right)

    def draw(*shape: int, size: float = 1.0) -> Tensor:
        return size * torch.randn(shape, generator=generator)

    pixels = Pixels(draw(192, count, size=0.3), draw(16, count))
    ways = Ways(*(2 * torch.rand(slots, count, generator=generator) - 1 for slots in (down, right)))
    layers = (draw(16, 2), draw(5, 16, 16, size=0.35), draw(5, 16, size=0.1), draw(3, 16, size=0.35), draw(3, size=0.1))
    return pixels, ways, PredictLayers(*layers)


def in_float64(inputs: Inputs) -> Inputs:
    return grouped(one.double() for one in flat(inputs))


def flat(inputs: Inputs) -> list[Tensor]:
    return [one for group in inputs for one in group]


def grouped(tensors: Iterable[Tensor]) -> Inputs:
    modulations, here, rows, cols, *layers = tensors
    return Pixels(modulations, here), Ways(rows, cols), PredictLayers(*layers)


def draw_above(inputs: Inputs) -> Tensor:
    """A gradient of the predictions: of those that no rounding turns over."""
    pixels, ways, layers = in_float64(inputs)
    shifts = pixels.modulations[96:].view(6, 16, 1, -1)
    modulated = [
        one.sums * one.scale + shift for one, shift in zip(reference._hidden(pixels, ways, layers), shifts, strict=True)
    ]
    away = (torch.stack(modulated).abs() > AWAY).all(0).all(0)
    shape = 3, len(ways.rows), *ways.cols.shape
    above = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return above * away.view(shape[1:])


def assert_near(got: Tensor, exact: Tensor) -> None:
    assert got.shape == exact.shape
    assert got.dtype == torch.float32
    if exact.numel():
        assert float((got.double() - exact).abs().max()) <= BOUND * float(exact.abs().max())


def written_out(inputs: Inputs) -> Tensor:
    """The definition, one prediction after the other."""
    (modulations, here), (rows, cols), layers = in_float64(inputs)
    way, hidden, hidden_bias, last, last_bias = (layer.numpy() for layer in layers)
    out = np.zeros((3, len(rows), *cols.shape))
    for i, j, pixel in product(*map(range, out.shape[1:])):
        sums = here[:, pixel].numpy() + way @ np.array([float(rows[i, pixel]), float(cols[j, pixel])])
        for layer in range(6):
            scale, shift = modulations[16 * layer :][:16, pixel], modulations[96 + 16 * layer :][:16, pixel]
            v = np.maximum(sums * (1 + scale.numpy()) + shift.numpy(), 0)
            if layer < 5:
                sums = hidden[layer] @ v + hidden_bias[layer]
        out[:, i, j, pixel] = last @ v + last_bias
    return torch.from_numpy(out)


def by_autograd(inputs: Inputs, above: Tensor) -> tuple[Tensor, ...]:
    """Through the specification of the values."""
    leaves = flat(inputs)
    for place in (0, 1, *range(4, 9)):
        leaves[place] = leaves[place].detach().requires_grad_()
    out = reference.modulated_mlp_predict(*grouped(leaves))
    return torch.autograd.grad(out, [leaf for leaf in leaves if leaf.requires_grad], above)


# ---- The specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 2, 3), (4, 3, 1)])
def test_the_specification_equals_the_definition_written_out(size: tuple[int, int, int]) -> None:
    inputs = draw_inputs(*size)
    wanted = written_out(inputs)
    assert (reference.modulated_mlp_predict(*in_float64(inputs)) - wanted).abs().max() < 1e-12
    assert_near(reference.modulated_mlp_predict(*inputs), wanted)


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 2, 3), (40, 4, 4)])
def test_the_gradients_of_the_specification_are_those_of_autograd(size: tuple[int, int, int]) -> None:
    pixels, ways, layers = in_float64(draw_inputs(*size))
    pixels.modulations[100:110], pixels.here[4:14], layers.way[4:14] = 0, 0, 0  # units that are 0 exactly
    above = torch.randn(3, *size[1:], size[0], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = reference.modulated_mlp_predict_backward(above, pixels, ways, layers)
    for got, wanted in zip(ours, by_autograd((pixels, ways, layers), above), strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1e-12 * wanted.abs().max()


def test_gradients_are_what_finite_differences_give(implementation: None) -> None:
    leaves = flat(in_float64(draw_inputs(2, 2, 1)))
    for place in (0, 1, *range(4, 9)):
        leaves[place].requires_grad_()
    assert torch.autograd.gradcheck(lambda *leaves: ops.modulated_mlp_predict(*grouped(leaves)), leaves)


# ---- The kernels -----------------------------------------------------------------------------------------------------


@on_each_path
@pytest.mark.parametrize("count", [1, 3, 8, 15, 16, 17, 250, 1003])
def test_every_path_is_near_the_specification(count: int, path: str) -> None:
    need(path)
    for slots in ((1, 1), (2, 3), (3, 2)):
        inputs = draw_inputs(count, *slots)
        exact, above = in_float64(inputs), draw_above(inputs)
        result = cpu.modulated_mlp_predict(*inputs, path=path)
        assert_near(result, reference.modulated_mlp_predict(*exact))
        ours = cpu.modulated_mlp_predict_backward(above, *inputs, path=path)
        theirs = reference.modulated_mlp_predict_backward(above.double(), *exact)
        for got, wanted in zip(ours, theirs, strict=True):
            assert_near(got, wanted)


@on_each_path
def test_any_number_of_threads_gives_the_same_bits(path: str) -> None:
    need(path)
    inputs = draw_inputs(6001, 2, 2)
    above = draw_above(inputs)
    result = [
        (
            cpu.modulated_mlp_predict(*inputs, threads=count, path=path),
            *cpu.modulated_mlp_predict_backward(above, *inputs, threads=count, path=path),
        )
        for count in (1, 2, 3, 7, 40)
    ]
    for other in result[1:]:
        assert all(torch.equal(*pair) for pair in zip(other, result[0], strict=True))


def test_the_two_sets_of_vectors_agree_to_the_bit_but_for_sums_over_pixels() -> None:
    """Both fuse multiplication and addition, in one order for each pixel."""
    for path in ("avx2", "avx512"):
        need(path)
    inputs = draw_inputs(333, 3, 2)
    above = draw_above(inputs)
    assert torch.equal(*(cpu.modulated_mlp_predict(*inputs, path=path) for path in ("avx2", "avx512")))
    both = (cpu.modulated_mlp_predict_backward(above, *inputs, path=path)[:2] for path in ("avx2", "avx512"))
    for narrow, wide in zip(*both, strict=True):
        assert torch.equal(narrow, wide)


@on_each_path
def test_a_pixel_has_its_bits_whatever_lies_beside_it(path: str) -> None:
    need(path)
    (pixels, ways, layers), which = draw_inputs(90, 2, 2), torch.tensor([3, 77, 40, 41, 3])
    above = draw_above((pixels, ways, layers))
    picked = Pixels(*(one[:, which] for one in pixels)), Ways(*(one[:, which] for one in ways)), layers
    whole = cpu.modulated_mlp_predict(pixels, ways, layers, path=path)
    assert torch.equal(cpu.modulated_mlp_predict(*picked, path=path), whole[..., which])
    by_whole = cpu.modulated_mlp_predict_backward(above, pixels, ways, layers, path=path)[:2]
    by_picked = cpu.modulated_mlp_predict_backward(above[..., which], *picked, path=path)[:2]
    for got, wanted in zip(by_picked, by_whole, strict=True):
        assert torch.equal(got, wanted[:, which])


@on_each_path
def test_slots_that_nobody_asked_for_cost_no_gradient_its_bits(path: str) -> None:
    """As most slots at the frame are, and every second one at a scale that is no whole number."""
    need(path)
    inputs = draw_inputs(64, 3, 3)
    above = draw_above(inputs)
    above[:, 1:, :, :48] = 0
    pixels, (rows, cols), layers = inputs
    ours = cpu.modulated_mlp_predict_backward(above, *inputs, path=path)
    exact = reference.modulated_mlp_predict_backward(above.double(), *in_float64(inputs))
    for got, wanted in zip(ours, exact, strict=True):
        assert_near(got, wanted)
    fewer = cpu.modulated_mlp_predict_backward(above[:, :1], pixels, Ways(rows[:1], cols), layers, path=path)
    assert torch.equal(fewer[0][:, :48], ours[0][:, :48])
    assert not cpu.modulated_mlp_predict_backward(torch.zeros_like(above), *inputs, path=path)[3].any()


@on_each_path
def test_nan_spoils_its_pixel_and_the_sums_and_no_other_pixel(path: str) -> None:
    need(path)
    pixels, ways, layers = draw_inputs(40, 2, 2)
    above = draw_above((pixels, ways, layers))
    spoilt = Pixels(pixels.modulations.clone(), pixels.here)
    spoilt.modulations[:96, 21] = NAN
    rest = torch.arange(40) != 21
    whole, result = (cpu.modulated_mlp_predict(one, ways, layers, path=path) for one in (pixels, spoilt))
    assert result[..., 21].isnan().all() and torch.equal(result[..., rest], whole[..., rest])
    wanted, got = (cpu.modulated_mlp_predict_backward(above, one, ways, layers, path=path) for one in (pixels, spoilt))
    assert torch.equal(got[0][:, rest], wanted[0][:, rest]) and torch.equal(got[1][:, rest], wanted[1][:, rest])
    assert got[1][:, 21].isnan().all() and got[3].isnan().all()


@pytest.mark.parametrize("size", [(0, 2, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)])
def test_nothing_to_predict_is_no_trouble(size: tuple[int, int, int], implementation: None) -> None:
    leaves = flat(draw_inputs(*size))
    learnt = [leaves[place].requires_grad_() for place in (0, 1, *range(4, 9))]
    out = ops.modulated_mlp_predict(*grouped(leaves))
    assert out.shape == (3, *size[1:], size[0])
    for one, by in zip(learnt, torch.autograd.grad(out.sum(), learnt), strict=True):
        assert by.shape == one.shape and not by.any()


def test_any_order_in_memory_gives_the_same_bits(implementation: None) -> None:
    inputs = draw_inputs(33, 2, 3)
    above = draw_above(inputs)
    strided = grouped(one.transpose(0, -1).contiguous().transpose(0, -1) for one in flat(inputs))
    assert not any(group[0].is_contiguous() for group in strided)
    assert torch.equal(ops.modulated_mlp_predict(*strided), ops.modulated_mlp_predict(*inputs))
    odd = above.transpose(1, 3).contiguous().transpose(1, 3)
    both = (LUTRA.modulated_mlp_predict_backward(*one) for one in ((odd, *flat(strided)), (above, *flat(inputs))))
    for got, wanted in zip(*both, strict=True):
        assert_near(got, wanted.double())


def test_the_layers_are_packed_in_order_and_unpacked() -> None:
    _, _, layers = draw_inputs(1, 1, 1)
    packed = perceptron.pack_predict(layers)
    assert packed.shape == (32 + 5 * 272 + 51,)
    assert torch.equal(packed[32:48], layers.hidden[0, 0])
    assert all(torch.equal(*pair) for pair in zip(perceptron.unpack_predict(packed), layers, strict=True))


def test_what_does_not_belong_together_is_refused_before_it_is_read() -> None:
    need("portable")
    (modulations, here), (rows, cols), layers = draw_inputs(5, 2, 3)
    good = Pixels(modulations, here), Ways(rows, cols), layers
    above = torch.zeros(3, 2, 3, 5)
    for pixels, ways in (
        (Pixels(modulations[:, 1:], here), Ways(rows, cols)),
        (Pixels(modulations, here), Ways(rows[:, 1:], cols)),
        (Pixels(modulations, here), Ways(rows, cols[:, 1:])),
    ):
        with pytest.raises(ValueError, match="not of as many pixels"):
            cpu.modulated_mlp_predict_backward(above, pixels, ways, layers)
    for wrong in (above[:, 1:], above[:, :, 1:], above[..., 1:]):
        with pytest.raises(ValueError, match="not as many as the slots"):
            cpu.modulated_mlp_predict_backward(wrong, *good)
    with pytest.raises(ValueError, match='path is "sse", wanted auto'):
        cpu.modulated_mlp_predict(*good, path="sse")
    with pytest.raises(TypeError):
        cpu.modulated_mlp_predict(Pixels(modulations[1:], here), Ways(rows, cols), layers)


# ---- The op ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ops_are_ones_that_torch_can_trace(dtype: torch.dtype, implementation: None) -> None:
    leaves = [one.to(dtype) for one in flat(draw_inputs(5, 2, 3))]
    above = torch.ones(3, 2, 3, 5, dtype=dtype)
    torch.library.opcheck(LUTRA.modulated_mlp_predict_backward, (above, *leaves))
    learnt = [one if place in (2, 3) else one.requires_grad_() for place, one in enumerate(leaves)]
    torch.library.opcheck(LUTRA.modulated_mlp_predict, tuple(learnt))


def test_ways_have_no_gradient() -> None:
    pixels, ways, layers = draw_inputs(3, 2, 2)
    out = ops.modulated_mlp_predict(pixels, Ways(ways.rows, ways.cols.requires_grad_()), layers)
    with pytest.raises(RuntimeError, match="modulated_mlp_predict has no gradient by rows and cols"):
        torch.autograd.backward(out.sum())


def test_the_gradients_have_none_of_their_own() -> None:
    inputs = draw_inputs(3, 2, 2)
    learnt = inputs[0].here.requires_grad_()
    (by_here,) = torch.autograd.grad(ops.modulated_mlp_predict(*inputs).sum(), learnt, create_graph=True)
    with pytest.raises(RuntimeError, match="modulated_mlp_predict_backward has no gradient of its own"):
        torch.autograd.backward(by_here.sum())


def test_the_op_gives_what_serves(implementation: None) -> None:
    inputs = draw_inputs(21, 2, 3)
    module = reference if cpu.why_missing() else cpu
    assert torch.equal(ops.modulated_mlp_predict(*inputs), module.modulated_mlp_predict(*inputs))
    above = draw_above(inputs)
    both = (
        LUTRA.modulated_mlp_predict_backward(above, *flat(inputs)),
        module.modulated_mlp_predict_backward(above, *inputs),
    )
    assert all(torch.equal(*pair) for pair in zip(*both, strict=True))
