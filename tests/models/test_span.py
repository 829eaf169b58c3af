"""SPAN and its published checkpoints, drawn with exactly their keys and shapes, written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from models import catalog, convert
from models.cards import available
from models.classical import finer_halo
from models.contract import Axis, View
from models.span import HALO, MEAN, Span, SpanConfig
from models.weights import WeightsError

State = dict[str, Any]
CONVOLUTIONS = ["conv_1", *(f"block_{i}.c{j}_r" for i in range(1, 7) for j in range(1, 4)), "conv_2"]


def conv(name: str, outputs: int, inputs: int, side: int, small: float = 1.0) -> State:
    weight = torch.randn(outputs, inputs, side, side) / side / inputs**0.5 * small
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs) / 10}


def plain(channels: int, scale: int) -> State:
    """As it serves."""
    torch.manual_seed(channels + scale)
    state = {"mean": torch.tensor(MEAN)}
    for name in CONVOLUTIONS:
        first = name == "conv_1"
        state |= conv(name, channels, 3 if first else channels, 3, 1 / 50 if first else 1.0)
    return state | conv("conv_cat", channels, 4 * channels, 1) | conv("upsampler", 3 * scale**2, channels, 3)


def trained(channels: int, scale: int) -> State:
    """As it was trained, with a stale sum of the branches beside them, and the shuffle in a sequence."""
    torch.manual_seed(channels + scale)
    state: State = {}
    for name in CONVOLUTIONS:
        inputs, small = (3, 1 / 10) if name == "conv_1" else (channels, 1.0)
        state |= conv(f"{name}.sk", channels, inputs, 1, small / 2)
        state |= conv(f"{name}.conv.0", 2 * inputs, inputs, 1, small)
        state |= conv(f"{name}.conv.1", 2 * channels, 2 * inputs, 3)
        state |= conv(f"{name}.conv.2", channels, 2 * channels, 1)
        state |= conv(f"{name}.eval_conv", channels, inputs, 3)
    return state | conv("conv_cat", channels, 4 * channels, 1) | conv("upsampler.0", 3 * scale**2, channels, 3)


def branches(x: Tensor, state: State, name: str) -> Tensor:
    """The convolution as it was trained: its branches side by side, the frame continued by nothing before them."""
    padded = F.pad(x, [1] * 4)
    inner = F.conv2d(padded, state[f"{name}.conv.0.weight"], state[f"{name}.conv.0.bias"])
    inner = F.conv2d(inner, state[f"{name}.conv.1.weight"], state[f"{name}.conv.1.bias"])
    inner = F.conv2d(inner, state[f"{name}.conv.2.weight"], state[f"{name}.conv.2.bias"])
    return inner + F.conv2d(x, state[f"{name}.sk.weight"], state[f"{name}.sk.bias"])


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def whole(size: tuple[int, int], out_size: tuple[int, int]) -> View:
    return View(Axis(0, out_size[0], out_size[0], size[0], 0), Axis(0, out_size[1], out_size[1], size[1], 0))


def network(scales: tuple[int, ...] = (2, 4), channels: int = 8) -> Span:
    found = convert.span_weights([plain(channels, scale) for scale in scales])
    made = Span(SpanConfig(channels, scales))
    made.load_state_dict(found.state_dict)
    return made.eval().requires_grad_(False)


def test_parameters_are_as_many_as_the_published_files_have() -> None:
    assert sum(p.numel() for p in Span(SpanConfig(48, (2,))).parameters()) == 410_700
    assert sum(p.numel() for p in Span(SpanConfig(48, (4,))).parameters()) == 426_288
    assert sum(value.numel() for key, value in plain(48, 4).items() if key != "mean") == 426_288


@pytest.mark.parametrize("wrapper", ["", "params", "params_ema"])
def test_published_files_of_both_factors_become_one(tmp_path: Path, wrapper: str) -> None:
    paths = []
    for scale in (4, 2):
        state = plain(8, scale)
        path = tmp_path / f"span_x{scale}.{'pth' if wrapper else 'safetensors'}"
        if wrapper:
            torch.save({wrapper: {f"module.{key}": value for key, value in state.items()}}, path)
        else:
            save_file({key: value.half() if value.dim() > 1 else value for key, value in state.items()}, path)
        paths.append(path)
    assert convert.detect_kind(paths) == "span"
    assert "span" not in available()
    convert.convert("span", paths, tmp_path / "span.safetensors")
    assert "span" in available(tmp_path)
    served = catalog.load("span", weights_dir=tmp_path)
    assert served.config == SpanConfig(8, (2, 4))
    wanted = plain(8, 4)["block_3.c2_r.weight"]
    assert torch.allclose(served.state_dict()["of.x4.block_3.c2_r.weight"], wanted, atol=1e-3)
    for scale in (2, 4):
        (sr,) = served(draw(1, 3, 6, 7), [whole((6, 7), (6 * scale, 7 * scale))])
        assert sr.shape == (3, 6 * scale, 7 * scale)
        assert torch.isfinite(sr).all()


@torch.no_grad()
def test_the_branches_of_training_become_one_convolution() -> None:
    state = trained(8, 4)
    found = convert.span_weights([{"params": state}]).state_dict
    assert torch.equal(found["of.x4.mean"], torch.tensor(MEAN))
    for name in ("conv_1", "block_2.c3_r"):
        x = draw(1, state[f"{name}.sk.weight"].shape[1], 9, 9)
        weight, bias = found[f"of.x4.{name}.weight"], found[f"of.x4.{name}.bias"]
        merged = F.conv2d(x, weight, bias, padding=1)
        assert (merged - branches(x, state, name))[:, :, 1:-1, 1:-1].abs().max() < 1e-5
        assert not torch.allclose(weight, state[f"{name}.eval_conv.weight"], atol=1e-2)


def test_what_is_wrong_with_a_file_is_named() -> None:
    with pytest.raises(WeightsError, match=r"weights for span lack of\.x4\.conv_2\.bias"):
        convert.span_weights([{key: value for key, value in plain(8, 4).items() if key != "conv_2.bias"}])
    with pytest.raises(WeightsError, match=r"lack conv_1\.conv\.1\.weight"):
        convert.span_weights([{key: v for key, v in trained(8, 4).items() if key != "conv_1.conv.1.weight"}])
    with pytest.raises(WeightsError, match="the branches of conv_2 do not fit each other"):
        convert.span_weights([trained(8, 4) | {"conv_2.conv.2.weight": torch.zeros(8, 15, 1, 1)}])
    with pytest.raises(WeightsError, match=r"conv_2\.bias is int, wanted a tensor"):
        convert.span_weights([plain(8, 4) | {"conv_2.bias": 3}])
    with pytest.raises(WeightsError, match=r"upsampler\.weight has 36 outputs, wanted 3 times a square"):
        convert.span_weights([plain(8, 4) | {"upsampler.weight": torch.zeros(36, 8, 3, 3)[:36]}])
    with pytest.raises(WeightsError, match="two of the files are SPAN of the same scale"):
        convert.span_weights([plain(8, 4), plain(12, 4)])
    with pytest.raises(WeightsError, match="the files are SPAN of 8 and 12 channels"):
        convert.span_weights([plain(8, 4), plain(12, 2)])
    with pytest.raises(WeightsError, match="it is not SPAN"):
        convert.span_weights([{"conv_1.weight": torch.zeros(1)}])


def test_a_broken_safetensors_file_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "span.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ???")
    with pytest.raises(WeightsError, match=r"span\.safetensors is not a sound safetensors file"):
        convert.detect_kind([path])


@torch.no_grad()
def test_it_is_the_formula_of_the_paper() -> None:
    made, x = network((4,)), draw(1, 3, 11, 9)
    state = plain(8, 4)

    def of(name: str, y: Tensor) -> Tensor:
        return F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], padding="same")

    head = of("conv_1", (x - torch.tensor(MEAN)[:, None, None]) * 255)
    y, kept = head, [head]
    for i in range(1, 7):
        inner = F.silu(of(f"block_{i}.c1_r", y))
        out = of(f"block_{i}.c3_r", F.silu(of(f"block_{i}.c2_r", inner)))
        y = (out + y) * (1 / (1 + torch.exp(-out)) - 0.5)
        kept += [y] if i == 1 else []
    feat = of("conv_cat", torch.cat([head, of("conv_2", y), kept[1], inner], 1))
    wanted = F.pixel_shuffle(of("upsampler", feat), 4)
    assert (made(x, [whole((11, 9), (44, 36))])[0] - wanted[0]).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_the_next_larger_factor_makes_what_lies_between() -> None:
    made = network()
    factors = {scale: made.for_view(whole((10, 10), (round(10 * scale), 10))).scale for scale in (1, 2, 2.1, 4, 8)}
    assert factors == {1: 2, 2: 2, 2.1: 4, 4: 4, 8: 4}
    views = [whole((9, 8), size) for size in ((18, 16), (27, 24), (36, 32))]
    pictures = draw(3, 3, 9, 8)
    for k, got in enumerate(made(pictures, views)):
        alone = made(pictures[k : k + 1], [views[k]])[0]
        assert (got - alone).abs().max() < 1e-4 * alone.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.5, 2, 3, 4, 6])
def test_tiles_with_their_halo_equal_the_whole(scale: float) -> None:
    halo = HALO + finer_halo(4)
    size = (2 * halo + 12, 2 * halo + 15)
    out = (round(size[0] * scale), round(size[1] * scale))
    made, picture = network(channels=4), draw(1, 3, *size)
    wanted = made(picture, [whole(size, out)])[0]
    rows, cols = Axis(out[0] // 2, 7, out[0], size[0], 0), Axis(out[1] // 2, 9, out[1], size[1], 0)
    top, left = (int(axis.positions()[0][0]) - halo for axis in (rows, cols))
    bottom, right = (int(axis.positions()[0][-1]) + 2 + halo for axis in (rows, cols))
    placed = View(Axis(rows.start, 7, out[0], size[0], top), Axis(cols.start, 9, out[1], size[1], left))
    tile = made(picture[:, :, top:bottom, left:right], [placed])[0]
    same = wanted[:, rows.start : rows.start + 7, cols.start : cols.start + 9]
    assert (tile - same).abs().max() < 1e-4 * same.abs().max()
