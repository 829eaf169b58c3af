"""The U of NAF blocks: the block as written out, an identity at first, a reach that holds, and windows that align."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.naf import MULTIPLE, ChannelNorm, NafBlock, NafU, Up


def drawn(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def active(network: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    """With parameters that are none of those it begins with."""
    for k, parameter in enumerate(network.parameters()):
        parameter.copy_(0.2 * drawn(*parameter.shape, seed=seed + k))
    return network.eval()


def test_the_norm_is_over_the_channels_of_each_pixel() -> None:
    norm = ChannelNorm(6)
    out = norm(drawn(2, 6, 3, 4))
    assert torch.allclose(out.mean(1), torch.zeros(2, 3, 4), atol=1e-6)
    assert torch.allclose(out.var(1, unbiased=False), torch.ones(2, 3, 4), atol=1e-4)


@torch.no_grad()
def test_a_block_is_what_the_paper_writes_with_a_scale_and_a_shift_of_the_code() -> None:
    block = active(NafBlock(4, 3))
    assert isinstance(block, NafBlock)
    x, code = drawn(2, 4, 5, 6), drawn(2, 3, seed=9)
    scale, shift = block.guide(code)[:, :, None, None].split(4, 1)
    wide = block.conv2(block.conv1(block.norm1(x)))
    y = x + block.beta * block.conv3(wide[:, :4] * wide[:, 4:] * (1 + scale) + shift)
    wide = block.conv4(block.norm2(y))
    assert torch.allclose(block(x, code), y + block.gamma * block.conv5(wide[:, :4] * wide[:, 4:]), atol=1e-6)
    assert not torch.allclose(block(x, code), block(x, 2 * code))


def test_a_block_begins_as_the_identity_and_a_u_as_nothing() -> None:
    x, code = drawn(1, 4, 32, 32), drawn(1, 3)
    assert torch.equal(NafBlock(4, 3)(x, code), x)
    assert not NafU((4, 2), 4, (1, 1, 1, 1), 1, (1, 1, 1, 1), 3)(x, code).any()


def test_up_doubles_the_sides_and_halves_the_channels() -> None:
    assert Up(8)(drawn(1, 8, 3, 5)).shape == (1, 4, 6, 10)


@torch.no_grad()
def test_nothing_beyond_its_reach_changes_a_pixel_and_something_near_it_does() -> None:
    network = active(NafU((3, 2), 4, (2, 1, 1, 2), 2, (1, 1, 2, 1), 3)).double()
    assert isinstance(network, NafU)
    assert network.reach == 2 + (2 + 1) + 2 * (1 + 2) + 4 * (1 + 1) + 8 * (2 + 1) + 16 * 2 + 15
    side = 14 * MULTIPLE
    x, code = drawn(1, 3, side, side).double(), drawn(1, 3).double()
    for at in (side // 2, side // 2 + MULTIPLE - 1):
        row = torch.arange(side)
        for apart, changes in ((network.reach, False), (network.reach // 2, True)):
            other = x.clone()
            other[..., (row < at - apart) | (row > at + apart), :] = 0
            changed = (network(x, code) - network(other, code))[..., at, :].abs().max() > 0
            assert bool(changed) is changes


@torch.no_grad()
def test_a_window_that_begins_at_a_multiple_of_sixteen_sees_the_same() -> None:
    network = active(NafU((3, 2), 4, (1, 1, 1, 1), 1, (1, 1, 1, 1), 3))
    assert isinstance(network, NafU)
    x, code = drawn(1, 3, 12 * MULTIPLE, 12 * MULTIPLE), drawn(1, 3)
    around = -(-network.reach // MULTIPLE) * MULTIPLE
    whole, part = network(x, code), network(x[..., MULTIPLE:, MULTIPLE:], code)
    inner = slice(around, -around)
    assert torch.allclose(whole[..., MULTIPLE:, MULTIPLE:][..., inner, inner], part[..., inner, inner], atol=1e-5)
    shifted = network(x[..., 8:, 8:][..., : 11 * MULTIPLE, : 11 * MULTIPLE], code)
    same = F.pad(shifted, (8, 0, 8, 0))[..., around + 16 : -around - 16, around + 16 : -around - 16]
    wanted = whole[..., : same.shape[-2] + 2 * around + 32, : same.shape[-1] + 2 * around + 32]
    assert not torch.allclose(same, wanted[..., around + 16 : -around - 16, around + 16 : -around - 16], atol=1e-4)
