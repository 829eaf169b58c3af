"""The cards of what changes colour and tone, against the network that serves and against what names are read from."""

from __future__ import annotations

import torch

from models import catalog
from models.cards import ALL, BY_NAME, CARDS, LUT3D, OWN_LUT, available


@torch.no_grad()
def test_the_network_must_see_the_whole_picture_as_its_card_says() -> None:
    """Of a picture that is dark above and bright below the halves alone would get other tables."""
    network = catalog.load(LUT3D.name)
    picture = torch.cat([torch.full((1, 3, 40, 60), 0.15), torch.full((1, 3, 40, 60), 0.85)], 2)
    whole = network.lut(picture)
    halves = [network.lut(half) for half in (picture[:, :, :40], picture[:, :, 40:])]
    assert LUT3D.tiling == "whole"
    assert min((half - whole).abs().max() for half in halves) > 1 / 255


def test_a_table_of_the_users_own_has_a_name_and_a_cost_and_is_no_model() -> None:
    assert BY_NAME["lut"] is OWN_LUT
    assert OWN_LUT.task == "enhance" and OWN_LUT.cpu_s_per_mp > 0
    assert OWN_LUT.file is None and OWN_LUT.parameters == 0
    assert OWN_LUT not in ALL
    assert "lut" not in CARDS and "lut" not in available()
