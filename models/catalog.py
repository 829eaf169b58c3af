"""Name -> network: what builds each model, and how one is loaded ready to serve. Its keys are those of the cards.

It downloads nothing and guesses nothing: a weight file lies in the folder of the user or in ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import weights as weight_files
from models.cards import CARDS, Card
from models.classical import KERNELS, Fourier, Nearest, Resampler
from models.liif import Liif, LiifConfig
from models.lut3d import Lut3D, Lut3DConfig
from models.weights import WeightsError

OUR_WEIGHTS = Path(__file__).parent / "weights"

Config = Mapping[str, Any]


def build_liif(config: Config) -> Liif:
    return Liif(LiifConfig(**config)).to(memory_format=torch.channels_last)


NETWORKS: dict[str, Callable[[Config], Any]] = {
    "lut3d": lambda config: Lut3D(Lut3DConfig(**config)),
    "liif": build_liif,
    "liif-real": build_liif,
    "nearest": lambda config: Nearest(),
    "bilinear": lambda config: Resampler(KERNELS["bilinear"]),
    "bicubic": lambda config: Resampler(KERNELS["bicubic"]),
    "lanczos": lambda config: Resampler(KERNELS["lanczos"]),
    "fourier": lambda config: Fourier(),
}


def build(name: str, config: Config | None = None) -> Any:
    """A model with fresh weights, on the CPU. Raises WeightsError for an unknown name or a setting it does not have."""
    if name not in NETWORKS:
        raise WeightsError(f"no model {name!r}, known are {', '.join(sorted(NETWORKS))}")
    try:
        return NETWORKS[name](config or {})
    except TypeError as error:
        raise WeightsError(f"weights for {name} were made for another version of the network: {error}") from error


def load(
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    weights_dir: Path | None = None,
) -> Any:
    """The model of a card, in eval mode, on `device` and in `dtype`.

    `weights_dir` may hold NAME.safetensors of the user's own, which stand before ours. Raises WeightsError.
    """
    if name not in CARDS:
        raise WeightsError(f"no model {name!r}, known are {', '.join(sorted(CARDS))}")
    card = CARDS[name]
    if card.file is None:
        return build(name)
    path, sha256 = find_weights(card, weights_dir)
    found = weight_files.load(path, sha256)
    if found.network != name:
        raise WeightsError(f"the weight file {path.name} is for {found.network}, wanted {name}")
    network: nn.Module = build(name, found.config)
    weight_files.fill(network, found.state_dict, name)
    network.eval().requires_grad_(False)
    return network.to(device, dtype)


def find_weights(card: Card, weights_dir: Path | None = None) -> tuple[Path, str | None]:
    """Where a card's weights lie, and the hash they must have: the user's file first (any hash), then ours."""
    if weights_dir is not None and (weights_dir / f"{card.name}.safetensors").is_file():
        return weights_dir / f"{card.name}.safetensors", None
    return OUR_WEIGHTS / str(card.file), card.sha256
