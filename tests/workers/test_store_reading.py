"""What clients learn of their jobs and of the queue, and what becomes of a job that they cancel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.living import pass_time
from tests.workers.stored import OUTPUT, claim, kinds, put
from workers.errors import JobGone, JobUnknown
from workers.jobs.job import Lane
from workers.jobs.records import Hold
from workers.jobs.store import Store
from workers.jobs.store_base import CHUNK_BYTES


def test_a_picture_of_several_pieces_is_read_whole_and_by_range(store: Store) -> None:
    data = bytes(range(256)) * (9 * 1024**2 // 256) + b"end"
    job = put(store, data)
    taken = claim(store, job)
    assert store.read_input(taken) == data
    store.succeed(taken, data, OUTPUT, {})
    status = store.status(job.id)
    assert b"".join(store.read_result(status)) == data
    around = slice(CHUNK_BYTES - 3, CHUNK_BYTES + 5)
    assert b"".join(store.read_result(status, around.start, around.stop)) == data[around]
    assert b"".join(store.read_result(status, len(data) - 3)) == b"end"


def test_cancelling_a_queued_job_ends_it_and_a_running_one_stops_at_its_next_tick(store: Store) -> None:
    queued, running = put(store), put(store)
    taken = claim(store, running)
    assert store.cancel(queued.id) == "cancelled"
    assert store.cancel(queued.id) == "cancelled"
    assert store.status(queued.id).state == "cancelled"
    assert store.cancel(running.id) == "running"
    assert store.progress(taken, 1, 2) is Hold.CANCELLED
    assert store.end_cancelled(taken)
    assert store.status(running.id).state == "cancelled"
    assert kinds(store, running)[-1] == "end"


def test_a_client_that_leaves_cancels_only_a_job_that_was_not_detached(store: Store) -> None:
    attached, detached, read = put(store), put(store, detached=True), put(store)
    store.status(read.id, detach=True)
    assert store.cancel(attached.id, only_if_attached=True) == "cancelled"
    assert store.cancel(detached.id, only_if_attached=True) == "detached"
    assert store.cancel(read.id, only_if_attached=True) == "detached"
    assert store.status(detached.id).state == "queued"


def test_an_unknown_job_is_unknown_and_an_expired_one_is_gone(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.beat({"test:1": {}})
    job = put(store)
    store.succeed(claim(store, job), b"better", OUTPUT, {})
    pass_time(store, store.limits.result_ttl_s + 1)
    with pytest.raises(JobGone):
        store.status(job.id)
    with pytest.raises(JobGone):
        store.cancel(job.id)
    with pytest.raises(JobUnknown):
        store.status("never")


def test_events_are_replayed_after_an_id(store: Store) -> None:
    job = put(store)
    claim(store, job)
    first, second = store.events(job.id)
    assert store.events(job.id, first.id) == [second]
    assert store.events(job.id, second.id) == []


def test_the_work_ahead_is_what_is_estimated_until_the_job_asked_about(store: Store) -> None:
    jobs = [put(store, estimate_s=seconds) for seconds in (8, 4, 2)]
    taken = claim(store, jobs[0])
    store.progress(taken, 1, 4)
    lane = store.queue().lanes[Lane.BULK]
    assert (lane.work_s, lane.running_s) == pytest.approx((6 + 4 + 2, 6))
    standings = [store.queue(job.computation.id).standing for job in jobs]
    assert [standing.position for standing in standings] == [None, 1, 2]
    assert [standing.work_s for standing in standings] == pytest.approx([0, 4, 4 + 2])
