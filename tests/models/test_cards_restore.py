"""The card of what takes damage off, against the weights that it names."""

from __future__ import annotations

import torch

from models import catalog
from models.cards import AIRNET
from models.header import open_header


def test_the_network_in_the_file_is_the_one_on_the_card() -> None:
    path, sha256 = catalog.find_weights(AIRNET)
    header = open_header(path)
    assert sha256 == AIRNET.sha256
    assert (header.network, header.parameters) == (AIRNET.name, AIRNET.parameters)
    assert header.config["unshuffle"] == AIRNET.unshuffle


@torch.no_grad()
def test_the_network_sees_further_than_the_halo_so_tiles_are_blended() -> None:
    """By more than rounding, some 1e-6, does what lies beyond the halo change a pixel."""
    network, near = catalog.load(AIRNET.name), AIRNET.halo + 16
    picture = torch.rand(1, 3, 32, near + 64, generator=torch.Generator().manual_seed(1))
    other = picture.clone()
    other[..., near:] = 0
    assert AIRNET.tiling == "blended"
    assert (network(picture) - network(other))[..., 0].abs().max() > 1e-4
