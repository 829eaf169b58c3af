from __future__ import annotations

import torch

from models.liif import Liif, LiifConfig
from models.rdn import Rdn
from tests.models.test_liif import draw, query_reference, whole


def test_parameters_and_keys_are_as_many_as_published() -> None:
    network = Liif(LiifConfig(encoder="rdn"))
    assert sum(p.numel() for p in network.parameters()) == 22_320_835
    assert sum(p.numel() for p in network.encoder.parameters()) == 21_973_952
    assert len(network.state_dict()) == 306


@torch.no_grad()
def test_a_feature_sees_as_far_as_the_halo_of_its_card_says() -> None:
    torch.manual_seed(0)
    blocks, reach = 1, 8 * 1 + 3
    network, picture = Rdn(8, blocks), torch.zeros(1, 3, 1, 41)
    for weight in network.parameters():
        weight.abs_()  # so that no ReLU hides what lies far
    before = network(picture)[..., 20]
    picture[..., : 20 - reach] = picture[..., 21 + reach :] = 1
    assert torch.equal(network(picture)[..., 20], before)
    picture[..., 20 - reach] = 1e6
    assert not torch.equal(network(picture)[..., 20], before)


@torch.no_grad()
def test_liif_with_rdn_equals_the_published_formulation() -> None:
    torch.manual_seed(0)
    network, picture = Liif(LiifConfig(width=8, blocks=2, hidden=16, layers=2, encoder="rdn")), draw(1, 3, 9, 11)
    wanted = query_reference(network, picture, (20, 29))[0]
    assert (network(picture, [whole((9, 11), (20, 29))])[0] - wanted).abs().max() < 1e-6
