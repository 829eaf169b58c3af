"""When to come back, in whole seconds, and what is said of a job that ended without a picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.answers import ended_badly, refusal_headers, retry_after, retry_refused, whole_seconds
from tests.service.test_schemas import QUEUED, RUNNING, status
from workers.errors import CorruptPicture, JobCancelled, QueueFull, ShareReached, StoreFull
from workers.jobs.job import Lane
from workers.jobs.records import LaneFacts, QueueFacts, Standing, problem_json

BULK = LaneFacts(queued=8, running=2, work_s=100.0, running_s=20.0, children=2, clients=4)
EXPRESS = LaneFacts(queued=3, running=1, work_s=48.0, children=1)
QUEUE = QueueFacts({Lane.BULK: BULK, Lane.EXPRESS: EXPRESS}, 14, 3, 0, standing=Standing(Lane.BULK, 8, 80.0))


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (0.2, "1"), (1.01, "2"), (299.5, "300"), (4000.0, "300")])
def test_seconds_are_whole_and_within_bounds(seconds: float, told: str) -> None:
    assert whole_seconds(seconds) == told


def test_a_job_is_asked_for_again_when_it_is_probably_done() -> None:
    assert retry_after(QUEUE, QUEUED) == "50"  # the work before it, by two children
    assert retry_after(QUEUE, RUNNING) == "6"  # three quarters of 8 s
    assert retry_after(None, QUEUED) == "5"


def test_who_was_refused_comes_back_when_a_place_or_room_is_free() -> None:
    assert retry_refused(QueueFull("full"), QUEUE) == "5"  # the next of ten jobs
    assert retry_refused(StoreFull("full"), QUEUE) == "5"
    assert retry_refused(StoreFull("full"), replace(QUEUE, room_s=42.0)) == "42"
    assert retry_refused(QueueFull("full"), replace(QUEUE, room_s=42.0)) == "5"
    assert retry_refused(StoreFull("full"), None) == "5"


def test_who_found_a_lane_full_comes_back_when_one_of_its_jobs_is_done() -> None:
    assert retry_refused(QueueFull("full", lane="express"), QUEUE) == "12"
    assert retry_refused(QueueFull("full", lane="bulk"), QUEUE) == "5"


def test_who_has_reached_a_share_is_told_how_large_it_is_and_comes_back_after_a_turn_of_everybody() -> None:
    reached = ShareReached("80 of your jobs", limit=80, unit="jobs", lane="bulk")
    assert refusal_headers(reached, QUEUE) == {
        "Retry-After": "20",
        "RateLimit-Policy": '"share";q=80;qu="jobs"',
        "RateLimit": '"share";r=0;t=20',
    }
    assert refusal_headers(QueueFull("full"), None) == {"Retry-After": "5"}


def test_an_end_without_a_picture_is_its_own_error_or_a_cancellation() -> None:
    failed = ended_badly(status("failed", error=problem_json(CorruptPicture("cut off"))))
    assert isinstance(failed, CorruptPicture) and failed.message == "cut off"
    assert isinstance(ended_badly(status("cancelled")), JobCancelled)
