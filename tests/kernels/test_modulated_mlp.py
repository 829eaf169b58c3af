"""LM-LIIF's render perceptron: the specification against its definition written out, the compiled kernels against the
specification in float64.

Tolerance, as largest difference over the largest number there is:
    float32    5e-6    seven layers in a row, each a sum of up to 20 products, whose scales 1 + s pass on what was
                       rounded before
    bfloat16   0       modulations of that type are widened as they are read: the bits of the float32 they stand for
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kernels import cpu, ops
from kernels.ops import Layers, Places, Samples
from kernels.reference import modulated_mlp as reference
from models.contract import Axis
from tests.kernels.paths import need, on_each_path

BOUND = 5e-6
SIDES = (1, 2, 17, 33, 129)
SCALES = (1.0, 1.5, 2.0, 3.7, 8.0)
NAN, INF = float("nan"), float("inf")

Inputs = tuple[Tensor, Tensor, Samples, Layers]


def draw_layers(seed: int = 0) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    shapes = reference.layer_shapes()
    weights = [torch.randn(shape, generator=generator) * (2 / shape[1]) ** 0.5 for shape in shapes]
    return Layers(weights, [0.1 * torch.randn(shape[0], generator=generator) for shape in shapes])


def draw_modulations(height: int, width: int) -> Tensor:
    """Modulations (208, height, width), channels last, in 128ths, so that bfloat16 holds them too."""
    generator = torch.Generator().manual_seed(1000 * height + width)
    drawn = 0.4 * torch.randn(height, width, reference.CHANNELS, generator=generator)
    return ((128 * drawn).round().clamp(-127, 127) / 128).permute(2, 0, 1)


def draw_base(rows: int, cols: int) -> Tensor:
    return torch.rand(3, rows, cols, generator=torch.Generator().manual_seed(rows + 1000 * cols))


def samples_of(rows: Axis, cols: Axis) -> Samples:
    return Samples(Places(*rows.positions()), Places(*cols.positions()), (2 / rows.scale, 2 / cols.scale))


def some(samples: Samples, rows: Tensor | slice, cols: Tensor | slice) -> Samples:
    """Of its rows and columns those with these indices."""
    row, col = Places(*(one[rows] for one in samples.rows)), Places(*(one[cols] for one in samples.cols))
    return Samples(row, col, samples.cell)


def grid_size(samples: Samples) -> tuple[int, int]:
    return len(samples.rows.floor), len(samples.cols.floor)


def draw_inputs(height: int, width: int, scale: float, across: float | None = None) -> Inputs:
    """A whole picture, enlarged by `scale` down and `across`, or `scale`, to the right."""
    tall, wide = round(height * scale), round(width * (across or scale))
    samples = samples_of(Axis(0, tall, tall, height, 0), Axis(0, wide, wide, width, 0))
    return draw_modulations(height, width), draw_base(tall, wide), samples, draw_layers()


def in_float64(inputs: Inputs) -> Inputs:
    widened: Inputs = tree_map_only(Tensor, lambda t: t.double() if t.is_floating_point() else t, inputs)
    return widened


def assert_near(got: Tensor, exact: Tensor) -> None:
    assert got.shape == exact.shape
    assert got.dtype == torch.float32
    if exact.numel():
        assert float((got.double() - exact).abs().max()) <= BOUND * float(exact.abs().max())


def written_out(inputs: Inputs) -> Tensor:
    """The definition, one sample and one neighbour after the other."""
    modulations, base, ((row, row_part), (col, col_part), cell), (weights, biases) = in_float64(inputs)
    height, width = modulations.shape[1:]
    out = base.numpy().copy()
    for i, j, down, right in product(range(len(row)), range(len(col)), (0, 1), (0, 1)):
        y, x = min(max(int(row[i]) + down, 0), height - 1), min(max(int(col[j]) + right, 0), width - 1)
        place = int(row[i]) + float(row_part[i]), int(col[j]) + float(col_part[j])
        share = (float(row_part[i]) if down else 1 - float(row_part[i])) * (
            float(col_part[j]) if right else 1 - float(col_part[j])
        )
        channels = modulations[:, y, x].numpy()
        v = np.array([*channels[192:], 2 * (place[0] - y), 2 * (place[1] - x), *cell])
        for layer in range(6):
            scale, shift = channels[16 * layer :][:16], channels[96 + 16 * layer :][:16]
            v = np.maximum((weights[layer].numpy() @ v + biases[layer].numpy()) * (1 + scale) + shift, 0)
        out[:, i, j] += share * (weights[6].numpy() @ v + biases[6].numpy())
    return torch.from_numpy(out)


# ---- The specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("scale", [0.6, 1.0, 1.5, 3.7])
def test_the_specification_equals_the_definition_written_out(scale: float, size: tuple[int, int]) -> None:
    inputs = draw_inputs(*size, scale, 2.0)
    wanted = written_out(inputs)
    assert (reference.modulated_mlp(*in_float64(inputs)) - wanted).abs().max() < 1e-12
    assert_near(reference.modulated_mlp(*inputs), wanted)


def test_a_last_layer_of_zeros_leaves_the_base() -> None:
    inputs = draw_inputs(9, 7, 3.7, 2.0)
    for last in (inputs[3].weights[-1], inputs[3].biases[-1]):
        last.zero_()
    assert torch.equal(ops.modulated_mlp(*inputs), inputs[1])


def test_the_specification_goes_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw_inputs(7, 5, 2.0)
    whole = reference.modulated_mlp(*inputs)
    monkeypatch.setattr(reference, "BLOCK_SAMPLES", 1)
    assert torch.allclose(reference.modulated_mlp(*inputs), whole, atol=1e-6)


# ---- The kernels -----------------------------------------------------------------------------------------------------


@on_each_path
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("side", SIDES)
def test_every_path_is_near_the_specification(side: int, scale: float, path: str) -> None:
    """Whatever the sizes and threads; bfloat16 gives the bits of the float32 that it stands for."""
    need(path)
    for height, width in ((side, 3), (2, side)):
        inputs = draw_inputs(height, width, scale)
        result = cpu.modulated_mlp(*inputs, threads=1, path=path)
        assert_near(result, reference.modulated_mlp(*in_float64(inputs)))
        for threads, dtype in product((1, 3), (torch.float32, torch.bfloat16)):
            again = cpu.modulated_mlp(inputs[0].to(dtype), *inputs[1:], threads=threads, path=path)
            assert torch.equal(again, result)


@pytest.mark.parametrize("scale", [1.0, 3.7])
def test_the_two_sets_of_vectors_agree_to_the_bit(scale: float) -> None:
    """Both fuse multiplication and addition, in one order: tiles may come from machines with either."""
    for path in ("avx2", "avx512"):
        need(path)
    inputs = draw_inputs(9, 70, scale)
    assert torch.equal(*(cpu.modulated_mlp(*inputs, path=path) for path in ("avx2", "avx512")))


@on_each_path
def test_sides_may_differ_in_scale_and_shrink(path: str) -> None:
    need(path)
    for scales in ((1.5, 4.0), (0.4, 2.0), (3.0, 0.13), (0.07, 0.07)):
        inputs = draw_inputs(40, 90, *scales)
        assert_near(cpu.modulated_mlp(*inputs, path=path), reference.modulated_mlp(*in_float64(inputs)))


@on_each_path
@pytest.mark.parametrize("scale", [1.5, 2.0, 2.7, 3.7, 8.0])
def test_tiles_with_a_halo_of_one_pixel_have_the_bits_of_the_whole(scale: float, path: str) -> None:
    need(path)
    size = 21, 47
    modulations, outs = draw_modulations(*size), [round(side * scale) for side in size]
    base = draw_base(*outs)
    whole = cpu.modulated_mlp(*draw_inputs(*size, scale), path=path)
    for spans in product(*(pieces(out, 3) for out in outs)):
        axes, cuts = [], []
        for (start, stop), out, side in zip(spans, outs, size, strict=True):
            floor, _ = Axis(start, stop - start, out, side, 0).positions()
            first, last = max(int(floor[0]), 0), min(int(floor[-1]) + 2, side)
            axes.append(Axis(start, stop - start, out, side, first))
            cuts.append(slice(first, last))
        tile = slice(None), slice(*spans[0]), slice(*spans[1])
        part = modulations[:, *cuts], base[tile], samples_of(*axes), draw_layers()
        assert torch.equal(cpu.modulated_mlp(*part, threads=1, path=path), whole[tile])


def pieces(length: int, count: int) -> list[tuple[int, int]]:
    """Uneven ones."""
    bounds = [0, *(length * k * k // count**2 for k in range(1, count + 1))]
    return [*pairwise(bounds)]


@on_each_path
def test_samples_in_any_order_alone_or_repeated_keep_their_bits(path: str) -> None:
    need(path)
    modulations, base, samples, layers = draw_inputs(19, 61, 2.7)
    whole = cpu.modulated_mlp(modulations, base, samples, layers, path=path)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, whole.shape[1], (40,), generator=generator)
    for length in (1, 5, 300):
        cols = torch.randint(0, whole.shape[2], (length,), generator=generator)
        part = modulations, base[:, rows][:, :, cols], some(samples, rows, cols), layers
        assert torch.equal(cpu.modulated_mlp(*part, path=path), whole[:, rows][:, :, cols])


@on_each_path
def test_samples_outside_the_window_have_its_edge_as_neighbours(path: str) -> None:
    need(path)
    modulations, _, samples, layers = draw_inputs(4, 5, 2.0)
    floor = torch.tensor([-(2**40), -7, -2, -1, 0, 2, 3, 4, 5, 90, 2**40])
    part = torch.linspace(0, 0.99, len(floor))
    for row, col in ((floor, torch.tensor([1])), (torch.tensor([2]), floor)):
        outside = Samples(Places(row, part[: len(row)]), Places(col, part[: len(col)]), samples.cell)
        inputs = modulations, draw_base(len(row), len(col)), outside, layers
        assert_near(cpu.modulated_mlp(*inputs, path=path), reference.modulated_mlp(*in_float64(inputs)))


@on_each_path
@pytest.mark.parametrize("spoilt", [NAN, INF, -INF])
def test_what_is_not_finite_spoils_the_samples_around_it_and_no_other(spoilt: float, path: str) -> None:
    need(path)
    modulations, base, samples, layers = draw_inputs(9, 11, 2.7)
    whole = cpu.modulated_mlp(modulations, base, samples, layers, path=path)
    rows, cols = (torch.stack([axis.floor, axis.floor + 1]) for axis in samples[:2])
    touched = (rows == 4).any(0)[:, None] & (cols == 6).any(0)
    ruined = modulations.clone()
    ruined[:, 4, 6] = spoilt
    result = cpu.modulated_mlp(ruined, base, samples, layers, path=path)
    assert torch.equal(result[:, ~touched], whole[:, ~touched])
    if spoilt != spoilt:
        assert result[:, touched].isnan().all()
        assert reference.modulated_mlp(ruined, base, samples, layers)[:, touched].isnan().all()
    ruined = base.clone()
    ruined[1, 4, 6] = spoilt
    result = cpu.modulated_mlp(modulations, ruined, samples, layers, path=path)
    kept = whole.clone()
    kept[1, 4, 6] = spoilt
    assert torch.equal(result.nan_to_num(7), kept.nan_to_num(7))


@on_each_path
def test_any_order_in_memory_gives_the_same_bits(path: str) -> None:
    need(path)
    modulations, base, samples, layers = draw_inputs(8, 13, 1.5)
    wanted = cpu.modulated_mlp(modulations, base, samples, layers, path=path)
    row, col = (Places(*(torch.stack([one, one], 1)[:, 0] for one in axis)) for axis in samples[:2])
    strided = Samples(row, col, samples.cell)
    turned = Layers([weight.t().contiguous().t() for weight in layers.weights], layers.biases)
    planes = base.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert not any(view.is_contiguous() for view in (planes, *strided.rows, turned.weights[1]))
    assert torch.equal(cpu.modulated_mlp(modulations.contiguous(), planes, strided, turned, path=path), wanted)
    shifted = torch.cat([torch.zeros(1), modulations.permute(1, 2, 0).flatten()])[1:].view(8, 13, -1).permute(2, 0, 1)
    assert torch.equal(cpu.modulated_mlp(shifted, planes, strided, turned, path=path), wanted)


@pytest.mark.parametrize("counts", [(0, 4), (4, 0), (0, 0)])
def test_no_samples_are_no_trouble(counts: tuple[int, int]) -> None:
    modulations, base, samples, layers = draw_inputs(4, 4, 1.0)
    rows, cols = (slice(0, length) for length in counts)
    inputs = modulations, base[:, rows, cols], some(samples, rows, cols), layers
    assert reference.modulated_mlp(*inputs).shape == ops.modulated_mlp(*inputs).shape == (3, *counts)


def test_what_does_not_belong_together_is_refused_before_it_is_read() -> None:
    need("portable")
    modulations, base, samples, layers = draw_inputs(3, 4, 2.0)
    shorter = samples._replace(rows=samples.rows._replace(part=samples.rows.part[1:]))
    with pytest.raises(ValueError, match="not as long as its axes"):
        cpu.modulated_mlp(modulations, base, shorter, layers)
    with pytest.raises(ValueError, match="modulations of no pixel"):
        cpu.modulated_mlp(modulations[:, :0], base, samples, layers)
    with pytest.raises(ValueError, match='path is "sse", wanted auto'):
        cpu.modulated_mlp(modulations, base, samples, layers, path="sse")
    with pytest.raises(TypeError):
        cpu.modulated_mlp(modulations[1:], base, samples, layers)


# ---- The op ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_op_is_one_that_torch_can_trace(dtype: torch.dtype, implementation: None) -> None:
    modulations, base, (rows, cols, cell), layers = draw_inputs(5, 4, 1.5)
    arguments = modulations.to(dtype), base, *rows, *cols, *cell, *layers
    torch.library.opcheck(torch.ops.lutra.modulated_mlp, arguments)


def test_the_op_has_no_gradient() -> None:
    modulations, base, samples, layers = draw_inputs(3, 3, 2.0)
    with pytest.raises(RuntimeError, match="lutra::modulated_mlp has no gradient of its own"):
        torch.autograd.backward(ops.modulated_mlp(modulations.requires_grad_(), base, samples, layers).sum())
    trained = Layers([weight.requires_grad_() for weight in layers.weights], layers.biases)
    with pytest.raises(RuntimeError, match="lutra::modulated_mlp has no gradient of its own"):
        torch.autograd.backward(ops.modulated_mlp(modulations.detach(), base, samples, trained).sum())
    with torch.no_grad():
        assert not ops.modulated_mlp(modulations, base, samples, layers).requires_grad


def test_the_op_gives_what_the_kernel_gives(implementation: None) -> None:
    inputs = draw_inputs(5, 4, 1.5)
    serving: Callable[..., Tensor] = reference.modulated_mlp if cpu.why_missing() else cpu.modulated_mlp
    assert torch.equal(ops.modulated_mlp(*inputs), serving(*inputs))
