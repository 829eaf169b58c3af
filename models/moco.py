"""AirNet's degradation encoder: what spoilt a picture, learnt without labels by momentum contrast.

Two patches of one picture, spoilt in the same way, shall have codes that lie closer to each other than to those in a
queue of earlier pictures. Only the first block's map (`inter`) reaches the restorer; the rest is for training alone.
It knows no losses and no optimiser: cross-entropy of its logits with label 0 is the published loss.
Source: Li, Liu, Hu, Wu, Lv, Peng, "All-In-One Image Restoration for Unknown Corruption", CVPR 2022 (CBDE); He et al.,
"Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020. Key names as published.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM = 0.999  # share of the key encoder that stays at each step
TEMPERATURE = 0.07
KEYS_PER_PICTURE = 256  # length of the queue over the batch
SLOPE = 0.1


class ResidualBlock(nn.Module):
    """leaky(conv(leaky(conv(x))) + conv1x1(x)), each convolution with a batch norm, or with a bias after folding."""

    def __init__(self, before: int, after: int, stride: int = 1, batch_norm: bool = True) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            *convolution(before, after, 3, stride, batch_norm),
            nn.LeakyReLU(SLOPE, inplace=True),
            *convolution(after, after, 3, 1, batch_norm),
        )
        self.shortcut = nn.Sequential(*convolution(before, after, 1, stride, batch_norm))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.backbone(x) + self.shortcut(x), SLOPE)

    def folded(self) -> ResidualBlock:
        """The same function of a trained block without batch norms, in float32."""
        first: nn.Conv2d = self.backbone[0]  # type: ignore[assignment]
        block = ResidualBlock(first.in_channels, first.out_channels, first.stride[0], batch_norm=False)
        for folded, trained in ((block.backbone, self.backbone), (block.shortcut, self.shortcut)):
            for at in range(0, len(folded), 3):
                fold(folded[at], trained[at], trained[at + 1])  # type: ignore[arg-type]
        return block

    def unfold(self, block: ResidualBlock) -> None:
        """Becomes the function of a folded block, as long as the batch norms rest."""
        for trained, folded in ((self.backbone, block.backbone), (self.shortcut, block.shortcut)):
            for at in range(0, len(folded), 3):
                unfold(trained[at], trained[at + 1], folded[at])  # type: ignore[arg-type]


class Encoder(nn.Module):
    """(N, C, h, w) -> code (N, dim) and inter (N, widths[0], h, w)."""

    def __init__(self, channels: int, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.E_pre = ResidualBlock(channels, widths[0])
        self.E = nn.Sequential(*(ResidualBlock(a, b, stride=2) for a, b in pairwise(widths)), nn.AdaptiveAvgPool2d(1))
        self.mlp = nn.Sequential(nn.Linear(widths[-1], dim), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inter = self.E_pre(x)
        return self.mlp(self.E(inter).flatten(1)), inter


class Moco(nn.Module):
    """An encoder, its slow twin, and a queue of the twin's last codes, 256 times a batch long.

    The encoder makes of N of what it takes codes (N, dim), and something else beside them that is handed on.
    """

    encoder_q: Any
    encoder_k: Any
    queue: Tensor
    queue_ptr: Tensor

    def __init__(self, encoder: nn.Module, dim: int, batch: int) -> None:
        super().__init__()
        self.encoder_q = encoder
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(dim, KEYS_PER_PICTURE * batch), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, query: Any, key: Any) -> tuple[Tensor, Tensor]:
        """query, key, N of each as the encoder takes them (pictures (N, C, h, w) for instance) -> logits (N, 1 + K),
        the right answer first, in float32; and what the encoder hands on of the query.

        In training mode the twin follows and its codes enter the queue.
        """
        code, inter = self.encoder_q(query)
        with torch.no_grad():
            if self.training:
                self.follow()
            twin = F.normalize(self.encoder_k(key)[0].float(), dim=1)
        with torch.autocast(twin.device.type, enabled=False):
            code = F.normalize(code.float(), dim=1)
            alike = (code * twin).sum(1, keepdim=True)
            unlike = code @ self.queue.clone()  # it is written to before the backward pass
            logits = torch.cat([alike, unlike], 1) / TEMPERATURE
        if self.training:
            self.enqueue(twin)
        return logits, inter

    @torch.no_grad()
    def follow(self) -> None:
        """The twin's weights go towards the encoder's; its batch norms keep statistics of their own."""
        for slow, fast in zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True):
            slow.lerp_(fast, 1 - MOMENTUM)

    @torch.no_grad()
    def enqueue(self, codes: Tensor) -> None:
        """codes (N, dim) take the place of the oldest ones."""
        length = self.queue.shape[1]
        spot = (int(self.queue_ptr) + torch.arange(len(codes), device=self.queue.device)) % length
        self.queue[:, spot] = codes.T.to(self.queue.dtype)
        self.queue_ptr.copy_((self.queue_ptr + len(codes)) % length)


class DegradationEncoder(nn.Module):
    """What the published keys call E.E; it stands for nothing but that name."""

    def __init__(self, channels: int, widths: Sequence[int], dim: int, batch: int) -> None:
        super().__init__()
        self.E = Moco(Encoder(channels, widths, dim), dim, batch)

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        logits, inter = self.E(query, key)
        return logits, inter


def convolution(before: int, after: int, kernel: int, stride: int, batch_norm: bool) -> list[nn.Module]:
    """A convolution and its norm; a place holder keeps the numbering of the keys where there is none."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=not batch_norm)
    return [conv, nn.BatchNorm2d(after) if batch_norm else nn.Identity()]


@torch.no_grad()
def fold(target: nn.Conv2d, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """A convolution and the batch norm after it, as one convolution with a bias; computed in float64."""
    assert norm.running_mean is not None and norm.running_var is not None and target.bias is not None
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    target.weight.copy_(conv.weight.double() * gain[:, None, None, None])
    target.bias.copy_(norm.bias.double() - norm.running_mean.double() * gain)


@torch.no_grad()
def unfold(conv: nn.Conv2d, norm: nn.BatchNorm2d, folded: nn.Conv2d) -> None:
    """The other way: a norm that adds the bias of a folded convolution and does nothing else while it rests."""
    assert norm.running_mean is not None and norm.running_var is not None and folded.bias is not None
    conv.weight.copy_(folded.weight)
    norm.weight.fill_(1)
    norm.bias.copy_(folded.bias)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
