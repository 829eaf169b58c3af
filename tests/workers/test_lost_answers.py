"""A script whose answer is lost is run again: nothing happens twice. And what a full Redis still lets a worker do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.workers.stored import claim, kinds, make_job, messages, put, weight_of_records
from workers.errors import NoWorker, QueueFull
from workers.jobs.job import Lane
from workers.jobs.records import PENDING_TTL_S, RETURN_S, TOMBSTONE_S, Hold, computation_fields
from workers.jobs.script import Script
from workers.jobs.store import Store
from workers.jobs.store_execution import Wish
from workers.jobs.store_rates import Bucket


@pytest.fixture
def twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store each of whose scripts is run, loses its answer, and is run again."""
    once = store._run_among

    def run(script: Script, *args: object, **commands: Any) -> object:
        once(script, *args, **commands)
        return once(script, *args, **commands)

    monkeypatch.setattr(store, "_run_among", run)
    yield store


def test_a_job_whose_every_script_runs_twice_lives_as_if_once(twice: Store) -> None:
    job = put(twice)
    assert (twice.queue().queued, twice.queue().active) == (1, 1)
    taken = claim(twice, job)
    assert taken.attempt == 1
    assert twice.progress(taken, 1, 4) is Hold.HELD
    assert twice.renew(taken, lease_s=30) is Hold.HELD
    assert twice.succeed(taken, b"better", {"format": "png", "width": 2, "height": 2}, {})
    assert kinds(twice, job) == ["state", "state", "progress", "state", "end"]
    assert twice.status(job.id).attempts == 1
    assert twice.queue().stored_bytes == len(b"better") + weight_of_records(twice)


def test_the_last_place_of_the_queue_is_given_to_one_job_and_asked_for_twice(
    make_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(queue_size=1)
    store.beat({"test:1": {}})
    job = make_job()
    store._admit(job, 100)
    store._admit(job, 100)
    with pytest.raises(QueueFull):
        put(store)


def test_a_job_stored_again_after_a_worker_has_taken_it_stays_taken(store: Store) -> None:
    job = put(store)
    taken = claim(store, job)
    record = computation_fields(job.computation, 1, "")
    args = [job.computation.id, job.id, PENDING_TTL_S, TOMBSTONE_S, "", "", len(record)]
    store._run(Script.SUBMIT, *args, *(part for pair in record.items() for part in pair), "detached", 0)
    assert store.status(job.id).state == "running"
    assert store.renew(taken, lease_s=30) is Hold.HELD


def test_a_cancelled_job_cancelled_again_answers_the_same(twice: Store) -> None:
    queued, running = put(twice), put(twice)
    claim(twice, running)
    assert twice.cancel(queued.id) == "cancelled"
    assert twice.cancel(running.id) == "running"
    assert kinds(twice, queued) == ["state", "state", "end"]


def test_what_was_taken_out_of_a_bucket_is_taken_once(twice: Store) -> None:
    buckets = Bucket("requests", 60, 10), Bucket("megapixels", 60, 40)
    levels = twice.take("a", *buckets)
    assert [(round(level.left), level.wait_s) for level in levels] == [(50, 0), (20, 0)]


def test_a_second_claim_by_the_same_child_is_a_new_attempt(store: Store) -> None:
    """Its message came again: what the first one had is worthless."""
    job = put(store)
    first, second = claim(store, job), claim(store, job)
    assert (first.attempt, second.attempt) == (1, 2)
    assert store.renew(first, lease_s=30) is Hold.LOST


def test_a_claim_without_a_message_whose_answer_is_lost_takes_one_message(twice: Store) -> None:
    for _ in range(3):
        put(twice, message=b"{}")
    assert twice.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60, by_message=False) is not None
    assert (messages(twice), twice.queue().queued) == (2, 2)


def test_an_end_whose_answer_is_lost_claims_one_computation_along_with_it(twice: Store) -> None:
    jobs = [put(twice, message=b"{}") for _ in range(3)]
    taken = twice.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60, by_message=False)
    assert taken is not None
    wish = Wish(Lane.BULK, "test:1", lease_s=30, timeout_s=60)
    ended = twice.succeed(taken, b"better", {"format": "png", "width": 2, "height": 2}, {}, chunks=0, then=wish)
    assert ended.next is not None and ended.next.attempt == 1 and ended.next.picture == b"picture"
    assert [twice.status(job.id).state for job in jobs] == ["succeeded", "running", "queued"]
    assert (messages(twice), twice.queue().queued) == (1, 1)
    assert kinds(twice, jobs[0]) == ["state", "state", "state", "end"]


def test_work_goes_on_while_redis_is_out_of_memory(store: Store) -> None:
    job = put(store)
    store.client.config_set("maxmemory", 1)
    try:
        taken = claim(store, job)
        assert store.renew(taken, lease_s=30) is Hold.HELD
        assert store.status(job.id, detach=True).state == "running"
    finally:
        store.client.config_set("maxmemory", 0)
    assert store.succeed(taken, b"better", {"format": "png", "width": 2, "height": 2}, {})


def test_a_worker_whose_only_child_loads_again_is_waited_for(store: Store) -> None:
    store.beat({"here:1:2": {}}, place="here:1")
    store.forget_children(store.children())
    store.beat({}, place="here:1", is_loading=True)
    assert store.worker_returns()
    assert store.status(put(store).id).state == "queued"


def test_a_worker_that_has_not_loaded_for_long_is_waited_for_no_more(store: Store) -> None:
    store.beat({"here:1:2": {}}, place="here:1")
    store.forget_children(store.children())
    store.client.zadd("lutra:served", {"here:1": time.time() - RETURN_S - 1})
    store.beat({}, place="here:1", is_loading=True)
    assert not store.worker_returns()
    with pytest.raises(NoWorker):
        put(store)


@pytest.mark.parametrize("place, is_loading", [("here:1", False), ("elsewhere:1", True)])
def test_a_worker_that_is_gone_or_never_served_is_not_waited_for(store: Store, place: str, is_loading: bool) -> None:
    store.beat({"here:1:2": {}}, place="here:1")
    store.forget_children(store.children())
    store.beat({}, place=place, is_loading=is_loading)
    with pytest.raises(NoWorker):
        put(store)


def test_a_worker_that_stopped_beating_while_it_loaded_is_not_waited_for(store: Store) -> None:
    store.beat({"here:1:2": {}}, place="here:1")
    store.forget_children(store.children())
    store.beat({}, place="here:1", is_loading=True)
    store.client.zadd("lutra:returning", {"here:1": time.time() - 1})
    with pytest.raises(NoWorker):
        put(store)
