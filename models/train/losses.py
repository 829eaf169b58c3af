"""What a picture or a table is judged by besides the difference of its pixels.

Basis tables: smooth, and never darker for a brighter input. Enlarged pictures: as much detail as the original has, not
necessarily where it has it (`texture`), and the same features in a frozen network (`feature_distance`): VGG19's from a
file that the user supplies, or those of our own encoder. It reads no picture and trains nothing.
Sources: Zeng et al., TPAMI 2022, section 3.4 (tables; weights at the first and last interval as in the published
training); Ledig et al., CVPR 2017, section 2.2.1 (VGG19, relu5_4, divided by 12.75); Simonyan and Zisserman, ICLR 2015,
configuration E, under the keys of torchvision. `texture` is our own: means of Haar coefficients, as texture analysis by
wavelets takes them (Mallat, "A theory for multiresolution signal decomposition", PAMI 1989).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import catalog
from models.convert import read_checkpoint
from models.weights import WeightsError, fill

TEXTURE_LEVELS, TEXTURE_WINDOW = 2, 4  # octaves, and coefficients a side over which one mean is taken
VGG19_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)  # 0: a pool
VGG19_DIVISOR = 12.75


def smoothness(luts: Tensor) -> Tensor:
    """luts (T, 3, D, D, D) -> sum over tables and axes of the mean squared step, border steps counted twice."""
    total = luts.new_zeros(())
    for axis in (2, 3, 4):
        steps = luts.diff(dim=axis).square().movedim(axis, -1)
        weight = luts.new_ones(steps.shape[-1])
        weight[0] = weight[-1] = 2
        total = total + (steps * weight).mean(dim=(1, 2, 3, 4)).sum()
    return total


def monotonicity(luts: Tensor) -> Tensor:
    """luts (T, 3, D, D, D) -> sum over tables and axes of the mean downward step."""
    steps = [torch.relu(-luts.diff(dim=axis)) for axis in (2, 3, 4)]
    return torch.stack([s.mean(dim=(1, 2, 3, 4)).sum() for s in steps]).sum()


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, 2h, 2w) -> halved picture (N, C, h, w) and its details (N, 3 C, h, w): across, down, diagonal."""
    even, odd = x[..., ::2, :], x[..., 1::2, :]
    low, high = (even + odd) / 2, (even - odd) / 2
    a, b, c, d = low[..., ::2], low[..., 1::2], high[..., ::2], high[..., 1::2]
    return (a + b) / 2, torch.cat([(a - b) / 2, (c + d) / 2, (c - d) / 2], 1)


def texture(sr: Tensor, hr: Tensor) -> Tensor:
    """(N, C, h, w) each, sides that 4 divides -> how far the strength of detail differs, place by place and by octave.

    Within a window it does not matter where the detail lies: grain of its own is as good as the original's.
    """
    total = sr.new_zeros(())
    for _ in range(TEXTURE_LEVELS):
        (sr, ours), (hr, wanted) = haar(sr), haar(hr)
        ours, wanted = (F.avg_pool2d(details.abs(), TEXTURE_WINDOW) for details in (ours, wanted))
        total = total + (ours - wanted).abs().mean()
    return total


class Features(nn.Module):
    """Frozen first layers of a network, which wants its input as (x - mean) / std."""

    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], divisor: float = 1) -> None:
        super().__init__()
        self.layers, self.divisor = layers, divisor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers((x - self.mean) / self.std)
        return out.float() / self.divisor


def feature_distance(extractor: nn.Module, sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared difference of the features of both."""
    with torch.no_grad():
        wanted = extractor(hr)
    distance: Tensor = (extractor(sr) - wanted).square().mean()
    return distance


def read_vgg19(path: Path) -> Features:
    """VGG19 up to relu5_4 from torchvision's file of it. Raises WeightsError naming what the file lacks."""
    content = read_checkpoint(path)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path.name} is {type(content).__name__}, wanted the state_dict of torchvision's vgg19")
    layers = vgg19_layers()
    wanted = {f"features.{key}" for key in layers.state_dict()}
    holder = nn.ModuleDict({"features": layers})
    fill(holder, {key: content[key] for key in wanted & content.keys()}, "vgg19")
    return Features(layers, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), VGG19_DIVISOR)


def vgg19_layers() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for width in VGG19_WIDTHS:
        if width:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def our_features(blocks: int) -> Features:
    """The head and some blocks of the encoder that serves in `liif`: trained to enlarge, on nobody else's weights."""
    encoder = catalog.load("liif").encoder
    return Features(nn.Sequential(encoder.head, *encoder.body[:blocks]), (0.5,) * 3, (0.5,) * 3)
