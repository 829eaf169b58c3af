"""Attempts that go on where one before them was lost: what they compute, and that the result is the same to the bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.cards import BY_NAME, available
from tests.models.brought import bring_airnet, bring_airnet_u
from tests.workers.enlarging import ConvNet, Counting, hole, noise, picture, starved
from workers.engine import checkpoint, memory
from workers.engine.checkpoint import Checkpoint, fingerprint, pace_of
from workers.engine.engine import Engine
from workers.errors import StoreUnavailable
from workers.pictures.picture import Picture

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(Exception):
    """In place of a worker's end."""


class Shelf:
    """Keeps parts in memory; `room`: how many it takes."""

    def __init__(self, room: int = 1000) -> None:
        self.was_read = False
        self.parts: list[bytes] = []
        self._plan = ""
        self._room = room

    def plan(self) -> str:
        return self._plan

    def read(self) -> Iterator[bytes]:
        for part in list(self.parts):
            self.was_read = True
            yield part

    def write(self, plan: str, samples: Sequence[bytes]) -> bool:
        if plan != self._plan:
            self._plan, self.parts = plan, []
        if len(self.parts) < self._room:
            self.parts.append(b"".join(samples))
            return True
        return False


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is finished is written at once."""
    for name in ("FIRST_AFTER_S", "EVERY_S", "REST"):
        monkeypatch.setattr(checkpoint, name, 0)


Compute = Callable[[Engine, Callable[[int, int], None], Shelf | None], Picture]


def lost_and_gone_on(
    make_engine: Callable[[Counting], Engine], compute: Compute, at: float
) -> tuple[Picture, list[tuple[int, int]], list[int]]:
    """The result of an attempt after one that was lost when this share was done; its ticks; the tiles of each."""
    shelf, ticks, counts = Shelf(), [], (Counting(), Counting())

    def kill(done: int, total: int) -> None:
        if done >= at * total:
            raise Killed

    with pytest.raises(Killed):
        compute(make_engine(counts[0]), kill, shelf)
    found = compute(make_engine(counts[1]), lambda *told: ticks.append(told), shelf)
    assert shelf.was_read
    return found, ticks, [count.seen["tiles"] for count in counts]


def quiet(done: int, total: int) -> None:
    pass


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("at", [0.3, 0.75])
@pytest.mark.parametrize("model", ["conv", "fourier", "bicubic"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_picture_is_enlarged_on_from_the_tiles_that_are_done(model: str, kind: type, at: float, conv: str) -> None:
    alpha: np.ndarray = (hole() * np.array(np.iinfo(kind).max // 255, kind)).astype(kind)
    source = picture(noise(48, 48, 3, kind), alpha)

    def make_engine(observe: Counting) -> Engine:
        return Engine(device="cpu", tile="16", observe=observe)

    def compute(engine: Engine, tick: Callable[[int, int], None], keeper: Shelf | None) -> Picture:
        return engine.upscale(source, model=model, height=122, width=166, tick=tick, keeper=keeper)

    whole = Counting()
    expected = compute(make_engine(whole), quiet, None)
    found, ticks, tiles = lost_and_gone_on(make_engine, compute, at)
    assert (found.pixels == expected.pixels).all()
    assert found.alpha is not None and expected.alpha is not None
    assert (found.alpha == expected.alpha).all()
    assert sum(tiles) == whole.seen["tiles"], "nothing is computed twice"
    assert ticks[0][0] > 0, "progress goes on from where it was"
    assert ticks[-1][0] == ticks[-1][1]


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("size", [(350, 200), (200, 350)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model, bring", [("airnet", bring_airnet), ("airnet-u", bring_airnet_u)])
def test_a_picture_is_restored_on_from_the_rows_that_are_done(
    model: str, bring: Callable[[Path], Any], channels: int, size: tuple[int, int], tmp_path: Path
) -> None:
    bring(tmp_path)
    source = picture(noise(*size, channels))

    def make_engine(observe: Counting) -> Engine:
        return Engine(device="cpu", precision="fp32", tile="64", weights_dir=tmp_path, observe=observe)

    def compute(engine: Engine, tick: Callable[[int, int], None], keeper: Shelf | None) -> Picture:
        return engine.restore(source, model=model, strength=0.7, tick=tick, keeper=keeper)

    whole = Counting()
    expected = compute(make_engine(whole), quiet, None)
    found, ticks, tiles = lost_and_gone_on(make_engine, compute, 0.5)
    assert (found.pixels == expected.pixels).all()
    assert found.found == expected.found
    row = 4 if BY_NAME[model].tiling == "blended" else 0
    assert sum(tiles) <= whole.seen["tiles"] + row, "at most the row that was under way is computed twice"
    assert ticks[0][0] > 0
    assert ticks[-1][0] == ticks[-1][1]


@dataclasses.dataclass(frozen=True)
class Attempts:
    """Of one picture by one model under speeds that differ; `slower`: times what its card says."""

    model: str
    folder: Path
    source: Picture

    def compute(
        self, observe: Counting, slower: float, keeper: Shelf | None, tick: Callable[[int, int], None] = quiet
    ) -> Picture:
        engine = Engine(device="cpu", precision="fp32", weights_dir=self.folder, observe=observe)
        engine.use_speeds({self.model: slower * engine.card(self.model).cpu_s_per_mp})
        asked: dict[str, Any] = {"model": self.model, "tick": tick, "keeper": keeper}
        if BY_NAME[self.model].task == "restore":
            return engine.restore(self.source, **asked)
        return engine.upscale(self.source, height=200, width=320, **asked)


@pytest.fixture(params=["lmliif", "airnet-u"])
def attempts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempts:
    """A tile may take so little that the picture is in some at the card's speed already."""
    if request.param == "airnet-u":
        bring_airnet_u(tmp_path)
    card = available(tmp_path)[request.param]
    seconds = card.cpu_s_per_mp * (0.04 if card.task == "upscale" else 0.1)
    monkeypatch.setattr(memory, "CPU_TILE_S", seconds)
    size = (100, 160) if card.task == "upscale" else (200, 700)
    return Attempts(request.param, tmp_path, picture(noise(*size)))


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize(("before", "after"), [(1, 5), (5, 1), (2, 16)])
def test_an_attempt_goes_on_in_the_tiles_of_the_one_before_whatever_was_learnt_meanwhile(
    attempts: Attempts, before: float, after: float
) -> None:
    shelf, whole, counts = Shelf(), Counting(), (Counting(), Counting())
    expected = attempts.compute(whole, before, None)
    attempts.compute(other := Counting(), after, None)
    assert whole.seen["tiles"] != other.seen["tiles"] > 1, "by itself it would be in other tiles"

    def kill(done: int, total: int) -> None:
        if done >= total / 2:
            raise Killed

    with pytest.raises(Killed):
        attempts.compute(counts[0], before, shelf, kill)
    found = attempts.compute(counts[1], after, shelf)
    assert shelf.was_read
    assert sum(count.seen["tiles"] for count in counts) == whole.seen["tiles"], "nothing is computed twice"
    assert (found.pixels == expected.pixels).all()
    found = attempts.compute(again := Counting(), 3, shelf)
    assert (again.seen["tiles"], shelf.was_read) == (0, True), "and so does the one after it"
    assert (found.pixels == expected.pixels).all()


