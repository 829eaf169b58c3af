"""SRGAN beside its generator (`models.srresnet`): the discriminator it is trained against.

It knows nothing of losses; those are the recipe's.
Source: Ledig et al., CVPR 2017, section 2.1.1;
spectral norm: Miyato et al., ICLR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

SEEN_SIDE = 96  # the dense layers fix the side of what the discriminator is shown
SLOPE = 0.2


@dataclass(frozen=True)
class DiscriminatorConfig:
    """`spectral`: every layer is held at spectral norm 1 instead of batch norms, so that it cannot win outright."""

    width: int = 64
    dense: int = 1024
    side: int = SEEN_SIDE
    spectral: bool = False


class Discriminator(nn.Module):
    """(N, 3, side, side) in [0, 1] -> logits (N, 1): is it a photograph? The published one ends in a sigmoid."""

    def __init__(self, config: DiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DiscriminatorConfig()
        c = self.config
        widths = [c.width << (layer // 2) for layer in range(8)]
        steps = [bound(nn.Conv2d(3, c.width, 3, padding=1), c.spectral), nn.LeakyReLU(SLOPE)]
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            steps += narrowing(inputs, outputs, 2 - layer % 2, c.spectral)
        small = -(-c.side // 16)
        self.features = nn.Sequential(*steps)
        self.classifier = nn.Sequential(
            bound(nn.Linear(widths[-1] * small * small, c.dense), c.spectral),
            nn.LeakyReLU(SLOPE),
            bound(nn.Linear(c.dense, 1), c.spectral),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


def narrowing(inputs: int, outputs: int, stride: int, spectral: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=spectral)
    norm = [] if spectral else [nn.BatchNorm2d(outputs)]
    return [bound(convolution, spectral), *norm, nn.LeakyReLU(SLOPE)]


class SpectralNorm(nn.Module):
    """weight -> weight / its largest singular value, which one turn of the power method a step follows."""

    left: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("left", F.normalize(torch.randn(weight.shape[0]), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            with torch.no_grad():
                right = F.normalize(self.left @ matrix, dim=0)
                left = F.normalize(matrix @ right, dim=0)
                if self.training:
                    self.left.copy_(left)
            return weight / (left @ matrix @ right)


def bound(layer: nn.Conv2d | nn.Linear, spectral: bool) -> nn.Module:
    if spectral:
        register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return layer
