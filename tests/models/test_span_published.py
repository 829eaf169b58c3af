"""Published checkpoints of SPAN become the plain convolutions that serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from models import catalog, convert
from models.cards import available
from models.span import MEAN, SpanConfig
from models.weights import WeightsError
from tests.models.drawn_span import CONVOLUTIONS, State, conv, plain
from tests.models.test_span import draw, whole


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
