"""The one way of a picture, on a real engine: its stages in order, looks between them, and what an observer raises."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.living import opened, photo
from workers.engine.engine import Engine
from workers.errors import JobCancelled, JobTimeout
from workers.operations import OPERATIONS
from workers.operations.operation import Colour, Encoded, Parameters, Work
from workers.operations.upscale import UpscaleParameters
from workers.operations.way import Unobserved, compute
from workers.pictures.picture import Picture


class Watching:
    """Notes all that it is told, in order. `on`: what it does at each note."""

    def __init__(self, on: Callable[[str], None] = lambda note: None) -> None:
        self.notes: list[str] = []
        self._on = on

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._note(f"{name} begins")
        yield
        self._note(f"{name} ends")

    def check(self) -> None:
        self._note("check")

    def tick(self, done: int, total: int) -> None:
        self._note("tick")

    def _note(self, note: str) -> None:
        self.notes.append(note)
        self._on(note)


def raising(error: Exception, at: str, time: int = 1) -> Watching:
    """Raises `error` when it is told `at` for the `time`-th time."""

    def on(note: str) -> None:
        if note == at and watching.notes.count(at) == time:
            raise error

    watching = Watching(on)
    return watching


def enlarging(height: int = 96, width: int = 128) -> Work[UpscaleParameters]:
    parameters = UpscaleParameters(format="png", height=height, width=width, effort="best")
    return Work(OPERATIONS["upscale"], "bicubic", parameters)


def decoded(colour: Colour) -> Picture:
    return Picture(photo(), None, None, None, "png", False)


def along(watching: Watching) -> Encoded:
    return compute(enlarging(), Engine(device="cpu", tile="20"), decoded, watching)


def test_stages_come_in_their_order_with_a_look_between_them_and_ticks_while_it_is_computed() -> None:
    watching = Watching()
    result = along(watching)
    assert opened(result.data).size == (result.width, result.height) == (128, 96)
    assert [note for note in watching.notes if note != "tick"] == [
        *("decode begins", "decode ends", "check"),
        *("infer begins", "infer ends", "check"),
        *("encode begins", "encode ends"),
    ]
    begins, ends = watching.notes.index("infer begins"), watching.notes.index("infer ends")
    assert watching.notes.count("tick") == watching.notes[begins:ends].count("tick") > 2


def test_the_picture_is_gone_before_its_result_is_encoded() -> None:
    alive: list[bool] = []
    made: list[weakref.ref[Picture]] = []

    def decode(colour: Colour) -> Picture:
        picture = decoded(colour)
        made.append(weakref.ref(picture))
        return picture

    def on(note: str) -> None:
        if note in ("infer begins", "encode begins"):
            gc.collect()
            alive.append(made[0]() is not None)

    compute(enlarging(), Engine(device="cpu"), decode, Watching(on))
    assert alive == [True, False]


@pytest.mark.parametrize(
    ("at", "time", "last"),
    [
        ("check", 1, "decode ends"),
        ("tick", 2, "infer begins"),
        ("check", 2, "infer ends"),
    ],
)
def test_what_the_observer_raises_ends_the_way_there(at: str, time: int, last: str) -> None:
    for error in (JobCancelled("the job was cancelled"), JobTimeout("late")):
        watching = raising(error, at, time)
        with pytest.raises(type(error)):
            along(watching)
        assert watching.notes[-1] == at
        assert [note for note in watching.notes if note not in ("tick", "check")][-1] == last


@pytest.mark.parametrize(("name", "colour"), [("enhance", "srgb"), ("restore", "keep"), ("upscale", "keep")])
def test_a_picture_is_decoded_in_the_colours_that_its_operation_wants(name: str, colour: Colour) -> None:
    asked: list[Colour] = []

    def decode(wanted: Colour) -> Picture:
        asked.append(wanted)
        raise JobCancelled("enough")

    with pytest.raises(JobCancelled):
        compute(Work(OPERATIONS[name], "bicubic", Parameters(format="png")), Engine(device="cpu"), decode, Watching())
    assert asked == [colour]


def test_who_only_wants_ticks_gets_the_same_result() -> None:
    ticks: list[tuple[int, int]] = []
    unobserved = Unobserved(lambda *at: ticks.append(at))
    assert compute(enlarging(), Engine(device="cpu", tile="20"), decoded, unobserved) == along(Watching())
    assert ticks[0][0] == 0 and ticks[-1][0] == ticks[-1][1] > 1