@pytest.mark.usefixtures("always_due")
def test_what_cannot_be_taken_up_under_another_speed_is_dropped_and_the_result_is_whole(attempts: Attempts) -> None:
    shelf = Shelf()
    expected = attempts.compute(Counting(), 4, shelf).pixels
    for of_an_older_version in ("0" * 64, "0" * 64 + "/4", "0" * 64 + "/none"):
        shelf._plan, shelf.was_read = of_an_older_version, False
        attempts.compute(observe := Counting(), 4, shelf)
        assert not shelf.was_read and observe.seen["tiles"] > 1
        assert (attempts.compute(Counting(), 1, shelf).pixels == expected).all()
        assert shelf.was_read


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("changed", [{"tile": "24"}, {"threads": 2}, {"precision": "fp32"}])
def test_what_another_plan_has_kept_is_not_taken_up(changed: dict[str, Any], conv: str) -> None:
    shelf, observe = Shelf(), Counting()
    source = picture(noise())

    def compute(**how: Any) -> Picture:
        engine = Engine(device="cpu", **{"tile": "32", "observe": observe, **how})
        return engine.upscale(source, model=conv, height=122, width=166, tick=quiet, keeper=shelf)

    before = torch.get_num_threads()
    compute()
    try:
        compute(**changed)
    finally:
        torch.set_num_threads(before)
    assert not shelf.was_read
    compute()
    assert not shelf.was_read, "the last that was kept is of the other plan"
    compute()
    assert shelf.was_read


@pytest.mark.usefixtures("always_due")
def test_a_part_that_is_lost_has_the_attempt_go_on_from_those_before_it(conv: str) -> None:
    shelf, first, second = Shelf(), Counting(), Counting()
    source = picture(noise())

    def compute(observe: Counting) -> Picture:
        engine = Engine(device="cpu", tile="32", observe=observe)
        return engine.upscale(source, model=conv, height=122, width=166, tick=quiet, keeper=shelf)

    expected = compute(first).pixels
    del shelf.parts[4:]
    assert (compute(second).pixels == expected).all()
    assert second.seen["tiles"] == first.seen["tiles"] - 4


@pytest.mark.usefixtures("always_due")
def test_after_memory_ran_out_nothing_more_is_kept(serve: Callable[..., str]) -> None:
    shelf = Shelf()
    engine = Engine(device="cpu", tile="64")
    name = serve(starved(40 * 40, RuntimeError), name="starved")
    engine.upscale(picture(noise()), model=name, height=122, width=166, tick=quiet, keeper=shelf)
    assert shelf.parts == []


