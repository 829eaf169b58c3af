"""Momentum contrast: the right answer first, a queue that forgets the oldest, and norms that fold away."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.moco import KEYS_PER_PICTURE, TEMPERATURE, Encoder, Moco, ResidualBlock

BATCH = 2


@pytest.fixture
def moco() -> Moco:
    torch.manual_seed(0)
    return Moco(Encoder(3, (4, 8), 6), 6, BATCH)


def test_logits_are_the_cosines_with_the_twin_and_the_queue_the_right_one_first(moco: Moco) -> None:
    moco.eval()
    query, key = torch.rand(2, BATCH, 3, 12, 12)
    logits, inter = moco(query, key)
    code, twin = (F.normalize(encoder(x)[0], dim=1) for encoder, x in ((moco.encoder_q, query), (moco.encoder_k, key)))
    assert logits.shape == (BATCH, 1 + BATCH * KEYS_PER_PICTURE)
    assert torch.allclose(logits[:, 0] * TEMPERATURE, (code * twin).sum(1), atol=1e-5)
    assert torch.allclose(logits[:, 1:] * TEMPERATURE, code @ moco.queue, atol=1e-5)
    assert torch.equal(inter, moco.encoder_q.E_pre(query))


def test_the_queue_takes_codes_in_turn_and_forgets_the_oldest(moco: Moco) -> None:
    length = BATCH * KEYS_PER_PICTURE
    before = moco.queue.clone()
    codes = torch.arange(3 * 6.0).view(3, 6)
    moco.queue_ptr.fill_(length - 2)
    moco.enqueue(codes)
    assert torch.equal(moco.queue[:, [-2, -1, 0]], codes.T)
    assert torch.equal(moco.queue[:, 1:-2], before[:, 1:-2])
    assert int(moco.queue_ptr) == 1


def test_only_training_moves_the_twin_and_the_queue(moco: Moco) -> None:
    def kept() -> list[torch.Tensor]:
        return [value.clone() for value in (moco.queue, *moco.encoder_k.parameters())]

    with torch.no_grad():
        for value in moco.encoder_q.parameters():
            value.add_(1)
    resting = kept()
    moco.eval()(*torch.rand(2, BATCH, 3, 12, 12))
    assert all(map(torch.equal, resting, kept()))
    moco.train()(*torch.rand(2, BATCH, 3, 12, 12))
    assert not any(map(torch.equal, resting, kept()))
    assert int(moco.queue_ptr) == BATCH


@pytest.mark.parametrize("stride", [1, 2])
def test_norms_fold_into_the_convolutions_and_out_again(stride: int) -> None:
    torch.manual_seed(1)
    block, other = (ResidualBlock(3, 5, stride) for _ in range(2))
    block.train()(torch.randn(8, 3, 9, 9))  # statistics that are not those of the beginning
    x = torch.randn(1, 3, 9, 9)
    expected = block.eval()(x)
    folded = block.folded()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    assert torch.allclose(folded(x), expected, atol=1e-5)
    other.unfold(folded)
    assert torch.allclose(other.eval()(x), expected, atol=1e-5)


def test_a_code_is_of_the_whole_picture_and_inter_of_each_pixel() -> None:
    code, inter = Encoder(3, (4, 8), 6).eval()(torch.rand(2, 3, 10, 14))
    assert (code.shape, inter.shape) == ((2, 6), (2, 4, 10, 14))
