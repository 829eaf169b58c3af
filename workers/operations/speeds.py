"""What a megapixel of each model costs here: learnt slowly, from jobs that tell it, and forgotten where it puts off.

A job tells it where it computed enough pixels of both sides large enough beside what is computed around a tile, in 8
bits, to its end or to its deadline, in a process that was never stopped. One of a smaller picture tells between which
two it lies: that teaches the nearer of them where what is known lies outside. A speed is the median of the last SEEN
jobs, moved by at most STEP a job, from what the card says at the pace of the other models on. One that is slower than
that goes back to it, half the way (as a ratio) in HALF_LIFE_S: what `auto` avoids for its speed is tried again. Speeds
are kept by name, size and cost of the network, so that weights of the user's own begin anew. It talks to no store.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median

from models.cards import Card, Size
from workers.operations.choice import relative_pace

LEAST_PIXELS = 100_000  # smaller jobs say more of their overhead than of the model
# Of the input: HALOS times the halo, within these two. What is computed around a smaller picture, and what each call
# costs, would count as the model's: a megapixel of squares of 96, 64 and 48 pixels at x4 takes 1.5, 2.0 and 2.7 times
# that of 256 by srresnet, 1.2, 1.5 and 2.2 times by eclut, 1.2, 1.2 and 1.3 times by lmliif (one thread of an AMD EPYC
# (Zen 4), 2026-11-30). It takes no more than these times and the share of FIXED_S.
LEAST_SIDE, MOST_SIDE, HALOS = 128, 256, 4
# Seconds that a picture of any size takes at the card's speed, at most: of 16x16 airnet-u and airnet take 10 ms, lmliif
# 5, lut3d 4, eclut and bicubic 0.5 (as above; there models were one to four times as slow as on their cards).
FIXED_S = 0.01
LEAST_S = 0.05  # a small picture that takes less tells of what else the machine did, and is short in any case
SEEN = 7
STEP = 2.0
HALF_LIFE_S = 6 * 3600.0  # shorter would make a slow machine forget each night what its only network costs


@dataclass(frozen=True)
class Speed:
    """Seconds per megapixel at a time (of the epoch), and the (time, seconds) of the jobs that it comes from."""

    s_per_mp: float
    at: float
    seen: tuple[tuple[float, float], ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, stored: str) -> Speed | None:
        """None for anything but what `to_json` wrote, for instance a rate of an older version."""
        try:
            fields = json.loads(stored)
            return cls(
                float(fields["s_per_mp"]), float(fields["at"]), tuple((float(t), float(s)) for t, s in fields["seen"])
            )
        except (ValueError, TypeError, KeyError):
            return None

    def now(self, expected: float, now: float) -> float:
        """What it is worth by now; `expected`: by the card at the pace of the others."""
        if self.s_per_mp <= expected:
            return self.s_per_mp
        left: float = 0.5 ** (max(0.0, now - self.at) / HALF_LIFE_S)
        return expected * math.pow(self.s_per_mp / expected, left)


@dataclass(frozen=True)
class Told:
    """Seconds per megapixel between which a model's speed lies, by what one job took; equal: those it is."""

    least: float
    most: float


def key_of(card: Card) -> str:
    return f"{card.name}:{card.parameters}:{card.cpu_s_per_mp:.6g}"


def is_representative(card: Card, size: Size, pixels: float) -> bool:
    """Whether `pixels` computed of a picture of this (height, width) say what a megapixel costs."""
    least = min(MOST_SIDE, max(LEAST_SIDE, HALOS * card.halo))
    return pixels >= LEAST_PIXELS and min(size) >= least


def told_by(card: Card, size: Size, pixels: float, seconds: float, share: float = 1.0) -> Told | None:
    """What a job tells that computed a `share` of its picture of (height, width), that is `pixels`, in `seconds`."""
    if is_representative(card, size, pixels):
        return Told(seconds * 1e6 / pixels, seconds * 1e6 / pixels)
    if share < 1 or pixels <= 0 or seconds < LEAST_S:
        return None
    fixed = FIXED_S * 1e6 / card.cpu_s_per_mp  # pixels that cost as much
    return Told(seconds * 1e6 / (fixed + pixels * _around(card, size)), seconds * 1e6 / pixels)


def _around(card: Card, size: Size) -> float:
    """How many times the pixels of a picture its windows show at most, beside those of one of MOST_SIDE."""
    margin = 2 * (card.frame or (card.multiple if card.multiple > 1 else card.halo))
    return math.prod(max(1.0, (1 + margin / side) / (1 + margin / MOST_SIDE)) for side in size)


def every(cards: Iterable[Card], stored: Mapping[str, str], now: float | None = None) -> dict[str, float]:
    """Seconds per megapixel of each card by name, on one scale: measured, else the card's at the pace of the measured.

    `stored`: `Speed.to_json` by `key_of`.
    """
    cards, now = list(cards), time.time() if now is None else now
    known = _known(cards, stored)
    return {
        card.name: known[card.name].now(_expected(card, cards, known), now)
        if card.name in known
        else _expected(card, cards, known)
        for card in cards
    }


def learn(
    card: Card, cards: Iterable[Card], stored: Mapping[str, str], told: Told, now: float | None = None
) -> Speed | None:
    """The speed of `card` after one more job, None where that tells nothing new; `cards`: all that are served, for the
    pace."""
    cards, now = list(cards), time.time() if now is None else now
    known = _known([*cards, card], stored)
    expected, before = _expected(card, cards, known), known.get(card.name)
    fresh = [(at, seen) for at, seen in before.seen if abs(now - at) < HALF_LIFE_S] if before else []
    start = before.now(expected, now) if before else expected
    if told.least < told.most and told.least <= start <= told.most:
        return None
    seen = (*fresh, (now, min(max(start, told.least), told.most)))[-SEEN:]
    learnt = min(max(median(seconds for _, seconds in seen), start / STEP), start * STEP)
    return Speed(learnt, now, seen)


def _known(cards: Iterable[Card], stored: Mapping[str, str]) -> dict[str, Speed]:
    speeds = {card.name: Speed.of(stored[key_of(card)]) for card in cards if key_of(card) in stored}
    return {name: speed for name, speed in speeds.items() if speed is not None}


def _expected(card: Card, cards: list[Card], known: Mapping[str, Speed]) -> float:
    others = {name: speed.s_per_mp for name, speed in known.items() if name != card.name}
    return card.cpu_s_per_mp * relative_pace(cards, others)
