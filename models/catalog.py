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
from models.airnet import Airnet, AirnetConfig
from models.airnet_u import AirnetU, AirnetUConfig
from models.cards import Card, available, is_brought, users_file
from models.classical import KERNELS, Fourier, Nearest, Resampler
from models.contract import Servable
from models.eclut import Eclut, EclutConfig
from models.layout import channels_last
from models.liif import Liif, LiifConfig
from models.lmliif import Lmliif, LmliifConfig
from models.lut3d import Lut3D, Lut3DConfig
from models.span import Span, SpanConfig
from models.srresnet import Srresnet, SrresnetConfig
from models.weights import Weights, WeightsError

OUR_WEIGHTS = Path(__file__).parent / "weights"

Config = Mapping[str, Any]
Builder = Callable[[Config], Any]


def plain(kind: Callable[[Any], nn.Module], config: Callable[..., Any]) -> Builder:
    """What builds a network from the fields of its dataclass, as a weight file has them: JSON has no tuples."""
    return lambda stored: kind(config(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}))


def convolutional(kind: Callable[[Any], nn.Module], config: Callable[..., Any]) -> Builder:
    """The same for one that is faster on features that lie pixel by pixel."""
    build = plain(kind, config)
    return lambda stored: channels_last(build(stored))


NETWORKS: dict[str, Builder] = {
    "lut3d": plain(Lut3D, Lut3DConfig),
    "eclut": plain(Eclut, EclutConfig),
    "liif": convolutional(Liif, LiifConfig),
    "liif-real": convolutional(Liif, LiifConfig),
    "liif-rdn": convolutional(Liif, LiifConfig),
    "lmliif": convolutional(Lmliif, LmliifConfig),
    "lmliif-real": convolutional(Lmliif, LmliifConfig),
    "span": convolutional(Span, SpanConfig),
    "srresnet": convolutional(Srresnet, SrresnetConfig),
    "srgan": convolutional(Srresnet, SrresnetConfig),
    "airnet": convolutional(Airnet, AirnetConfig),
    "airnet-u": convolutional(AirnetU, AirnetUConfig),
    "nearest": lambda _: Nearest(),
    "bilinear": lambda _: Resampler(KERNELS["bilinear"]),
    "bicubic": lambda _: Resampler(KERNELS["bicubic"]),
    "lanczos": lambda _: Resampler(KERNELS["lanczos"]),
    "fourier": lambda _: Fourier(),
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
    strength: float = 1.0,
) -> Any:
    """The model of a card as it serves, on `device` and in `dtype`.

    `weights_dir` may hold NAME.safetensors of the user's own, which stand before ours; with them a model is there too
    whose card waits for its weights. `strength` below 1 goes towards the model that the card `blends_with`. Raises
    WeightsError.
    """
    card = find_card(name, weights_dir)
    if card.file is None:
        return build(name)
    weights = read_weights(card, weights_dir)
    network: nn.Module = build(name, weights.config)
    weight_files.fill(network, weights.state_dict, name)
    if strength < 1:
        network.load_state_dict(blend(card, weights, strength, weights_dir))
    return serve(network, device, dtype)


def serve(network: nn.Module, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> nn.Module:
    """A network with its weights, on the CPU -> as it serves: in eval mode, on `device` and in `dtype`."""
    network.eval().requires_grad_(False)
    return (network.served() if isinstance(network, Servable) else network).to(device, dtype)


def find_card(name: str, weights_dir: Path | None = None) -> Card:
    """Raises WeightsError where no weights are known for `name`, with the names that have some."""
    known = available(weights_dir)
    if name not in known:
        raise WeightsError(f"no model {name!r}, known are {', '.join(sorted(known))}")
    return known[name]


def read_weights(card: Card, weights_dir: Path | None = None) -> Weights:
    """What a card's weight file holds. Raises WeightsError, also for a file of another model."""
    path, sha256 = find_weights(card, weights_dir)
    weights = weight_files.load(path, sha256)
    if weights.network != card.name:
        raise WeightsError(f"the weight file {path.name} is for {weights.network}, wanted {card.name}")
    return weights


def blend(card: Card, weights: Weights, strength: float, weights_dir: Path | None = None) -> dict[str, torch.Tensor]:
    """Weights between those of the model that `card` blends with (0) and its own (1).

    Raises WeightsError where it blends with none, or not with the one at hand.
    """
    if card.blends_with is None:
        raise WeightsError(f"{card.name} has no strength below 1")
    start = read_weights(find_card(card.blends_with, weights_dir), weights_dir)
    if start.config != weights.config:
        raise WeightsError(f"{card.name} did not begin as the {card.blends_with} at hand, and has no strength below 1")
    return weight_files.interpolate(start.state_dict, weights.state_dict, strength, card.blends_with)


def find_weights(card: Card, weights_dir: Path | None = None) -> tuple[Path, str | None]:
    """Where a card's weights lie, and the hash they must have: the user's file first (any hash), then ours."""
    if weights_dir is not None and is_brought(card, weights_dir):
        return users_file(card, weights_dir), None
    return OUR_WEIGHTS / str(card.file), card.sha256
