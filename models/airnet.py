"""AirNet: takes noise, rain or haze off a picture without being told which.

An encoder (`models.moco`) makes a map of what spoilt the picture; the restorer's modules bend their convolutions and
scale their features by that map. It does not clamp, tile or know kinds of damage.
Source: Li, Liu, Hu, Wu, Lv, Peng, "All-In-One Image Restoration for Unknown Corruption", CVPR 2022; modulated
deformable convolution of Zhu et al., CVPR 2019. Key names as published.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import ops
from models.layout import channels_last
from models.moco import SLOPE, DegradationEncoder, ResidualBlock

TAPS = 9
MAPS = 16  # of features that are held at once, measured by the peak of memory: blocks freed are not all used again
PICTURE_BYTES = 64  # of a pixel in three channels, float32, a few copies
OFFSETS = 2 * TAPS  # dy, dx of each tap, taps row by row; the masks of the taps follow


@dataclass(frozen=True)
class AirnetConfig:
    """As published by default; fewer and narrower groups and blocks are faster.

    `encoder`: widths of the encoder's three blocks, of which the first is the width of the map; `contrast_dim` that of
    the codes it learns by. `unshuffle` 2 folds the picture to half its sides before all else: a quarter of the work.
    `image_residual`: the network predicts the difference to its input. `contrast`: with what training alone needs
    (the twin encoder, its queue, its later blocks, batch norms); weight files are without.
    """

    width: int = 64
    groups: int = 5
    blocks: int = 5
    encoder: tuple[int, int, int] = (64, 128, 256)
    contrast_dim: int = 256
    unshuffle: int = 1
    image_residual: bool = False
    contrast: bool = True


class Modulation(nn.Module):
    """x * gamma + beta, both predicted from the map, pixel by pixel; published name SFT."""

    def __init__(self, width: int, conditioning: int) -> None:
        super().__init__()
        self.conv_gamma = self._predictor(width, conditioning)
        self.conv_beta = self._predictor(width, conditioning)

    @staticmethod
    def _predictor(width: int, conditioning: int) -> nn.Sequential:
        first, second = nn.Conv2d(conditioning, width, 1, bias=False), nn.Conv2d(width, width, 1, bias=False)
        return nn.Sequential(first, nn.LeakyReLU(SLOPE, inplace=True), second)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        out: Tensor = x * self.conv_gamma(inter) + self.conv_beta(inter)
        return out


class DeformableConvolution(nn.Module):
    """A 3x3 convolution whose taps are moved and weighed as features and map predict; starts as half a plain one."""

    def __init__(self, width: int, conditioning: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        self.conv_offset_mask = nn.Conv2d(width + conditioning, OFFSETS + TAPS, 3, padding=1)
        reach = 1 / math.sqrt(TAPS * width)
        nn.init.uniform_(self.weight, -reach, reach)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        offsets_and_masks = self.conv_offset_mask(torch.cat([x, inter], 1))
        return deform(x, offsets_and_masks, self.weight)


class GuidedModule(nn.Module):
    """x + deformed(x) + modulated(x); published name DGM."""

    def __init__(self, width: int, conditioning: int) -> None:
        super().__init__()
        self.dcn = DeformableConvolution(width, conditioning)
        self.sft = Modulation(width, conditioning)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        out: Tensor = x + self.dcn(x, inter) + self.sft(x, inter)
        return out


class GuidedBlock(nn.Module):
    """x + conv(leaky(module(leaky(conv(leaky(module(x))))))); published name DGB."""

    def __init__(self, width: int, conditioning: int) -> None:
        super().__init__()
        self.dgm1 = GuidedModule(width, conditioning)
        self.dgm2 = GuidedModule(width, conditioning)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        out = F.leaky_relu(self.dgm1(x, inter), SLOPE)
        out = F.leaky_relu(self.conv1(out), SLOPE)
        out = F.leaky_relu(self.dgm2(out, inter), SLOPE)
        restored: Tensor = x + self.conv2(out)
        return restored


class GuidedGroup(nn.Module):
    """Blocks one after the other, a convolution, and x; published name DGG."""

    def __init__(self, width: int, conditioning: int, blocks: int) -> None:
        super().__init__()
        tail = nn.Conv2d(width, width, 3, padding=1)
        self.body = nn.ModuleList([*(GuidedBlock(width, conditioning) for _ in range(blocks)), tail])

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        out = x
        for block in self.body[:-1]:
            out = block(out, inter)
        restored: Tensor = x + self.body[-1](out)
        return restored


class GuidedRestorer(nn.Module):
    """(N, C, h, w) and its map (N, conditioning, h, w) -> (N, C, h, w); published name DGRN."""

    def __init__(self, channels: int, config: AirnetConfig) -> None:
        super().__init__()
        c, conditioning = config, config.encoder[0]
        self.head = nn.Sequential(nn.Conv2d(channels, c.width, 3, padding=1))
        groups = [GuidedGroup(c.width, conditioning, c.blocks) for _ in range(c.groups)]
        self.body = nn.ModuleList([*groups, nn.Conv2d(c.width, c.width, 3, padding=1)])
        self.tail = nn.Sequential(nn.Conv2d(c.width, channels, 3, padding=1))

    @property
    def last(self) -> nn.Conv2d:
        last = self.tail[0]
        assert isinstance(last, nn.Conv2d)
        return last

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        head = self.head(x)
        out = head
        for group in self.body[:-1]:
            out = group(out, inter)
        restored: Tensor = self.tail(head + self.body[-1](out))
        return restored


class Airnet(nn.Module):
    """Encoder E and restorer R. `batch` is that of training: the queue holds 256 times as many codes."""

    def __init__(self, config: AirnetConfig | None = None, batch: int = 5) -> None:
        super().__init__()
        self.config = config or AirnetConfig()
        c = self.config
        if c.unshuffle not in (1, 2, 4):
            raise TypeError(f"unshuffle {c.unshuffle} is none of 1, 2, 4")
        channels = 3 * c.unshuffle**2
        self.R = GuidedRestorer(channels, c)
        self.E = (
            DegradationEncoder(channels, c.encoder, c.contrast_dim, batch)
            if c.contrast
            else ResidualBlock(channels, c.encoder[0], batch_norm=False)
        )
        if c.image_residual:
            nn.init.zeros_(self.R.last.weight)
            nn.init.zeros_(self.R.last.bias)  # type: ignore[arg-type]

    def forward(self, picture: Tensor) -> Tensor:
        """See `models.contract.Restorer`."""
        return self.restore(picture)

    @property
    def bytes_per_pixel(self) -> int:
        """See `models.contract.Restorer`."""
        size = self.R.last.weight.element_size()
        return MAPS * self.config.width * size // self.config.unshuffle**2 + PICTURE_BYTES

    @property
    def reach(self) -> int:
        """See `models.contract.Restorer`: 4 a block, 1 a group, 4 before and after them."""
        return self.config.unshuffle * (self.config.groups * (4 * self.config.blocks + 1) + 4)

    def contrast(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Training: two patches (N, 3, h, w) of one picture each, in [0, 1], spoilt alike, sides multiples of
        `unshuffle` -> logits (N, 1 + K), the right answer first, and the query's map (N, encoder[0], h', w').

        In training mode the twin encoder follows and the queue moves on.
        """
        logits, inter = self.E(self.unshuffled(query), self.unshuffled(key))
        return logits, inter

    def restore(self, picture: Tensor, inter: Tensor | None = None) -> Tensor:
        """picture (N, 3, h, w) in [0, 1], of any size, and its map if known -> (N, 3, h, w) in float32, not clamped."""
        height, width = picture.shape[-2:]
        dtype = self.R.last.weight.dtype
        x = self.unshuffled(padded(picture, self.config.unshuffle).to(dtype))
        output = self.R(x, self.map_degradation(x) if inter is None else inter)
        out = F.pixel_shuffle(output.float(), self.config.unshuffle)[..., :height, :width]
        return out + picture.float() if self.config.image_residual else out

    def unshuffled(self, picture: Tensor) -> Tensor:
        """(N, 3, h, w) -> (N, 3 u^2, h / u, w / u)."""
        x = F.pixel_unshuffle(picture, self.config.unshuffle)
        return x.contiguous(memory_format=torch.channels_last)

    def map_degradation(self, x: Tensor) -> Tensor:
        """The map of an unshuffled picture, (N, encoder[0], h, w): of the encoder, its first block alone is needed."""
        first = self.E.E.encoder_q.E_pre if isinstance(self.E, DegradationEncoder) else self.E
        inter: Tensor = first(x)
        return inter

    def served(self) -> Airnet:
        """See `models.contract.Servable`: without what training alone needs, batch norms folded."""
        return self.exported()

    def exported(self) -> Airnet:
        """See `models.train.capabilities.Exported`; as it serves."""
        if not isinstance(self.E, DegradationEncoder):
            return self
        network = Airnet(dataclasses.replace(self.config, contrast=False))
        network.R.load_state_dict(self.R.state_dict())
        network.E.load_state_dict(self.E.E.encoder_q.E_pre.folded().state_dict())
        first = next(self.parameters())
        network = channels_last(network.to(first.device, first.dtype))
        return network.eval().requires_grad_(first.requires_grad)


