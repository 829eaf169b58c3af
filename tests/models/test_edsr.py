"""The features that LIIF reads: their shape, how far they see, and what a network of zeros leaves."""

from __future__ import annotations

import pytest
import torch

from models.edsr import Edsr, ResidualBlock


@pytest.fixture
def network() -> Edsr:
    torch.manual_seed(0)
    return Edsr(width=4, blocks=3).eval()


@torch.no_grad()
def test_there_is_a_feature_of_each_pixel(network: Edsr) -> None:
    assert network(torch.rand(2, 3, 11, 17)).shape == (2, 4, 11, 17)


@torch.no_grad()
def test_a_feature_depends_on_two_pixels_a_block_and_two_more_to_every_side(network: Edsr) -> None:
    reach, side = 2 * 3 + 2, 41
    picture = torch.rand(1, 3, side, side)
    changed = picture.clone()
    changed[..., side // 2, side // 2] += 1
    differs = (network(picture) - network(changed)).abs().sum(1)[0] > 0
    rows, columns = differs.nonzero(as_tuple=True)
    middle = side // 2
    assert (rows.min(), rows.max()) == (middle - reach, middle + reach)
    assert (columns.min(), columns.max()) == (middle - reach, middle + reach)


@torch.no_grad()
def test_blocks_and_body_add_to_what_goes_in(network: Edsr) -> None:
    block, x = ResidualBlock(4), torch.rand(1, 4, 5, 5)
    for parameters in (*block.parameters(), *network.body.parameters()):
        parameters.zero_()
    assert torch.equal(block(x), x)
    picture = torch.rand(1, 3, 9, 9)
    assert torch.equal(network(picture), network.head(picture))
