"""What a card says of a model: plain facts, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.scores import Measured, read

Size = tuple[int, int]
Precision = Literal["fp32", "bf16", "fp16"]
Tiling = Literal["exact", "whole", "blended"]

NETWORK_BYTES = 2048  # 64 features and their like in float32, and a first layer of 256


@dataclass(frozen=True)
class Card:
    """Facts of one model.

    `task` is the endpoint. `blends_with`: the model towards whose weights a `strength` below 1 goes. `file` is the
    weight file below `models/weights` (None: nothing learnt). `cpu_s_per_mp` is the measured cost on two CPU cores,
    seconds per megapixel of output (of input for `enhance`; of `work_pixels`), the estimate before a worker has
    measured its own. `fixed_scales`: the only ones that it computes; others are resized from the next of them.
    `by_name_only`: never taken unless asked for. `unshuffle`: how often the network folds the picture's sides.
    `good_at` and `bad_at` are sentences for users. `scores`: in place of those in `models/scores`.

    `tiling`: "exact", tiled equals whole; "whole", the model must see the whole picture; "blended", it sees further
    than a window can show, so tiles are blended where they meet. `halo` counts the input pixels that a window shows
    around its tile, at most; `frame` those of them, mirrored, that lie beyond the picture, at least 1, None: as many;
    windows begin and end at multiples of `multiple` pixels. `tile`: the side of a tile in input pixels, where the
    largest that fits is not fastest.
    `window_bytes`: memory that a pixel of a window takes while it is computed (a restorer's network says it itself).
    `reduced`: what the network is computed in where the device multiplies it itself, None: always float32. LIIF in
    bfloat16 against float32, a photo of 200x200 at 3.7 on a Zen 5 CPU, 2026-11-20: at most 1 level of 255 apart.
    `channels` that a window must have, None: any. `keeps_values`: an output pixel is a pixel of the input.
    `kinds` of damage that it tells apart, and of which it takes off one only where that is asked for.
    `fallback`: rank among those that `auto` takes where nothing learnt is served, 1 before 2; None: never.
    """

    name: str
    task: str
    title: str
    paper: str
    parameters: int
    licence: str
    min_scale: float = 1.0
    max_scale: float = 1.0
    fixed_scales: tuple[int, ...] = ()
    by_name_only: bool = False
    tiling: Tiling = "exact"
    halo: int = 0
    frame: int | None = None
    multiple: int = 1
    tile: int | None = None
    window_bytes: int = NETWORK_BYTES
    reduced: Precision | None = None
    channels: int | None = 3
    keeps_values: bool = False
    kinds: tuple[str, ...] = ()
    fallback: int | None = None
    blends_with: str | None = None
    file: str | None = None
    sha256: str | None = None
    weights_licence: str | None = None
    trained_on: tuple[str, ...] = ()
    distilled_from: str | None = None
    good_at: tuple[str, ...] = ()
    bad_at: tuple[str, ...] = ()
    cpu_s_per_mp: float = 0.05
    unshuffle: int = 1
    scores: Measured | None = None

    @property
    def measured(self) -> Measured:
        """What was measured of the model; its file is read on first use."""
        return read(self.name) if self.scores is None else self.scores

    def work_pixels(self, size: Size, wanted: Size) -> int:
        """The pixels that are computed for a result of (height, width) `wanted`; `cpu_s_per_mp` counts these.

        Of a fixed scale those of the next that both sides can be resized down from.
        """
        sides = list(zip(size, wanted, strict=True))
        enough = [scale for scale in self.fixed_scales if all(out <= scale * side for side, out in sides)]
        scale = min(enough, default=max(self.fixed_scales, default=0))
        return max(wanted[0] * wanted[1], scale**2 * size[0] * size[1])