@pytest.mark.usefixtures("always_due")
def test_a_keeper_without_room_is_asked_no_more_and_the_picture_is_whole(conv: str) -> None:
    shelf = Shelf(room=2)
    source = picture(noise())
    engine = Engine(device="cpu", tile="32")

    def compute(keeper: Shelf | None) -> Picture:
        return engine.upscale(source, model=conv, height=122, width=166, tick=quiet, keeper=keeper)

    assert (compute(shelf).pixels == compute(None).pixels).all()
    assert len(shelf.parts) == 2


def test_a_picture_that_is_done_at_once_is_never_kept(conv: str) -> None:
    shelf = Shelf()
    engine = Engine(device="cpu", tile="32")
    engine.upscale(picture(noise()), model=conv, height=122, width=166, tick=quiet, keeper=shelf)
    assert shelf.parts == []


@pytest.mark.usefixtures("always_due")
def test_what_could_not_be_written_is_written_with_what_comes_next() -> None:
    class Deaf(Shelf):
        is_deaf = True

        def write(self, plan: str, samples: Sequence[bytes]) -> bool:
            if self.is_deaf:
                raise StoreUnavailable("the job store does not answer")
            return super().write(plan, samples)

    shelf = Deaf()
    kept = Checkpoint(shelf, lambda: "plan")
    rows = [noise(3, 5), noise(4, 6), noise(2, 9)]
    for number, row in enumerate(rows):
        shelf.is_deaf = number < 2
        kept.add(row)
    assert len(shelf.parts) == 1
    found = [np.zeros_like(row) for row in rows]
    following = Checkpoint(shelf, lambda: "plan")
    assert all(following.fill(one) for one in found)
    assert all((one == row).all() for one, row in zip(found, rows, strict=True))
    assert not following.fill(np.zeros((1, 1, 1), np.uint8))


@pytest.mark.usefixtures("always_due")
def test_one_write_is_of_a_bounded_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 100)
    monkeypatch.setattr(checkpoint, "FIRST_AFTER_S", 1000)
    shelf = Shelf()
    kept = Checkpoint(shelf, lambda: "plan")
    for _ in range(10):
        kept.add(noise(4, 5))
    kept._due_at = 0
    for _ in range(3):
        kept.add(noise(4, 5))
    assert [len(part) for part in shelf.parts] == [120, 120, 120]


@pytest.mark.usefixtures("always_due")
def test_samples_that_are_of_no_tile_of_this_pass_are_not_taken_up_and_nothing_is_kept_behind_them() -> None:
    shelf = Shelf()
    Checkpoint(shelf, lambda: "plan").add(noise(3, 3))
    following = Checkpoint(shelf, lambda: "plan")
    tile = np.zeros((9, 9, 3), np.uint8)
    assert not following.fill(tile)
    assert not following.fill(np.zeros((3, 3, 3), np.uint8))
    following.add(tile)
    assert len(shelf.parts) == 1


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_samples_come_back_to_the_bit_also_into_views(kind: type) -> None:
    shelf = Shelf()
    wide = np.random.default_rng(3).integers(0, 256, (20, 30, 3)).astype(kind) * kind(1.37 if kind is np.float32 else 1)
    Checkpoint(shelf, lambda: "plan").add(wide[3:9, 4:20], wide.transpose(1, 0, 2))
    found = np.zeros_like(wide), np.zeros_like(wide)
    assert Checkpoint(shelf, lambda: "plan").fill(found[0][3:9, 4:20], found[1].transpose(1, 0, 2))
    assert (found[0][3:9, 4:20] == wide[3:9, 4:20]).all() and not found[0][:3].any()
    assert (found[1] == wide).all()


def test_a_fingerprint_tells_plans_and_machines_apart() -> None:
    facts = {"device": "cpu", "threads": 2}
    told = {fingerprint(facts, "a"), fingerprint(facts, "b"), fingerprint({**facts, "threads": 1}, "a")}
    assert len(told) == 3
    assert fingerprint(dict(reversed(facts.items())), "a") in told


@pytest.mark.parametrize("pace", [1, 4, 1024])
def test_a_fingerprint_tells_at_which_pace_it_was_planned(pace: int) -> None:
    assert pace_of(fingerprint({}, "a", pace)) == pace
    for nonsense in ("", "a" * 64, "9" * 64, "a/", "a/0", "a/-4", "a/4.0", "a/nan", "a/" + "9" * 9):
        assert pace_of(nonsense) is None


def test_a_model_of_other_weights_takes_nothing_up(serve: Callable[..., str]) -> None:
    """Its facts name the weights that serve."""
    assert "sha256" in str(Engine(device="cpu").facts()) or not Engine(device="cpu").loaded()
    engine = Engine(device="cpu")
    engine.load(serve(ConvNet))
    assert "sha256" in engine.facts()["models"]["conv"]
