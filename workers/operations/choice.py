"""Which model serves, by name or by `model=auto`, and to which size one enlarges.

Of the learnt models that enlarge, are served and not `by_name_only`, `auto` takes one step by step:
1. those whose range holds the scale that is asked for;
2. of these, those that finish in time at the speed measured here (of a model that has not run yet: its card's, at the
   pace of those that have): within FAST_S for `effort=fast`, within the time that a job has for `effort=best`; where
   none does, the fastest alone;
3. of these, the one that scored highest on the benchmark nearest to what is asked: x2, x3 or x4, and small pictures
   that went through a JPEG for a picture that came in lossy;
4. within TIE_DB of it, the fastest.
Where nothing learnt fits, a classical filter serves. Of the models that restore it takes one by steps 2 to 4, on the
benchmark of noise, of those that can do what is asked, and of these of the harmless ones, where any finishes in time:
what came in sound comes out within HARMLESS_DB. It neither loads nor runs anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

from models.cards import Card, Size, available
from workers.errors import ParameterError, UnknownModel
from workers.operations.sizes import Bounds, SizeAsked, target_size

UPSCALE, RESTORE = "upscale", "restore"
BENCHMARK, BENCHMARK_SCALES, LOSSY = "Set14", (2, 3, 4), "JPEG 75 "
RESTORED, SOUND = "CBSD68 sigma 25 RGB", "kodak24 clean RGB"
HARMLESS_DB = 46.0
TIE_DB = 0.05
FAST_S = 1.0
HEAVY_S_PER_MP = 0.3


def served_models(only: tuple[str, ...], weights_dir: Path | None = None) -> dict[str, Card]:
    """The cards that this installation serves; `only` empty means all, with those whose weights the user brought."""
    return {name: card for name, card in available(weights_dir).items() if not only or name in only}


def choose_model(
    task: str, asked: str | None, served: Mapping[str, Card], *, default: str = "auto", offers_auto: bool = False
) -> Card:
    """The card for `asked`, None: for `default`. `auto` is the largest; of those that enlarge `plan_upscale` decides,
    of those that restore `choose_restorer`.

    Raises UnknownModel with the known names.
    """
    name = asked or default
    card = served.get(name)
    if card is not None and card.task == task:
        return card
    fitting = {name: card for name, card in served.items() if card.task == task}
    if name == "auto" and fitting:
        return max(fitting.values(), key=lambda card: card.parameters)
    if not fitting:
        raise UnknownModel(f"/{task} is not served here: no model for it is at hand", allowed=[])
    known = ["auto", *fitting] if offers_auto else list(fitting)
    raise UnknownModel(
        f"model {name[:40]!r} is not served for /{task}; known are {', '.join(known) or 'none'}", allowed=known
    )


def enlarged_pixels(card: Card, size: Size, wanted: Size) -> int:
    """Pixels that are computed to make (height, width) `wanted` of `size`; 0 where it has this size already."""
    return 0 if wanted == size else card.work_pixels(size, wanted)


@dataclass(frozen=True)
class Limits:
    """What this installation allows. `patience_s`: the longest a job may take."""

    max_scale: float
    max_output_pixels: int | None = None
    patience_s: float = math.inf


@dataclass(frozen=True)
class Small:
    """What is known of the picture before it is read."""

    height: int
    width: int
    lossy: bool


def plan_upscale(
    small: Small,
    asked: SizeAsked,
    model: str | None,
    effort: str,
    served: Mapping[str, Card],
    s_per_mp: Mapping[str, float],
    limits: Limits,
) -> tuple[Card, tuple[int, int]]:
    """The card and the (height, width) of the result.

    `s_per_mp`: seconds per megapixel as measured here, by name, of the models that were. Raises ParameterError,
    TooManyPixels, UnknownModel.
    """
    if not is_auto(model):
        card = choose_model(UPSCALE, model, served, offers_auto=True)
        return card, size_for(small, asked, card.name, (card.min_scale, card.max_scale), limits)
    choosable = candidates(served.values()) or [choose_model(UPSCALE, "auto", served)]  # or says that none is served
    reach = min(card.min_scale for card in choosable), max(card.max_scale for card in choosable)
    size = size_for(small, asked, "auto", reach, limits)
    return choose_upscaler(small, size, effort, choosable, s_per_mp, limits.patience_s), size


def is_auto(model: str | None) -> bool:
    return model is None or model == "auto"


def candidates(cards: Iterable[Card]) -> list[Card]:
    """What `auto` chooses from: what has learnt and invents nothing, else the first classical filter there is."""
    upscalers = [card for card in cards if card.task == UPSCALE]
    learnt = [card for card in upscalers if card.file is not None and not card.by_name_only]
    filters = [card for card in upscalers if card.fallback is not None]
    return learnt or sorted(filters, key=lambda card: card.fallback or 0)[:1]


def size_for(small: Small, asked: SizeAsked, model: str, reach: tuple[float, float], limits: Limits) -> tuple[int, int]:
    max_scale = Fraction(min(reach[1], limits.max_scale))
    return target_size(
        small.height, small.width, asked, Bounds(model, Fraction(reach[0]), max_scale, limits.max_output_pixels)
    )


def choose_upscaler(
    small: Small,
    size: tuple[int, int],
    effort: str,
    cards: list[Card],
    s_per_mp: Mapping[str, float],
    patience_s: float,
) -> Card:
    """One of `cards`, by the steps at the head of this file."""
    pace = relative_pace(cards, s_per_mp)
    work = {card.name: enlarged_pixels(card, (small.height, small.width), size) / 1e6 for card in cards}
    seconds = {card.name: s_per_mp.get(card.name, pace * card.cpu_s_per_mp) * work[card.name] for card in cards}
    scale = math.sqrt(size[0] * size[1] / (small.height * small.width))
    within = [card for card in cards if card.min_scale <= scale <= card.max_scale] or cards
    allowed_s = min(FAST_S, patience_s) if effort == "fast" else patience_s
    return best_in_time(within, seconds, score_each(within, scale, small.lossy), allowed_s)


def choose_restorer(
    pixels: int,
    asked: str | None,
    only: str | None,
    served: Mapping[str, Card],
    s_per_mp: Mapping[str, float],
    patience_s: float,
) -> Card:
    """The card that restores a picture of so many pixels, or takes `only` one kind of damage off it.

    `s_per_mp` as of `plan_upscale`. Raises UnknownModel, and ParameterError where no model or not the one asked for can
    take off one kind alone.
    """
    named = choose_model(RESTORE, asked, served, offers_auto=True)
    cards = [named] if not is_auto(asked) else [card for card in served.values() if card.task == RESTORE]
    able = [card for card in cards if only is None or only in card.kinds]
    if not able:
        others = [card.name for card in served.values() if only in card.kinds]
        advice = f"ask for model={others[0]}" if others else "leave only out"
        names = " and ".join(card.name for card in cards)
        raise ParameterError(f"{names} cannot take off only={only}; {advice}", parameter="only")
    pace = relative_pace(able, s_per_mp)
    seconds = {card.name: s_per_mp.get(card.name, pace * card.cpu_s_per_mp) * pixels / 1e6 for card in able}
    scores = {card.name: card.measured.scores.get(RESTORED, -math.inf) for card in able}
    harmless = [card for card in able if card.measured.scores.get(SOUND, -math.inf) >= HARMLESS_DB]
    in_time = [card for card in harmless if seconds[card.name] <= patience_s]
    return best_in_time(in_time or able, seconds, scores, patience_s)


def best_in_time(
    cards: list[Card], seconds: Mapping[str, float], scores: Mapping[str, float], allowed_s: float
) -> Card:
    """By steps 2 to 4 at the head of this file; `seconds` and `scores` by name."""
    in_time = [card for card in cards if seconds[card.name] <= allowed_s]
    if not in_time:
        return min(cards, key=lambda card: seconds[card.name])
    best = max(scores[card.name] for card in in_time)
    equal = [card for card in in_time if scores[card.name] >= best - TIE_DB]
    return min(equal, key=lambda card: (seconds[card.name], card.name))


def relative_pace(cards: list[Card], s_per_mp: Mapping[str, float]) -> float:
    """How many times as long as on their cards the measured networks take here, by their median; 1 before any was.

    What costs less than HEAVY_S_PER_MP is left out: it says more of memory than of the machine's arithmetic.
    """
    networks = [card for card in cards if card.name in s_per_mp and card.cpu_s_per_mp >= HEAVY_S_PER_MP]
    return median([s_per_mp[card.name] / card.cpu_s_per_mp for card in networks] or [1.0])


def score_each(cards: list[Card], scale: float, lossy: bool) -> dict[str, float]:
    """dB by name; a model that was never measured stands behind those that were."""
    nearest = min(BENCHMARK_SCALES, key=lambda known: abs(math.log(scale / known)))
    key = f"{BENCHMARK} x{nearest} {LOSSY if lossy else ''}Y"
    return {card.name: card.measured.scores.get(key, -math.inf) for card in cards}