def deform(x: Tensor, offsets_and_masks: Tensor, weight: Tensor) -> Tensor:
    """x (N, C, H, W) convolved at `offsets_and_masks` (N, 27, H, W): in pixels, then before the sigmoid.

    Places are float32 whatever the rest is in; so is all of it where features come in a type that the kernel has not.
    """
    dtype = x.dtype if x.dtype in ops.FEATURES else torch.float32
    planes = offsets_and_masks.to(
        torch.promote_types(offsets_and_masks.dtype, torch.float32), memory_format=torch.contiguous_format
    )
    offset, mask = planes[:, :OFFSETS], planes[:, OFFSETS:].sigmoid()  # ten times as fast as of interleaved channels
    with torch.autocast(x.device.type, enabled=False):
        return ops.deform_conv2d(x.to(dtype), offset, mask, weight.to(dtype)).to(x.dtype)


def padded(picture: Tensor, multiple: int) -> Tensor:
    """Continued below and to the right by mirroring at the edge (a b c | c b a) up to a multiple."""
    for axis in (-2, -1):
        length = picture.shape[axis]
        missing = -length % multiple
        if missing:
            beyond = torch.arange(missing, device=picture.device) % length
            picture = torch.cat([picture, picture.index_select(axis, length - 1 - beyond)], axis)
    return picture
