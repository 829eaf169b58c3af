"""EC-LUT: super-resolution by looking up what each pair of pixels adds to the larger picture.

A small network predicts, for a pixel and the one below it, the r x r blocks of the pixel and of its eight neighbours;
four rotations let it see all four neighbours. Two 8-bit pixels have 65,536 pairs: `transfer` asks the network for each
once, and 8-bit pictures are enlarged by that table and whole numbers alone (`kernels.ops.eclut`). Deeper pictures go
through the network itself. One file holds a network for each of x2, x3 and x4; other scales are resized from the next
of them, those beyond x4 from x4. It does not cut or clamp.

What differs from the text: a network predicts the difference to its first pixel (the same functions, and half the range
to store), and the thirty-six values that meet in a large pixel (nine maps, four rotations) are averaged, never rounded
one by one. Published is no code; layout and names of the network are those of the widely read description of it.
Source: Yin and Shen, "EC-LUT", AAAI 2024; Jo and Kim, "Practical Single-Image Super-Resolution Using Look-Up Table",
CVPR 2021 (one table, four rotations).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import ops
from kernels.reference.eclut import PARTS, REACH, TERMS, UNIT, collapse
from models.contract import View
from models.srresnet import take

LEVELS = 255.0
ENTRIES = torch.iinfo(torch.int8)
BLOCK_PAIRS = 1 << 14  # pairs that pass the network at once: bounds its memory where no gradient is kept
CODE_TOLERANCE = 1e-3  # in levels: far below the step of 16-bit pictures, 1/257, and far above float32's rounding


@dataclass(frozen=True)
class EclutConfig:
    """`step`: nine maps one small pixel apart ("lr") or one large pixel apart ("hr"), see `kernels.reference.eclut`.

    `alpha`: gain on what the networks predict.
    """

    scales: tuple[int, ...] = (2, 3, 4)
    step: str = "lr"
    alpha: float = 1.0
    width: int = 64


class PairNet(nn.Module):
    """Two pixels, one above the other -> nine maps of r x r values; published key names `conv{1..6}`."""

    def __init__(self, scale: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, (2, 1))
        self.conv2 = nn.Conv2d(width, width, 1)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.conv4 = nn.Conv2d(width, width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.conv6 = nn.Conv2d(width, PARTS * scale**2, 1)
        for convolution in self.convolutions():
            nn.init.kaiming_normal_(convolution.weight)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.conv6.weight)  # a fresh network predicts its first pixel; the text begins with noise here

    def convolutions(self) -> Iterator[nn.Conv2d]:
        return (module for module in self.children() if isinstance(module, nn.Conv2d))

    def forward(self, pairs: Tensor) -> Tensor:
        """pairs (P, 2) in [0, 1], a pixel and the one below -> (P, 9 r^2), map after map as PixelShuffle lays them.

        No convolution reaches beyond its pair, so each is a matrix.
        """
        *inner, last = self.convolutions()
        x = pairs.to(last.weight.dtype)
        for convolution in inner:
            x = F.relu(_apply(convolution, x))
        return _apply(last, x).float()


def _apply(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    return F.linear(x, convolution.weight.flatten(1), convolution.bias)


class Eclut(nn.Module):
    """A network for each scale, and the table of each; fulfils `models.contract.Upscaler`.

    Tables are made by `served`, or when first asked for, and dropped when weights are loaded or trained.
    """

    def __init__(self, config: EclutConfig | None = None) -> None:
        super().__init__()
        self.config = config or EclutConfig()
        for scale in self.config.scales:
            self.add_module(f"x{scale}", PairNet(scale, self.config.width))
            self.register_buffer(_table_name(scale), None, persistent=False)
        self.register_load_state_dict_post_hook(_forget_tables)  # type: ignore[no-untyped-call]

    def network(self, scale: int) -> PairNet:
        network = self.get_submodule(f"x{scale}")
        assert isinstance(network, PairNet)
        return network

    def train(self, mode: bool = True) -> Eclut:
        self.drop_tables()
        return super().train(mode)

    def served(self) -> Eclut:
        """See `models.contract.Servable`: with its tables."""
        for scale in self.config.scales:
            self.table(scale)
        return self

    def drop_tables(self) -> None:
        for scale in self.config.scales:
            setattr(self, _table_name(scale), None)

    def table(self, scale: int) -> Tensor:
        """As `kernels.ops.eclut` wants it; made where there is none."""
        if getattr(self, _table_name(scale)) is None:
            setattr(self, _table_name(scale), self.transfer(scale))
        table: Tensor = getattr(self, _table_name(scale))
        return table

    @torch.no_grad()
    def transfer(self, scale: int) -> Tensor:
        """Every pair of 8-bit pixels through the network: (65536, 9 r^2) int8 for "lr", (65536, (r + 2)^2) int16 for
        "hr". It ends before the maps are placed: what a pair adds to its neighbours stays apart from what they add.
        """
        codes = torch.arange(256.0, device=self.network(scale).conv1.weight.device)
        blocks = torch.split(torch.cartesian_prod(codes, codes), BLOCK_PAIRS)
        table = torch.cat([self.entries(scale, block, quantised=True).to(torch.int8) for block in blocks])
        return collapse(table, scale) if self.config.step == "hr" else table

    def entries(self, scale: int, pairs: Tensor, *, quantised: bool) -> Tensor:
        """pairs (P, 2) in levels -> (P, 9 r^2) in units of a table.

        `quantised`: as an int8 table holds them. Gradients pass straight through the rounding and end at the clipping:
        let through there too, they drive entries ever further out, where none of it shows in the loss.
        """
        blocks = [pairs] if torch.is_grad_enabled() else torch.split(pairs, BLOCK_PAIRS)
        predictions = torch.cat([self.network(scale)(block / LEVELS) for block in blocks])
        entries = predictions * (self.config.alpha * LEVELS / UNIT)
        if not quantised:
            return entries
        held = entries.clamp(ENTRIES.min, ENTRIES.max)
        return held.detach().round() + (held - held.detach())

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`."""
        return [self._tile(window, view) for window, view in zip(windows.float(), views, strict=True)]

    def _tile(self, window: Tensor, view: View) -> Tensor:
        scale = self.next_scale(view)
        return take(self.enlarge(window, scale), view, scale)

    def next_scale(self, view: View) -> int:
        """The smallest scale that both axes can be resized down from, else the largest."""
        enough = [
            scale
            for scale in sorted(self.config.scales)
            if all(axis.out_size <= scale * axis.in_size for axis in (view.rows, view.cols))
        ]
        return enough[0] if enough else max(self.config.scales)

    def enlarge(self, picture: Tensor, scale: int) -> Tensor:
        """picture (C, h, w) in [0, 1], one channel or three -> (C, r h, r w): by the table if it holds 8-bit levels."""
        levels = picture * LEVELS
        codes = levels.round()
        if (levels - codes).abs().amax() < CODE_TOLERANCE:
            return self._look_up(codes.clamp(0, LEVELS).to(torch.uint8), scale) / LEVELS
        return torch.cat([self.compute(channel, scale) for channel in torch.split(levels, 1)]) / LEVELS

    def _look_up(self, codes: Tensor, scale: int) -> Tensor:
        colours = codes.expand(3, -1, -1).permute(1, 2, 0).contiguous()
        larger = ops.eclut(colours, self.table(scale), scale, self.config.step)
        return larger.permute(2, 0, 1)[: codes.shape[0]].float()

    def compute(self, pictures: Tensor, scale: int, *, quantised: bool = False) -> Tensor:
        """pictures (N, h, w) in levels -> (N, r h, r w) by the network, neither rounded nor clamped; differentiable.

        `quantised`: from the table's entries. Of integers each pair is computed once, however often it occurs.
        """
        pairs, index = _all_pairs(pictures) if pictures.is_floating_point() else _distinct_pairs(pictures)
        values = self.patches(scale, pairs, quantised=quantised)
        turned = [torch.rot90(place(values, at, scale), -turn, (1, 2)) for turn, at in enumerate(index)]
        return sum(turned[1:], turned[0]) / TERMS

    def patches(self, scale: int, pairs: Tensor, *, quantised: bool) -> Tensor:
        """What each pair gives to its own block and to the eight around it, in levels, (P, 9 r^2)."""
        entries = torch.unflatten(self.entries(scale, pairs, quantised=quantised), 1, (3, 3, scale, scale))
        values = pairs[:, :1, None, None, None] + UNIT * entries
        values = move_closer(values) if self.config.step == "hr" else values
        return values.flatten(1)


