"""Weights that a user brings, drawn from a seed: small networks whose files are real."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import weights as weight_files
from models.airnet import Airnet, AirnetConfig
from models.airnet_u import AirnetU, AirnetUConfig
from models.layout import channels_last
from models.moco import DegradationEncoder, Moco
from models.weights import Weights

SMALL_AIRNET = AirnetConfig(
    width=8, groups=1, blocks=1, encoder=(8, 12, 16), contrast_dim=16, unshuffle=2, image_residual=True
)
SMALL_AIRNET_U = AirnetUConfig(
    width=8, down=(1, 1, 1, 1), middle=1, up=(1, 1, 1, 1), encoder=(8, 8, 8), code=16, hidden=16
)


def drawn_airnet(config: AirnetConfig = SMALL_AIRNET, seed: int = 3) -> Airnet:
    """A network as after training: offsets of some pixels, norms with statistics, a tail that says something."""
    torch.manual_seed(seed)
    network = Airnet(config, batch=2)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "conv_offset_mask" in name or name.startswith("R.tail"):
                tensor.normal_(0, 0.05)
    draw_norms(network)
    return channels_last(network).eval()


@torch.no_grad()
def draw_norms(network: nn.Module) -> None:
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.1)


def drawn_airnet_u(config: AirnetUConfig = SMALL_AIRNET_U, seed: int = 3) -> AirnetU:
    """A network as after training: blocks that do something under a code, a correction, a certainty."""
    torch.manual_seed(seed)
    network = AirnetU(config, batch=2)
    with torch.no_grad():
        for name, tensor in network.R.named_parameters():
            if "guide" in name or "tail" in name or name.endswith(("beta", "gamma")):
                tensor.normal_(0, 0.3)
    draw_norms(network)
    return channels_last(network).eval()


def moco_of(network: Airnet) -> Moco:
    """What training alone needs of it."""
    assert isinstance(network.E, DegradationEncoder)
    return network.E.E


def bring_airnet(folder: Path, config: AirnetConfig = SMALL_AIRNET) -> Airnet:
    """Writes FOLDER/airnet.safetensors; the network that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    network = drawn_airnet(config).served()
    found = Weights("airnet", dataclasses.asdict(network.config), network.state_dict(), {})
    weight_files.save(folder / "airnet.safetensors", found, torch.float32)
    return network


def bring_airnet_u(
    folder: Path, config: AirnetUConfig = SMALL_AIRNET_U, facts: dict[str, Any] | None = None
) -> AirnetU:
    """Writes FOLDER/airnet-u.safetensors; the network that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    network = drawn_airnet_u(config).exported()
    found = Weights("airnet-u", dataclasses.asdict(network.config), network.state_dict(), facts or {})
    weight_files.save(folder / "airnet-u.safetensors", found, torch.float32)
    return network
