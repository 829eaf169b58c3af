"""The plain facts about every model that is served; importable without torch. What builds them is `models.catalog`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Card:
    """Facts of one model.

    `task` is the endpoint. `halo` counts input pixels around a tile that make tiled equal whole; None: the model must
    see the whole picture. `file` is the weight file below `models/weights` (None: nothing learnt). `cpu_s_per_mp` is
    the measured cost on two CPU cores, seconds per megapixel of output (of input for `enhance`), the estimate before a worker
    has measured its own. `scores` are {benchmark: value} as measured, `source` says by which command, where and when.
    """

    name: str
    task: str
    title: str
    paper: str
    parameters: int
    licence: str
    min_scale: float = 1.0
    max_scale: float = 1.0
    halo: int | None = 0
    channels: int = 3
    file: str | None = None
    sha256: str | None = None
    weights_licence: str | None = None
    trained_on: tuple[str, ...] = ()
    distilled_from: str | None = None
    cpu_s_per_mp: float = 0.05
    scores: dict[str, float] = field(default_factory=dict)
    source: str = ""


CARDS: dict[str, Card] = {}
