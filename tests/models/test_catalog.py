"""Name to network: every card has its builder and its weights, and the user's own stand before ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from models import catalog, weights
from models.cards import CARDS
from models.lut3d import Lut3D, Lut3DConfig
from models.weights import Weights, WeightsError

CONFIG = Lut3DConfig(size=5)


@pytest.fixture
def network() -> Lut3D:
    torch.manual_seed(0)
    return Lut3D(CONFIG)


def pack(network: Lut3D) -> Weights:
    return Weights("lut3d", dataclasses.asdict(CONFIG), network.state_dict(), {"seed": 0, "data": "none"})


def test_the_catalogue_and_the_cards_name_the_same_models() -> None:
    assert CARDS.keys() <= catalog.NETWORKS.keys()


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match=r"no model 'lut4d', known are .*liif, .*lut3d"):
        catalog.load("lut4d")
    with pytest.raises(WeightsError, match="known are"):
        catalog.build("lut4d")
    with pytest.raises(WeightsError, match="another version of the network"):
        catalog.build("lut3d", {"depth": 3})


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.file])
def test_the_weights_we_ship_load_and_have_as_many_parameters_as_their_card_says(name: str) -> None:
    network = catalog.load(name)
    assert sum(p.numel() for p in network.parameters()) == CARDS[name].parameters
    assert not network.training


def test_a_users_own_weights_stand_before_ours(network: Lut3D, tmp_path: Path) -> None:
    weights.save(tmp_path / "lut3d.safetensors", pack(network))
    assert catalog.load("lut3d", weights_dir=tmp_path).config == CONFIG
    (tmp_path / "lut3d.safetensors").rename(tmp_path / "liif.safetensors")
    with pytest.raises(WeightsError, match="is for lut3d, wanted liif"):
        catalog.load("liif", weights_dir=tmp_path)
