"""Progress over all the passes of one picture: what is told of it, and how it goes on when tiles become smaller."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest

from tests.workers.test_checkpoint import Shelf
from workers.engine.checkpoint import Checkpoint
from workers.engine.passes import Progress
from workers.errors import JobCancelled, Preempted


def test_every_step_is_told_and_adds_up() -> None:
    ticks: list[tuple[int, int]] = []
    progress = Progress(lambda *at: ticks.append(at), 6)
    progress.report()
    for count in (1, 2, 3):
        progress.advance(count)
    assert ticks == [(0, 6), (1, 6), (3, 6), (6, 6)]


def test_what_the_tick_raises_comes_through_and_what_was_done_stays_done() -> None:
    def tick(done: int, total: int) -> None:
        if done == 2:
            raise JobCancelled("the job was cancelled")

    progress = Progress(tick, 3)
    progress.advance(1)
    with pytest.raises(JobCancelled):
        progress.advance(1)
    assert (progress.done, progress.total) == (2, 3)


@pytest.mark.parametrize(("error", "parts"), [(JobCancelled("the job was cancelled"), 0), (Preempted(), 1)])
def test_a_job_that_is_to_go_on_later_keeps_what_is_done_and_one_that_ends_does_not(
    error: Exception, parts: int
) -> None:
    def tick(done: int, total: int) -> None:
        if done == 2:
            raise error

    shelf = Shelf()
    progress = Progress(tick, 3, Checkpoint(shelf, lambda: "plan"))
    tile = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    for _ in range(2):
        progress.checkpoint.add(tile)
        with suppress(JobCancelled, Preempted):
            progress.advance(1)
    assert len(shelf.parts) == parts
    if parts:
        again, found = Checkpoint(shelf, lambda: "plan"), np.empty_like(tile)
        assert again.fill(found) and again.fill(found) and not again.has_more
        assert np.array_equal(found, tile)


@pytest.mark.parametrize(("total", "done", "before", "after"), [(10, 4, 6, 24), (10, 0, 10, 40), (12, 5, 3, 9)])
def test_smaller_tiles_are_more_and_the_share_that_is_done_does_not_fall(
    total: int, done: int, before: int, after: int
) -> None:
    """`total - done - before` tiles are those of passes to come, which stay as they are."""
    ticks: list[tuple[int, int]] = []
    progress = Progress(lambda *at: ticks.append(at), total)
    progress.advance(done)
    progress.replan(before, after)
    assert progress.total - progress.done == after + (total - done - before)
    for _ in range(progress.total - progress.done):
        progress.advance(1)
    assert ticks[-1][0] == ticks[-1][1] == progress.total
    assert all(later[0] / later[1] >= earlier[0] / earlier[1] for earlier, later in pairwise(ticks))
