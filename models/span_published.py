"""Published checkpoints of SPAN -> the plain convolutions that serve; a part of `models.convert`.

A convolution is stored as it serves (`conv_2.weight`), or as it was trained, in branches: `sk`, a 1x1, beside `conv.0`,
a 1x1 that widens, `conv.1`, a 3x3, and `conv.2`, a 1x1 that narrows. Their sum is one 3x3 convolution; what is stored
of it (`eval_conv`) may be older than the branches and is not read. It knows files of any width and factor.
Source: Wan et al., CVPR Workshops 2024, section 3 (re-parameterisation); github.com/hongyuanyu/SPAN (keys).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.span import MEAN
from models.weights import WeightsError

Content = Any  # what a checkpoint holds, not yet trusted
MARK = "block_1.c1_r."
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
HELD_UNDER = ("params_ema", "params", "state_dict")  # the first that is there counts: an average before what it follows


@dataclass(frozen=True)
class PublishedSpan:
    """The network of one factor, under the key names of `models.span.SpanScale`."""

    channels: int
    scale: int
    state: dict[str, Tensor]


def is_span(content: Content) -> bool:
    return isinstance(content, Mapping) and any(key.startswith(MARK) for key in bare(content))


def read(content: Content) -> PublishedSpan:
    """Raises WeightsError naming what is not as published."""
    if not is_span(content):
        raise WeightsError(f"checkpoint lacks {MARK}*: it is not SPAN")
    state = bare(content)
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"weights for span: {key} is {type(value).__name__}, wanted a tensor")

    trained = sorted(key.removesuffix(".sk.weight") for key in state if key.endswith(".sk.weight"))
    plain = {key: value for key, value in state.items() if not key.startswith(tuple(f"{name}." for name in trained))}
    for name in trained:
        plain |= merged(name, state)

    plain = {key.replace("upsampler.0.", "upsampler."): value.float() for key, value in plain.items()}
    plain["mean"] = plain.get("mean", torch.tensor(MEAN)).flatten()

    last = plain.get("upsampler.weight")
    if last is None or last.dim() != 4:
        raise WeightsError("weights for span lack upsampler.weight, or it is no convolution's")
    scale = math.isqrt(last.shape[0] // 3)
    if last.shape[0] != 3 * scale**2:
        raise WeightsError(f"weights for span: upsampler.weight has {last.shape[0]} outputs, wanted 3 times a square")
    return PublishedSpan(last.shape[1], scale, plain)


def bare(content: Mapping[str, Any]) -> dict[str, Any]:
    """The state_dict in a checkpoint, under its bare names."""
    state = next((content[key] for key in HELD_UNDER if key in content), content)
    if not isinstance(state, Mapping):
        return {}
    return {WRAPPERS.sub("", str(key)): value for key, value in state.items()}


def merged(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The branches of one convolution -> its weight and bias, computed in float64."""
    try:
        (w1, b1), (w2, b2), (w3, b3), (skip, skip_bias) = (
            (state[f"{name}.{part}.weight"].double(), state[f"{name}.{part}.bias"].double())
            for part in ("conv.0", "conv.1", "conv.2", "sk")
        )
        weight = torch.einsum("oa,abhw,bi->oihw", w3.flatten(1), w2, w1.flatten(1)) + F.pad(skip, [1] * 4)
        bias = w3.flatten(1) @ (w2.sum((2, 3)) @ b1 + b2) + b3 + skip_bias
    except KeyError as error:
        raise WeightsError(f"weights for span lack {error.args[0]}") from error
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"weights for span: the branches of {name} do not fit each other") from error
    return {f"{name}.weight": weight, f"{name}.bias": bias}
