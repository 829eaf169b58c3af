"""Weights that a user brings, drawn from a seed: small networks whose files are real."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from models import weights as weight_files
from models.airnet import Airnet, AirnetConfig
from models.layout import channels_last
from models.moco import DegradationEncoder, Moco
from models.weights import Weights

SMALL_AIRNET = AirnetConfig(
    width=8, groups=1, blocks=1, encoder=(8, 12, 16), contrast_dim=16, unshuffle=2, image_residual=True
)


def drawn_airnet(config: AirnetConfig = SMALL_AIRNET, seed: int = 3) -> Airnet:
    """A network as after training: offsets of some pixels, norms with statistics, a tail that says something."""
    torch.manual_seed(seed)
    network = Airnet(config, batch=2)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "conv_offset_mask" in name or name.startswith("R.tail"):
                tensor.normal_(0, 0.05)
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 2)
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0, 0.1)
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
