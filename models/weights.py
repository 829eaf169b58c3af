"""Weight files: safetensors whose header holds the network's dataclass and the facts of its training.

Ours are in half precision. Writing is deterministic, reading checks the hash on the card and every key and shape by
name. It never opens a pickle; published checkpoints come in through `models.convert`.
Source: https://huggingface.co/docs/safetensors (format).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from models.header import FORMAT, HEADER_KEY, WeightsError, read_header

__all__ = ["Weights", "WeightsError", "check_keys", "dump", "fill", "interpolate", "load", "parse", "save"]


@dataclass(frozen=True)
class Weights:
    """What a weight file holds: which network, how it was configured, its tensors (float32), how they came to be."""

    network: str
    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    facts: dict[str, Any]


def dump(weights: Weights, dtype: torch.dtype = torch.float16) -> bytes:
    """The file's bytes, always the same for the same weights. Raises WeightsError where `dtype` overflows."""
    header = {"format": FORMAT, "network": weights.network, "config": weights.config, "facts": weights.facts}
    tensors = {key: _stored(key, value, dtype) for key, value in weights.state_dict.items()}
    return save_tensors(tensors, {HEADER_KEY: json.dumps(header, sort_keys=True)})


def parse(data: bytes) -> Weights:
    """The bytes of a weight file -> Weights. Raises WeightsError for anything else, a pickle for instance."""
    header = read_header(data)
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise WeightsError(f"not a sound safetensors file: {error}") from error
    state_dict = {key: value.float() for key, value in tensors.items()}
    return Weights(header.network, header.config, state_dict, header.facts)


def save(path: Path, weights: Weights, dtype: torch.dtype = torch.float16) -> str:
    """Writes the file in one step (a half-written one is never seen) and returns its sha256."""
    data = dump(weights, dtype)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(data)
    draft.replace(path)
    return hashlib.sha256(data).hexdigest()


def load(path: Path, sha256: str | None = None) -> Weights:
    """Reads a weight file; refuses one whose hash is not the card's. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"the weight file {path.name} is missing")
    data = path.read_bytes()
    actual = hashlib.sha256(data).hexdigest()
    if sha256 is not None and actual != sha256:
        raise WeightsError(f"the weight file {path.name} has sha256 {actual[:12]}..., its card says {sha256[:12]}...")
    return parse(data)


def fill(network: nn.Module, state_dict: Mapping[str, Tensor], name: str) -> None:
    """Loads `state_dict` into `network` after naming what is missing, extra or misshapen. Raises WeightsError."""
    check_keys({key: tuple(value.shape) for key, value in network.state_dict().items()}, state_dict, name)
    network.load_state_dict(dict(state_dict))


def check_keys(wanted: Mapping[str, tuple[int, ...]], seen: Mapping[str, Tensor], name: str) -> None:
    """Raises WeightsError naming the first missing, extra or misshapen key, and how many there are."""
    missing = sorted(wanted.keys() - seen.keys())
    if missing:
        raise WeightsError(f"weights for {name} lack {_first(missing)}")
    extra = sorted(seen.keys() - wanted.keys())
    if extra:
        raise WeightsError(f"weights for {name} hold {_first(extra)}, which the network does not have")
    for key, shape in wanted.items():
        if tuple(seen[key].shape) != shape:
            raise WeightsError(f"weights for {name}: {key} has shape {tuple(seen[key].shape)}, wanted {shape}")


def interpolate(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], strength: float, name: str
) -> dict[str, Tensor]:
    """Weights between those of the model `name` (`strength` 0) and of one whose training began with them (1).

    The second stays near the first, so what lies between is a network too. Raises WeightsError where the two are not
    weights of one network. Source: Wang et al., "ESRGAN", ECCVW 2018, section 3.4.
    """
    check_keys({key: tuple(value.shape) for key, value in end.items()}, start, name)
    if not 0 <= strength <= 1:
        raise WeightsError(f"strength {strength:g} is outside 0 to 1")
    return {key: _between(start[key], value, strength) for key, value in end.items()}


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Exact at both ends; what is counted, not learnt, is taken from the end."""
    return start.lerp(end, share) if end.is_floating_point() else end


def _first(keys: list[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"


def _stored(key: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    stored = value.detach().to("cpu", dtype).contiguous()
    if not bool(torch.isfinite(stored).all()):
        raise WeightsError(f"{key} holds values that {dtype} cannot (too large, or not a number)")
    return stored
