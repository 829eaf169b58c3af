"""The NAF block: the specification against its definition written out, the compiled kernels against the specification
in float64.

Tolerance, as largest difference over the largest number there is:
    float32    4e-6    two norms and four products in a row, the longest a sum of C terms
    bfloat16   1/250   arithmetic is float32, and what comes out is rounded once, to 8 bits
    by pairs   1/125   AVX-512 BF16, where what a product takes is rounded to 8 bits, too
A number is rounded by a share of it that is spread evenly up to 2^-9, in the root mean square 2^-9 / sqrt(3), and a sum
of products whose roundings have nothing to do with each other by no larger one. Two factors of a gate, and what they
make, rounded again: sqrt(3) of that, so 2^-9 of what a branch adds; two branches, 2^-8.5; and 2^-9 as the block ends:
1/212 where the largest error stands out from the others as the largest number does. In a picture of a few pixels it may
do so by twice as much. From the specification that rounds what products take, this form is no further than the others
are from theirs: 1/250.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import cpu, ops
from kernels.ops import NafLayers
from kernels.reference import naf_block as reference
from tests.kernels.paths import PATHS, need

BOUNDS = {torch.float32: 4e-6, torch.bfloat16: 1 / 250}
PAIRS = "avx512bf16"  # the path that multiplies bfloat16
PAIRS_BOUND = 1 / 125
NAN = float("nan")

Inputs = tuple[Tensor, Tensor, Tensor, NafLayers]

on_each_form = pytest.mark.parametrize(
    ("path", "dtype"), [*((path, dtype) for path in PATHS for dtype in BOUNDS), (PAIRS, torch.bfloat16)]
)


def need_form(path: str, dtype: torch.dtype) -> None:
    """Skips, with the reason, where this processor or build has no such form for that type."""
    need("portable")
    if path not in cpu.naf_paths(dtype):
        pytest.skip(f"this processor or build has no {path}")


def draw_inputs(count: int, channels: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Inputs:
    """Channels last; layers that keep the size of what passes them, and norms, scales and factors that are not 1."""
    generator = torch.Generator().manual_seed(1000 * channels + 100 * count + 10 * height + width)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    layers = {
        name: draw(*shape) * (max(1, shape[1] * shape[2] * shape[3]) ** -0.5 if len(shape) == 4 else 0.5)
        for name, shape in reference.layer_shapes(channels).items()
    }
    for name in ("norm1_gain", "norm2_gain"):
        layers[name] += 1
    x = 1 + 2 * draw(count, height, width, channels)
    codes = (0.3 * draw(count, channels) for _ in range(2))
    scale, shift = (code.to(dtype) for code in codes)
    return x.to(dtype).permute(0, 3, 1, 2), scale, shift, NafLayers(**{k: v.to(dtype) for k, v in layers.items()})


def in_float64(inputs: Inputs) -> Inputs:
    x, scale, shift, layers = inputs
    return x.double(), scale.double(), shift.double(), NafLayers(*(layer.double() for layer in layers))


def assert_near(got: Tensor, exact: Tensor, dtype: torch.dtype = torch.float32, path: str = "") -> None:
    bound = PAIRS_BOUND if path == PAIRS else BOUNDS[dtype]
    assert got.shape == exact.shape
    assert got.dtype == dtype
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert float((got.double() - exact).abs().max()) <= bound * float(exact.abs().max())


def written_out(inputs: Inputs) -> Tensor:
    """The definition, one pixel after the other."""
    x, scale, shift, layers = in_float64(inputs)
    own = SimpleNamespace(**{name: layer.squeeze().numpy() for name, layer in layers._asdict().items()})
    out = np.empty(x.shape)
    half = x.shape[1]

    def normed(v: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
        out: np.ndarray = gain * (v - v.mean()) / np.sqrt(v.var() + 1e-6) + offset
        return out

    for n in range(len(x)):
        picture = x[n].numpy()
        wide = np.zeros((2 * half, picture.shape[1] + 2, picture.shape[2] + 2))
        for i, j in np.ndindex(picture.shape[1:]):
            first = normed(picture[:, i, j], own.norm1_gain, own.norm1_offset)
            wide[:, i + 1, j + 1] = own.conv1 @ first + own.conv1_bias
        for i, j in np.ndindex(picture.shape[1:]):
            v = (wide[:, i : i + 3, j : j + 3] * own.conv2).sum((1, 2)) + own.conv2_bias
            v = v[:half] * v[half:] * (1 + scale[n].numpy()) + shift[n].numpy()
            y = picture[:, i, j] + own.beta * (own.conv3 @ v + own.conv3_bias)
            v = own.conv4 @ normed(y, own.norm2_gain, own.norm2_offset) + own.conv4_bias
            out[n, :, i, j] = y + own.gamma * (own.conv5 @ (v[:half] * v[half:]) + own.conv5_bias)
    return torch.from_numpy(out)


# ---- The specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 2)])
@pytest.mark.parametrize("channels", [4, 16])
def test_the_specification_equals_the_definition_written_out(channels: int, size: tuple[int, int]) -> None:
    inputs = draw_inputs(2, channels, *size)
    wanted = written_out(inputs)
    assert (reference.naf_block(*in_float64(inputs)) - wanted).abs().max() < 1e-12
    assert_near(reference.naf_block(*inputs), wanted)


def test_factors_of_nothing_leave_a_picture_to_the_bit() -> None:
    x, scale, shift, layers = draw_inputs(1, 16, 9, 7)
    for factor in (layers.beta, layers.gamma):
        factor.zero_()
    assert torch.equal(ops.naf_block(x, scale, shift, layers), x)


# ---- The kernels -----------------------------------------------------------------------------------------------------


@on_each_form
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5), (5, 3), (7, 6), (2, 23), (19, 4), (4, 131)])
@pytest.mark.parametrize("channels", [16, 32, 48])
def test_every_form_is_near_the_specification(
    channels: int, size: tuple[int, int], path: str, dtype: torch.dtype
) -> None:
    need_form(path, dtype)
    inputs = draw_inputs(2, channels, *size, dtype)
    result = cpu.naf_block(*inputs, threads=1, path=path)
    assert_near(result, reference.naf_block(*in_float64(inputs)), dtype, path)
    assert torch.equal(cpu.naf_block(*inputs, threads=3, path=path), result)


@on_each_form
@pytest.mark.parametrize("channels", [64, 128, 256])
def test_wide_blocks_are_as_near(channels: int, path: str, dtype: torch.dtype) -> None:
    need_form(path, dtype)
    for count, size in ((1, (3, 30)), (3, (5, 7))):
        inputs = draw_inputs(count, channels, *size, dtype)
        assert_near(cpu.naf_block(*inputs, path=path), reference.naf_block(*in_float64(inputs)), dtype, path)


@pytest.mark.parametrize("channels", [16, 48, 64, 256])
def test_pairs_are_rounded_where_a_product_takes_them_and_nowhere_else(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_form(PAIRS, torch.bfloat16)
    inputs = draw_inputs(2, channels, 9, 70, torch.bfloat16)
    result, convolve = cpu.naf_block(*inputs, path=PAIRS), F.conv2d

    def rounded_before(v: Tensor, weight: Tensor, *more: Any, **options: Any) -> Tensor:
        made: Tensor = convolve(v.bfloat16().double() if weight.shape[-1] == 1 else v, weight, *more, **options)
        return made

    monkeypatch.setattr(F, "conv2d", rounded_before)
    assert_near(result, reference.naf_block(*in_float64(inputs)), torch.bfloat16)


def test_float32_is_never_multiplied_by_pairs() -> None:
    need_form(PAIRS, torch.bfloat16)
    inputs = draw_inputs(1, 32, 5, 9)
    assert torch.equal(*(cpu.naf_block(*inputs, path=path) for path in (PAIRS, "avx512")))


def test_the_op_multiplies_bfloat16_by_pairs_where_the_processor_does() -> None:
    need("portable")
    inputs = draw_inputs(1, 32, 5, 9, torch.bfloat16)
    assert torch.equal(ops.naf_block(*inputs), cpu.naf_block(*inputs, path=cpu.naf_paths(torch.bfloat16)[-1]))


def test_the_two_sets_of_vectors_agree_to_the_bit() -> None:
    """Both fuse multiplication and addition, in one order: tiles may come from machines with either."""
    for path in ("avx2", "avx512"):
        need(path)
    for channels in (16, 48, 64):
        inputs = draw_inputs(2, channels, 9, 70)
        assert torch.equal(*(cpu.naf_block(*inputs, path=path) for path in ("avx2", "avx512")))


@on_each_form
@pytest.mark.parametrize("channels", [16, 32])
def test_threads_change_nothing(channels: int, path: str, dtype: torch.dtype) -> None:
    need_form(path, dtype)
    inputs = draw_inputs(2, channels, 67, 203, dtype)
    one = cpu.naf_block(*inputs, threads=1, path=path)
    for threads in (2, 5, 64):
        assert torch.equal(cpu.naf_block(*inputs, threads=threads, path=path), one)


@on_each_form
def test_a_window_has_the_bits_of_the_whole_but_at_its_edge(path: str, dtype: torch.dtype) -> None:
    """Wherever strips, groups of pixels and bands begin; and a picture those it has alone."""
    need_form(path, dtype)
    x, scale, shift, layers = draw_inputs(2, 32, 21, 215, dtype)
    whole = cpu.naf_block(x, scale, shift, layers, path=path)
    for top, left, height, width in ((0, 0, 21, 90), (3, 5, 9, 8), (7, 1, 4, 207), (10, 100, 11, 115)):
        window = x[:, :, top : top + height, left : left + width]
        inner = cpu.naf_block(window, scale, shift, layers, path=path)[:, :, 1:-1, 1:-1]
        assert torch.equal(inner, whole[:, :, top + 1 : top + height - 1, left + 1 : left + width - 1])
    assert torch.equal(cpu.naf_block(x[1:], scale[1:], shift[1:], layers, path=path), whole[1:])


@on_each_form
def test_pixels_that_are_all_the_same_are_normed_like_others(path: str, dtype: torch.dtype) -> None:
    """Their variance is 0, and large beside their mean where only one channel stands out."""
    need_form(path, dtype)
    x, scale, shift, layers = draw_inputs(1, 16, 6, 9, dtype)
    flat = torch.full_like(x, 37.0)
    flat[:, 3, 2:] += 1000
    inputs = flat, scale, shift, layers
    assert_near(cpu.naf_block(*inputs, path=path), reference.naf_block(*in_float64(inputs)), dtype, path)


@on_each_form
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_what_is_no_number_spoils_the_pixels_around_it_and_no_other(
    value: float, path: str, dtype: torch.dtype
) -> None:
    need_form(path, dtype)
    x, scale, shift, layers = draw_inputs(1, 16, 9, 11, dtype)
    whole = cpu.naf_block(x, scale, shift, layers, path=path)
    ruined = x.clone()
    ruined[0, 5, 4, 6] = value
    result = cpu.naf_block(ruined, scale, shift, layers, path=path)
    touched = torch.zeros(9, 11, dtype=torch.bool)
    touched[3:6, 5:8] = True
    assert result[..., touched].isnan().all()
    assert torch.equal(result[..., ~touched], whole[..., ~touched])


@on_each_form
def test_any_order_in_memory_gives_the_same_bits(path: str, dtype: torch.dtype) -> None:
    need_form(path, dtype)
    x, scale, shift, layers = draw_inputs(2, 16, 8, 13, dtype)
    wanted = cpu.naf_block(x, scale, shift, layers, path=path)
    turned = NafLayers(*(torch.stack([layer, layer], -1)[..., 0] for layer in layers))
    strided_scale, strided_shift = (torch.stack([code, code], 1)[:, 0] for code in (scale, shift))
    assert not turned.conv1.is_contiguous()
    assert torch.equal(cpu.naf_block(x.contiguous(), strided_scale, strided_shift, turned, path=path), wanted)
    one_later = torch.cat([torch.zeros(1, dtype=dtype), x.permute(0, 2, 3, 1).flatten()])[1:]
    shifted = one_later.view(2, 8, 13, 16).permute(0, 3, 1, 2)
    assert torch.equal(cpu.naf_block(shifted, scale, shift, layers, path=path), wanted)


def test_what_does_not_belong_together_is_refused_before_it_is_read() -> None:
    need("portable")
    x, scale, shift, layers = draw_inputs(2, 16, 3, 4)
    for spoilt, words in (
        ((x, scale[:1], shift, layers), "scale and shift are not those of x"),
        ((x, scale, shift[:, 1:], layers), "scale and shift are not those of x"),
        ((x[:, :8], scale[:, :8], shift[:, :8], layers), "no multiple of 16"),
        ((x[:, :, :0], scale, shift, layers), "x has no pixel"),
        ((x, scale, shift, layers._replace(conv3=layers.conv3[1:])), "a layer is not as large"),
    ):
        with pytest.raises(ValueError, match=words):
            cpu.naf_block(*spoilt)
    with pytest.raises(ValueError, match='path is "sse", wanted auto'):
        cpu.naf_block(x, scale, shift, layers, path="sse")


# ---- The op ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*BOUNDS])
def test_the_op_is_one_that_torch_can_trace(dtype: torch.dtype, implementation: None) -> None:
    *given, layers = draw_inputs(2, 16, 5, 4, dtype)
    torch.library.opcheck(torch.ops.lutra.naf_block, (*given, [*layers]))
    torch.library.opcheck(torch.ops.lutra.naf_block, (given[0].contiguous(), *given[1:], [*layers]))


def test_the_op_has_no_gradient() -> None:
    x, scale, shift, layers = draw_inputs(1, 16, 3, 3)
    for inputs in (
        (x.clone().requires_grad_(), scale, shift, layers),
        (x, scale, shift, layers._replace(beta=layers.beta.clone().requires_grad_())),
    ):
        with pytest.raises(RuntimeError, match="lutra::naf_block has no gradient of its own"):
            torch.autograd.backward(ops.naf_block(*inputs).sum())
        with torch.no_grad():
            assert not ops.naf_block(*inputs).requires_grad


def test_the_op_gives_what_the_kernel_gives(implementation: None) -> None:
    inputs = draw_inputs(2, 16, 5, 4)
    serving: Callable[..., Tensor] = reference.naf_block if cpu.why_missing() else cpu.naf_block
    assert torch.equal(ops.naf_block(*inputs), serving(*inputs))
