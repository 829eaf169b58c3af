"""What clients learn of their jobs and of the queue, and what becomes of a job that they cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.living import hash_of, pass_time
from tests.workers.stored import LOST, OUTPUT, claim, kinds, put
from workers.errors import JobGone, JobUnknown
from workers.jobs.job import Job, JobStatus, Lane, ResultKey
from workers.jobs.pipeline import Pipeline
from workers.jobs.records import WAKE_CHANNEL, Hold, status_of
from workers.jobs.store import Store
from workers.jobs.store_base import CARRIED_BYTES, CHUNK_BYTES
from workers.jobs.store_reading import Watch


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


@pytest.mark.parametrize("size", [1, CARRIED_BYTES])
def test_a_result_is_looked_up_with_its_job(store: Store, redis_url: str, size: int) -> None:
    data = b"r" * size
    job = put(store)
    key = ResultKey(job.computation.id, 1, size)
    taken = claim(store, job)
    assert looked_up(store, redis_url, job, key) is None
    store.succeed(taken, data, OUTPUT, {})
    status = store.status(job.id)
    assert (status.result, status.result_key) == (b"", key)
    found = looked_up(store, redis_url, job, key)
    assert found == replace(status, result=data)
    assert b"".join(store.read_result(found)) == data
    assert b"".join(store.read_result(found, 0, 1)) == b"r"
    assert not b"".join(store.read_result(found, size))


def test_where_a_result_does_not_lie_as_it_was_told_nothing_is_found(store: Store, redis_url: str) -> None:
    jobs = [put(store, key="same") for _ in range(3)]
    key = ResultKey(jobs[0].computation.id, 1, len(b"better"))
    store.cancel(jobs[1].id)
    store.succeed(claim(store, jobs[0]), b"better", OUTPUT, {})

    def found(job: Job, key: ResultKey) -> bytes | None:
        status = looked_up(store, redis_url, job, key)
        return status.result if status else None

    assert [found(job, key) for job in jobs] == [b"better", None, b"better"]
    assert store.status(jobs[1].id).result_key is None  # it was cancelled beside the others
    for other in (key._replace(attempt=2), key._replace(size_bytes=5), key._replace(computation_id="another")):
        assert found(jobs[0], other) is None
    store.cancel(jobs[2].id)
    assert [found(job, key) for job in (jobs[0], jobs[2])] == [b"better", None]
    store.client.unlink(f"lutra:out:{key.computation_id}:1:0")
    assert found(jobs[0], key) is None


def looked_up(store: Store, redis_url: str, job: Job, key: ResultKey) -> JobStatus | None:
    """As the gateway does."""

    async def story() -> JobStatus | None:
        pipeline = Pipeline(redis_url, timeout_s=20)
        try:
            return await pipeline.look(store.result_lookup(job.id, key))
        finally:
            await pipeline.close()

    return asyncio.run(story())


def test_nothing_that_a_status_is_made_of_stays_in_the_store(store: Store) -> None:
    """It is read by names of fields; as of all of them."""

    def of_everything(job: Job) -> JobStatus:
        computation = store.status(job.id).computation_id
        return status_of(job.id, hash_of(store, f"lutra:job:{job.id}"), hash_of(store, f"lutra:comp:{computation}"))

    jobs = [put(store, key="same", lane=Lane.EXPRESS, estimate_s=7.0), put(store, key="same")]
    failing, left = put(store), jobs[1]
    assert store.status(jobs[0].id) == of_everything(jobs[0])
    taken = claim(store, jobs[0])
    store.progress(taken, 1, 3)
    assert store.status(jobs[0].id) == of_everything(jobs[0])
    store.cancel(left.id)
    store.succeed(taken, b"better", {**OUTPUT, "found": {"noise": 0.5}}, {"queue": 0.5, "infer": 1.0})
    store.fail(claim(store, failing), LOST, {"queue": 0.5})
    for job in (jobs[0], left, failing):
        read, whole = store.status(job.id), of_everything(job)
        assert (read, read.found, read.error) == (whole, whole.found, whole.error)
    assert store.status(failing.id).error is not None


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


def test_who_of_many_has_missed_something_is_told_in_one_call(store: Store) -> None:
    quiet, running, ended, left = put(store), put(store), put(store), put(store)
    seen = {job.id: store.events(job.id)[-1].id for job in (quiet, running, ended, left)}
    claim(store, running)
    store.succeed(claim(store, ended), b"better", OUTPUT, {})
    store.cancel(left.id)
    watches = [
        *(Watch(quiet.id, seen[quiet.id]), Watch(quiet.id, "0"), Watch(quiet.id, "")),
        *(Watch(running.id, seen[running.id]), Watch(running.id, "17"), Watch(running.id, "")),
        *(Watch(ended.id, seen[ended.id]), Watch(ended.id, ""), Watch(left.id, "")),
        *(Watch(ended.id, "99999999999999-0"), Watch("gone", "0"), Watch("gone", "")),
    ]
    assert store.ask(store.news_call([])) == []
    before = calls(store)
    assert store.ask(store.news_call(watches)) == [1, 3, 4, 6, 7, 8, 10, 11]
    assert calls(store) == before + 1


def test_an_event_within_the_same_millisecond_is_later(store: Store) -> None:
    job = put(store)
    store.client.delete(f"lutra:events:{job.id}")
    for number in (2, 10):
        store.client.xadd(f"lutra:events:{job.id}", {"kind": "progress", "data": "{}"}, id=f"1700000000000-{number}")
    watches = [Watch(job.id, f"1700000000000-{number}") for number in (1, 2, 9, 10, 11)]
    assert store.ask(store.news_call(watches)) == [0, 1, 2]


def calls(store: Store) -> int:
    """How many scripts Redis was asked to run."""
    told = store.client.info("commandstats")
    return sum(told.get(name, {"calls": 0})["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval"))


def test_the_work_ahead_is_what_is_estimated_until_the_job_asked_about(store: Store) -> None:
    jobs = [put(store, estimate_s=seconds) for seconds in (8, 4, 2)]
    taken = claim(store, jobs[0])
    store.progress(taken, 1, 4)
    lane = store.queue().lanes[Lane.BULK]
    assert (lane.work_s, lane.running_s) == pytest.approx((6 + 4 + 2, 6))
    standings = [store.queue(job.computation.id).standing for job in jobs]
    assert [standing.position for standing in standings] == [None, 1, 2]
    assert [standing.work_s for standing in standings] == pytest.approx([0, 4, 4 + 2])


def test_events_that_nobody_awaits_wake_nobody_and_are_there_all_the_same(store: Store) -> None:
    """Who waits for more than the end of a job has read it by its id."""
    followed, alone = put(store), put(store)
    with store.client.pubsub(ignore_subscribe_messages=True) as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(WAKE_CHANNEL)
        heard.get_message(timeout=5)
        assert kinds(store, followed) == [event.kind for event in store.follow(followed.id, "0")[1]] == ["state"]
        for job in (followed, alone):
            taken = claim(store, job)
            store.progress(taken, 1, 4)
            store.succeed(taken, b"better", OUTPUT, {})
            assert kinds(store, job) == ["state", "state", "progress", "state", "end"]
        words = [heard.get_message(timeout=5)["data"].decode() for _ in range(4)]
        ends = [f"{job.id} end {job.computation.id} 1 {len(b'better')}" for job in (followed, alone)]
        assert words == [f"{followed.id} state", f"{followed.id} progress", *ends]
        assert heard.get_message(timeout=0) is None
