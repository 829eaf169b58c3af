"""A pass tile by tile: its progress, its end, and smaller tiles where memory ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from models.contract import View
from tests.workers.enlarging import WHOLE, ConvNet, Counting, apart, enlarge, hole, noise, picture, starved
from workers.engine import memory
from workers.engine.engine import Engine
from workers.errors import JobCancelled, OutOfMemory
from workers.operations.sizes import SizeAsked, target_size

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_tick_that_raises_stops_the_work_between_tiles(serve: Callable[..., str]) -> None:
    calls = []

    class Watched(ConvNet):
        def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
            calls.append(len(views))
            return super().forward(windows, views)

    def cancel(done: int, total: int) -> None:
        if done >= 2:
            raise JobCancelled("the job was cancelled")

    engine = Engine(device="cpu", tile="32")
    with pytest.raises(JobCancelled):
        engine.upscale(picture(noise()), model=serve(Watched), height=122, width=166, tick=cancel)
    assert len(calls) == 2


def test_progress_starts_at_zero_never_falls_and_ends_complete() -> None:
    ticks: list[tuple[int, int]] = []
    Engine(device="cpu", tile="32").upscale(
        picture(noise(48, 48), hole()), model="fourier", height=96, width=96, tick=lambda *at: ticks.append(at)
    )
    assert ticks[0][0] == 0
    assert ticks[-1][0] == ticks[-1][1]
    assert all(b[0] / b[1] >= a[0] / a[1] for a, b in pairwise(ticks))


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError])
def test_out_of_memory_goes_on_with_smaller_tiles(error: type[Exception], serve: Callable[..., str], conv: str) -> None:
    source = picture(noise())
    expected = enlarge(Engine(device="cpu", tile=WHOLE), source, conv, "3.7").pixels
    observe, ticks = Counting(), []
    engine = Engine(device="cpu", tile="64", observe=observe)
    name = serve(starved(40 * 40, error), name="starved")
    height, width = target_size(61, 83, SizeAsked(scale="3.7"))
    found = engine.upscale(source, model=name, height=height, width=width, tick=lambda *at: ticks.append(at))
    assert apart(found.pixels, expected) <= 1
    assert observe.seen["oom"] >= 1
    assert ticks[-1][0] == ticks[-1][1]
    assert all(b[0] / b[1] >= a[0] / a[1] for a, b in pairwise(ticks))
    first = observe.seen["oom"]
    enlarge(engine, source, name, "3.7")
    assert observe.seen["oom"] == first, "the second picture starts with the tiles that fitted"


def test_out_of_memory_in_a_batch_takes_fewer_tiles_at_once(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = Counting()
    engine = Engine(device="cpu", tile="32", observe=observe)
    plan = memory.TileSizes.plan
    monkeypatch.setattr(memory.TileSizes, "plan", lambda self, *sizes: (plan(self, *sizes)[0], 8))
    enlarge(engine, picture(noise()), serve(starved(2 * 47 * 47, RuntimeError)))
    assert observe.seen["oom"] == 2  # six at once, then three
    assert max(observe.batches) == 2


def test_batches_give_what_single_tiles_give(conv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(device="cpu", tile="24")
    single = enlarge(engine, picture(noise()), conv, "3.7").pixels
    plan = memory.TileSizes.plan
    monkeypatch.setattr(memory.TileSizes, "plan", lambda self, *sizes: (plan(self, *sizes)[0], 5))
    assert apart(enlarge(engine, picture(noise()), conv, "3.7").pixels, single) <= 1


def test_memory_that_never_suffices_ends_in_one_useful_sentence(serve: Callable[..., str]) -> None:
    with pytest.raises(OutOfMemory, match="starved ran out of memory on cpu even in tiles of") as failed:
        enlarge(Engine(device="cpu"), picture(noise()), serve(starved(0, RuntimeError), name="starved"))
    assert failed.value.retryable
