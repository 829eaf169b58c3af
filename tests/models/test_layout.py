from __future__ import annotations

import torch
from torch import nn

from models.layout import channels_last


@torch.no_grad()
def test_a_network_keeps_its_values_and_computes_on_pictures_that_lie_channels_last() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    picture = torch.rand(2, 3, 9, 11)
    wanted = network(picture)
    assert channels_last(network) is network
    for weight in (value for value in network.parameters() if value.dim() == 4):
        assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    result = network(picture)
    assert [one.is_contiguous(memory_format=torch.channels_last) for one in (wanted, result)] == [False, True]
    assert torch.allclose(result, wanted, atol=1e-6)