def place(values: Tensor, index: Tensor, scale: int) -> Tensor:
    """Nine blocks of each pair (P, 9 r^2); the pair of each pixel, (N, h + 2, w + 2) -> their sums (N, r h, r w)."""
    count, height, width = index.shape[0], index.shape[1] - 2, index.shape[2] - 2
    maps = torch.unflatten(F.embedding(index, values), -1, (PARTS, scale**2)).unbind(-2)
    parts = [one[:, 2 - k // 3 :, 2 - k % 3 :][:, :height, :width] for k, one in enumerate(maps)]
    blocks = sum(parts[1:], parts[0]).view(count, height, width, scale, scale).transpose(2, 3)
    return blocks.reshape(count, height * scale, width * scale)


def move_closer(blocks: Tensor) -> Tensor:
    """Nine maps (P, 3, 3, r, r) that lie one large pixel apart -> nine blocks that do one small pixel apart."""
    scale = blocks.shape[-1]
    whole = blocks.new_zeros(len(blocks), 3 * scale, 3 * scale)
    for i, j in product(range(scale - 1, scale + 2), repeat=2):
        whole[:, i : i + scale, j : j + scale] += blocks[:, i - scale + 1, j - scale + 1]
    return torch.unflatten(torch.unflatten(whole, 2, (3, scale)), 1, (3, scale)).transpose(2, 3)


def _distinct_pairs(pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Codes (N, h, w) -> the pairs that occur in them, (P, 2) float32, and which stands where in each rotation."""
    rows = [256 * pixel + below for pixel, below in _neighbours(pictures.long())]
    seen = torch.bincount(torch.cat([row.flatten() for row in rows]), minlength=1 << 16) > 0
    pairs, number = seen.nonzero(), seen.cumsum(0) - 1
    return torch.cat([pairs >> 8, pairs & 255], 1).float(), [number[row] for row in rows]


def _all_pairs(pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    """As `_distinct_pairs` for values that may lie between the codes: every place has a pair of its own."""
    pairs = [torch.stack(both, -1) for both in _neighbours(pictures)]
    sizes = [pair[..., 0].numel() for pair in pairs]
    numbers = torch.split(torch.arange(sum(sizes), device=pictures.device), sizes)
    index = [number.view(pair.shape[:-1]) for number, pair in zip(numbers, pairs, strict=True)]
    return torch.cat([pair.flatten(0, -2) for pair in pairs]), index


def _neighbours(pictures: Tensor) -> list[tuple[Tensor, Tensor]]:
    """In each rotation the pixels and those below them, one pixel of the frame included: twice (N, h + 2, w + 2)."""
    rows, columns = (_reflected(size, pictures.device) for size in pictures.shape[1:])
    frame = pictures[:, rows][:, :, columns]
    turned = [torch.rot90(frame, turn, (1, 2)) for turn in range(4)]
    return [(one[:, 1:-1, 1:-1], one[:, 2:, 1:-1]) for one in turned]


def _reflected(size: int, device: torch.device) -> Tensor:
    """The places of a side and REACH beyond both ends, folded back; the edge is not repeated, but a side of 1 is."""
    period = max(2 * size - 2, 1)
    place = torch.arange(-REACH, size + REACH, device=device) % period
    return torch.minimum(place, period - place)


def _forget_tables(network: nn.Module, _: object) -> None:
    assert isinstance(network, Eclut)
    network.drop_tables()


def _table_name(scale: int) -> str:
    return f"table_x{scale}"
