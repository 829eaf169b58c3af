"""Contenders measured in turn, so that a busy machine slows all alike and ratios hold where milliseconds do not.

A round gives every contender one turn, in an order that moves by one each round. A turn is one call that is not
timed, then calls until `TURN_MS` have passed, and counts as their mean: a median would hide from short calls alone that
other work had the processor. It sets torch's and OpenCV's threads and leaves the process's affinity alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

TURN_MS = 100.0


@dataclass(frozen=True, eq=False)
class Contender:
    """`work` gives the picture it made; `clock` the milliseconds of one call, where timing `work` would count more."""

    name: str
    work: Callable[[], Any]
    threads: int = 1
    role: str = "peer"  # "ours", "peer" or "limit"
    clock: Callable[[], float] | None = None
    is_trilinear: bool = False  # then its picture is held against the exact one


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one contender, one figure a round."""

    ms: NDArray[np.float64]

    def quartiles(self) -> tuple[float, float, float]:
        low, middle, high = np.percentile(self.ms, (25, 50, 75))
        return float(low), float(middle), float(high)

    def times_faster_than(self, other: Timing) -> float:
        """The median of the rounds' ratios."""
        return float(np.median(other.ms / self.ms))


def measure(contenders: Sequence[Contender], rounds: int) -> list[Timing]:
    """One timing for each contender, in their order."""
    ms = np.empty((len(contenders), rounds))
    for turn in range(rounds):
        for place in range(len(contenders)):
            index = (place + turn) % len(contenders)
            ms[index, turn] = one_turn(contenders[index])
    return [Timing(row) for row in ms]


def one_turn(contender: Contender) -> float:
    set_threads(contender.threads)
    if contender.clock is not None:
        return contender.clock()
    contender.work()
    calls, passed_ms = 0, 0.0
    start = time.perf_counter()
    while passed_ms < TURN_MS:
        contender.work()
        calls += 1
        passed_ms = (time.perf_counter() - start) * 1000
    return passed_ms / calls


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
