"""What is finished of a result, kept where it outlives this process: the next attempt goes on from there.

Samples are kept in the order in which the passes over a picture finish them, and taken up again in that order. Only
passes that would finish the same ones, to the bit, may take them up: `fingerprint` names what has to agree. Tiles
follow the speed that was learnt, which another attempt may find changed: it plans at the pace that the fingerprint
tells (`memory.TileSizes.pace`). It knows no store; that is a `Keeper`'s.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from workers.errors import Unavailable

Array = NDArray[Any]

FIRST_AFTER_S = 5.0  # another child loads its models for about as long: what took less is soon computed again
EVERY_S = 3.0  # the work that a killed child takes along
REST = 50  # seconds without a write for each second that one takes: keeping costs two per cent at most
MOST_BYTES = 32 * 1024**2  # of samples in one write: the next tick waits for it
LONGEST_PACE = 9  # digits: what is longer is none


class Keeper(Protocol):
    """Where parts of one result lie. It may lose all of them, or the last; never one before others.

    `was_read`: some were taken up from there.
    """

    was_read: bool

    def plan(self) -> str:
        """Under which plan there are parts; empty where there are none."""

    def read(self) -> Iterator[bytes]:
        """These parts, in the order in which they were written."""

    def write(self, plan: str, samples: Sequence[bytes]) -> bool:
        """Adds a part to those that were read, or written since. False where no more is ever taken.

        Raises Unavailable where it may be later.
        """


def fingerprint(facts: Mapping[str, Any], plan: object, pace: int = 1) -> str:
    """Of all that decides which samples are finished when, and their bits, but for what the computation itself says.

    `facts`: the engine's; `plan`: told by its `repr`; `pace`: at which it was planned, for `pace_of`.
    """
    versions = version("lutra"), torch.backends.cpu.get_cpu_capability()
    told = json.dumps(facts, sort_keys=True) + repr((versions, plan))
    return f"{hashlib.sha256(told.encode()).hexdigest()}/{pace}"


def pace_of(fingerprint: str) -> int | None:
    """The pace that is in it; None where none is, as in one of an older version."""
    told = fingerprint.rpartition("/")[2]
    return int(told) if told.isdecimal() and len(told) < LONGEST_PACE and int(told) else None


class Checkpoint:
    """The samples of one result, taken up with `fill` as far as they were kept, kept on with `add`.

    `keeper` None: nothing is taken up and nothing kept. What is added must not change any more. `plan` tells the
    fingerprint; most pictures are done before anybody asks.
    """

    def __init__(self, keeper: Keeper | None = None, plan: Callable[[], str] = str) -> None:
        self._keeper = keeper
        self._plan = plan
        kept = keeper.plan() if keeper else ""
        self._parts = keeper.read() if keeper and kept and kept == plan() else iter(())
        self._part = memoryview(next(self._parts, b""))
        self._added: list[tuple[Array, ...]] = []
        self._due_at = time.monotonic() + FIRST_AFTER_S

    @property
    def has_more(self) -> bool:
        """Whether there are samples that were not taken up yet."""
        return len(self._part) > 0

    def fill(self, *arrays: Array) -> bool:
        """These arrays, if they were kept as a whole; False where they were not: then they are as they were."""
        if not self.has_more:
            return False
        if sum(array.nbytes for array in arrays) > len(self._part):  # no plan of this pass has written it
            self._part, self._parts = memoryview(b""), iter(())
            self.stop()
            return False
        for array in arrays:
            _unpack(self._part[: array.nbytes], array)
            self._part = self._part[array.nbytes :]
        if not self.has_more:
            self._part = memoryview(next(self._parts, b""))
        return True

    def add(self, *arrays: Array) -> None:
        """What a later `fill` gets back as a whole; written when it is time to."""
        if self._keeper is None:
            return
        self._added.append(arrays)
        if time.monotonic() >= self._due_at:
            self._write(self._keeper)

    def keep(self) -> None:
        """Writes what is left of it at once: another attempt is to go on here."""
        if self._keeper is not None and self._added:
            self._write(self._keeper)

    def stop(self) -> None:
        """Nothing more is kept: what comes now, another attempt would not do in this order."""
        self._keeper, self._added = None, []

    def _write(self, keeper: Keeper) -> None:
        start = time.monotonic()
        samples, count = self._packed()
        try:
            if keeper.write(self._plan(), samples):
                del self._added[:count]
            else:
                self.stop()
        except Unavailable:
            pass  # these samples are written with the next
        now = time.monotonic()
        self._due_at = now + max(EVERY_S, REST * (now - start))

    def _packed(self) -> tuple[list[bytes], int]:
        """The samples that were added first, MOST_BYTES or a little more, and of how many `add`s they are."""
        samples: list[bytes] = []
        size = count = 0
        while count < len(self._added) and size < MOST_BYTES:
            samples += [_pack(array) for array in self._added[count]]
            size += sum(array.nbytes for array in self._added[count])
            count += 1
        return samples, count


def _pack(array: Array) -> bytes:
    """Levels (H, W, C) as differences along their rows, which a plain compressor makes more of; floats as they are."""
    if array.dtype.kind == "f":
        return array.tobytes()
    steps = array.copy(order="C")
    steps[:, 1:] -= array[:, :-1]
    return steps.tobytes()


def _unpack(samples: memoryview, array: Array) -> None:
    found = np.frombuffer(samples, array.dtype).reshape(array.shape)
    array[...] = found if array.dtype.kind == "f" else np.add.accumulate(found, axis=1, dtype=array.dtype)
