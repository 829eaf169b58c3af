"""How large tiles are, and how many of them are computed at once: by the memory and speed of the device, as it taught.

Tiles are as large as fits into a budget and, on a processor, takes about two seconds, or as asked; after memory ran out
for a model its next picture starts with the tiles that fitted. It runs no model and plans no tile itself; that is
`workers.engine.tiles` and `feathered`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from models.cards import Card
from models.contract import ConditionedRestorer, Restorer
from workers.engine import feathered, tiles
from workers.engine.tiles import Plan, Size

MIB = 1024**2
CPU_BUDGET_BYTES = 512 * MIB  # what windows, features and tiles of one batch may take
CUDA_SHARE = 0.5  # of the memory that is free on the device
LARGEST_BATCH = 16
CPU_TILE_S = 2.0  # seconds of a tile on a processor: cancel, deadline and a lost lease wait for one
CUDA_TILE, CUDA_TILE_OUTPUT = 512, 4096  # sides of a square as large as a tile may be, in input pixels and samples
LEAST_TILE = 16  # input pixels a side; smaller ones are all halo
OUTPUT_BYTES = 64  # an output sample: three channels, float32, a few copies
STRIP_SAMPLES = 1 << 24  # output samples a strip of a model that needs the whole picture
RESTORE_BUDGET_BYTES = 1024 * MIB  # on a processor: a window smaller than 500 pixels would be mostly halo
RESTORE_TILE = 640  # on a processor, where tiles are blended: at any speed, for other tiles are another result
RESTORE_TILE_EXACT = 1024
MOVED_TAPS = 32  # pixels of halo beyond a restorer's reach, for most of what its moved taps see
ANY_SIDE = 1 << 20  # where memory never ran out


class TileSizes:
    """Sizes of tiles on one device. `side`: input pixels as asked, None: the largest that fits.

    `s_per_mp`: seconds per megapixel by name, as learnt here; of a model that is missing the card's count.
    """

    def __init__(self, device: torch.device, side: int | None) -> None:
        self.s_per_mp: Mapping[str, float] = {}
        self._device = device
        self._side = side
        self._fitting: dict[str, int] = {}

    def pace(self, card: Card) -> int:
        """How many times as slow as on its card a model is here, to the nearest power of two, 1 at least.

        In powers of two the same picture has the same tiles while a speed wavers. What is faster has the card's: one
        store may learn from devices of any kind.
        """
        slower = self.s_per_mp.get(card.name, 0) / card.cpu_s_per_mp
        return 1 << round(math.log2(max(1, slower)))

    def plan(self, card: Card, in_size: Size, out_size: Size, pace: int = 1) -> tuple[Plan, int]:
        """Tiles for this upscaler and what of them fits into a batch."""
        if card.tiling == "whole":
            strip = max(1, STRIP_SAMPLES // max(out_size[0], in_size[0]))
            return tiles.plan(in_size, out_size, tile=(out_size[0], strip), halo=None), 1

        budget = self._budget()
        tile = self._tile_output(card, in_size, out_size, budget, pace)
        plan = tiles.plan(in_size, out_size, tile=tile, halo=card.halo, frame=card.frame)

        rows, cols = plan.views[0].rows.count, plan.views[0].cols.count
        each = plan.window[0] * plan.window[1] * card.window_bytes + rows * cols * OUTPUT_BYTES
        most = LARGEST_BATCH if self._device.type == "cuda" else 1
        return plan, max(1, min(most, budget // each))

    def restorer_plan(self, card: Card, restorer: ConditionedRestorer, size: Size, pace: int = 1) -> Plan:
        """Tiles for a restorer whose tiles equal the whole."""
        side, halo = self.restorer_tile(card, restorer, pace), restorer_halo(card, restorer)
        return tiles.plan(size, size, tile=(side, side), halo=halo, multiple=card.multiple, frame=card.multiple)

    def restorer_tile(self, card: Card, restorer: Restorer | ConditionedRestorer, pace: int = 1) -> int:
        """Side of what a window is for: as asked, or the largest whose window fits; less after memory ran out."""
        halo, longest = restorer_halo(card, restorer), RESTORE_TILE_EXACT
        budget = self._budget()
        if self._device.type == "cpu":
            budget = RESTORE_BUDGET_BYTES
            in_time = math.isqrt(int(pixels_in_time(CPU_TILE_S * 1e6 / card.cpu_s_per_mp, pace, halo)))
            longest = RESTORE_TILE if card.tiling == "blended" else min(longest, in_time)
        window = math.isqrt(budget // restorer.bytes_per_pixel)
        largest = min(window - 2 * halo, longest)
        side = min(self._side or largest, self._fitting.get(card.name, ANY_SIDE))
        return max(feathered.SMALLEST_TILE, side // feathered.ALIGN * feathered.ALIGN)

    def remember(self, model: str, fitting: int | None) -> None:
        """After a picture. `fitting`: the side that memory allowed, None: all it took; then the next may be twice as
        large as the last that was remembered.
        """
        if fitting is not None:
            self._fitting[model] = fitting
        elif model in self._fitting:
            self._fitting[model] *= 2

    def _tile_output(self, card: Card, in_size: Size, out_size: Size, budget: int, pace: int) -> Size:
        """Output samples of a tile: of the side asked for, or those that compute least; less after memory ran out."""
        fitting = self._fitting.get(card.name, ANY_SIDE)
        area = out_size[0] / in_size[0] * out_size[1] / in_size[1]
        side = self._side or (card.tile and square_side(card, area, budget))
        if side:
            height, width = (max(1, side * out // source) for source, out in zip(in_size, out_size, strict=True))
            return min(height, fitting), min(width, fitting)
        most = min(self._most_pixels(card, in_size, out_size, pace), fitting**2 / area)
        rows, cols = grid_of_least(in_size, card, Limits(most, budget, area))
        return math.ceil(out_size[0] / rows), math.ceil(out_size[1] / cols)

    def _most_pixels(self, card: Card, in_size: Size, out_size: Size, pace: int) -> float:
        """Input pixels of a tile that takes as long as one may."""
        pixels, samples = in_size[0] * in_size[1], out_size[0] * out_size[1]
        if self._device.type == "cuda":
            return min(CUDA_TILE**2, CUDA_TILE_OUTPUT**2 * pixels / samples)
        by_card = pixels * CPU_TILE_S / (card.cpu_s_per_mp * 1e-6 * card.work_pixels(in_size, out_size))
        return pixels_in_time(by_card, pace, card.halo)

    def _budget(self) -> int:
        """Bytes that one batch may take."""
        if self._device.type == "cpu":
            return CPU_BUDGET_BYTES
        free, _ = torch.cuda.mem_get_info(self._device)
        idle = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int((free + idle) * CUDA_SHARE)


@dataclass(frozen=True)
class Limits:
    """What a tile may be: input pixels, bytes of its window and output; `area`: output samples of an input pixel."""

    pixels: float
    bytes: int
    area: float


def pixels_in_time(by_card: float, pace: int, halo: int) -> float:
    """Input pixels of a tile that takes as long as one may, where `by_card` do at the card's speed.

    No fewer than a square of two halos a side, whose window is four times as large: of smaller ones the machine would
    compute little but halos, which would be learnt as slower still, and cut finer again.
    """
    return max(by_card / pace, min(by_card, (2.0 * halo) ** 2))


def grid_of_least(size: Size, card: Card, limits: Limits) -> Size:
    """Rows and columns of tiles whose windows have the fewest pixels in all, of the grids whose tiles are allowed.

    Bands of the whole width where they can be tall, else columns of them. What no limit allows is cut into LEAST_TILE.
    """
    height, width = size
    best: tuple[float, int, int] = (math.inf, math.ceil(height / LEAST_TILE), math.ceil(width / LEAST_TILE))
    for cols in range(1, width + 1):
        wide = math.ceil(width / cols)
        tall = min(height, tallest(wide, width, card, limits))
        if tall >= min(height, LEAST_TILE):
            rows = math.ceil(height / tall)
            windows = shown(math.ceil(height / rows), height, card) * shown(wide, width, card)
            best = min(best, (rows * cols * windows, rows, cols))
        if tall >= min(height, wide):  # from here on they become narrow
            break
    return best[1], best[2]


def tallest(wide: int, width: int, card: Card, limits: Limits) -> int:
    """Input pixels that a tile so wide may be high; less than 1 where its halo alone is too much."""
    row = shown(wide, width, card) * card.window_bytes
    by_memory = (limits.bytes - 2 * card.halo * row) / (row + wide * limits.area * OUTPUT_BYTES)
    return math.floor(min(by_memory, limits.pixels / wide))


def shown(part: int, side: int, card: Card) -> int:
    """Pixels that a window shows of a side of the picture for that part of it."""
    return min(part + 2 * card.halo, side + 2 * (card.frame or card.halo))


def square_side(card: Card, area: float, budget: int) -> int:
    """Input pixels a side as the card asks, or the most whose window and output fit into `budget` bytes."""
    side = card.tile or 0
    while (
        side > LEAST_TILE and (side + 2 * card.halo) ** 2 * card.window_bytes + side**2 * area * OUTPUT_BYTES > budget
    ):
        side -= 8
    return side


def restorer_halo(card: Card, restorer: Restorer | ConditionedRestorer) -> int:
    """Pixels around a tile: all that the network sees where tiles are exact; else at most what the card says, less for
    a network that sees less."""
    if card.tiling == "exact":
        return math.ceil(restorer.reach / card.multiple) * card.multiple
    wanted = min(restorer.reach + MOVED_TAPS, card.halo)
    return math.ceil(wanted / feathered.ALIGN) * feathered.ALIGN


def side_of(plan: Plan) -> int:
    """The side of a square as large as the plan's largest tile, in output samples."""
    return math.isqrt(max(view.rows.count * view.cols.count for view in plan.views))
