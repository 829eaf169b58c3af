"""What the store keeps of a job, read back; the arithmetic of a queue."""

from __future__ import annotations

import pytest

from workers.errors import TooManyPixels
from workers.jobs.job import Computation, Lane, PictureFacts
from workers.jobs.records import (
    LaneFacts,
    Limits,
    QueueFacts,
    Standing,
    computation_fields,
    number,
    problem_json,
    status_of,
)

COMPUTATION = Computation(
    "c1", "key", "upscale", "liif", {"scale": "2", "lossless": None}, PictureFacts("png", 3, 2, 70), 8.5
)


def stored(**more: object) -> dict[bytes, bytes]:
    """As Redis gives it back: all is bytes."""
    fields = {**computation_fields(COMPUTATION, 1, "request"), "state": "queued", **more}
    return {name.encode(): str(value).encode() for name, value in fields.items()}


def job(**more: object) -> dict[bytes, bytes]:
    fields = {"computation": "c1", "created_at": 7.25, **more}
    return {name.encode(): str(value).encode() for name, value in fields.items()}


def test_what_was_put_in_comes_back() -> None:
    status = status_of("a1", job(), stored())
    assert (status.id, status.computation_id, status.operation, status.model) == ("a1", "c1", "upscale", "liif")
    assert status.parameters == {"scale": "2", "lossless": None}
    assert status.input == {"format": "png", "width": 3, "height": 2, "bytes": 70}
    assert (status.created_at, status.estimate_s, status.attempts) == (7.25, 8.5, 0)
    assert (status.output, status.error, status.timings_s, status.finished_at) == (None, None, {}, None)
    assert not status.ended


def test_progress_is_a_share_of_the_tiles_while_it_runs_and_whole_at_the_end() -> None:
    assert status_of("a1", job(), stored(state="running", done=1, total=3)).progress == 0.3333
    assert status_of("a1", job(), stored(state="running")).progress == 0
    assert status_of("a1", job(), stored(state="succeeded", done=1, total=3)).progress == 1
    assert status_of("a1", job(), stored(state="queued", done=1, total=3)).progress == 0


def test_a_computation_that_waits_again_has_not_started() -> None:
    assert status_of("a1", job(), stored(state="queued", started_at=8)).started_at is None
    assert status_of("a1", job(), stored(state="running", started_at=8)).started_at == 8


def test_one_of_several_clients_that_left_sees_its_own_end() -> None:
    status = status_of("a1", job(left=1, left_at=9), stored(state="running", started_at=8, finished_at=12))
    assert (status.state, status.finished_at, status.ended) == ("cancelled", 9, True)


def test_an_error_is_kept_with_its_facts() -> None:
    status = status_of("a1", job(), stored(state="failed", error=problem_json(TooManyPixels("20 of 10", limit=10))))
    assert status.error == {
        **{"code": "too_many_pixels", "detail": "20 of 10"},
        **{"retryable": False, "members": {"limit": 10}},
    }


@pytest.mark.parametrize(("raw", "value"), [(None, None), (b"", None), ("", None), (b"1.5", 1.5), (b"0", 0.0)])
def test_a_number_that_is_not_there_is_none(raw: bytes | str | None, value: float | None) -> None:
    assert number(raw) == value


@pytest.mark.parametrize(("children", "queued", "wait_s", "place_s"), [(2, 9, 45, 5), (0, 0, 90, 100), (1, 3, 90, 25)])
def test_work_is_shared_by_the_lane_s_children_and_a_place_is_free_with_the_next_end(
    children: int, queued: int, wait_s: float, place_s: float
) -> None:
    lane = LaneFacts(queued, 1, work_s=100.0, running_s=30.0, children=children, clients=3)
    idle = LaneFacts()
    facts = QueueFacts({Lane.BULK: lane, Lane.EXPRESS: idle}, queued + 1, 9, 0, standing=Standing(Lane.BULK, 4, 60.0))
    assert (facts.wait_s, facts.place_s, lane.turn_s) == (wait_s, place_s, 3 * place_s)
    assert (facts.queued, facts.running) == (queued, 1)


def test_a_tenth_of_the_places_is_kept_from_each_lane_where_there_are_two() -> None:
    places = [Limits(queue_size=size, lanes_apart=True).lane_places for size in (1, 9, 10, 100)]
    assert places == [1, 9, 9, 90]
    assert Limits(queue_size=100).lane_places == 100
