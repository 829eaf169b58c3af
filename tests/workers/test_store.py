"""The store on a real Redis: the life of a job, its times to live, and a Redis out of memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.living import pass_time
from tests.workers.stored import OUTPUT, claim, kinds, put
from workers.errors import StoreFull
from workers.jobs.records import Hold
from workers.jobs.store import Store


def test_a_job_goes_from_queued_to_succeeded_and_its_result_is_what_was_written(store: Store) -> None:
    job = put(store)
    assert store.status(job.id).state == "queued"
    taken = claim(store, job)
    assert store.read_input(taken) == b"picture"
    assert store.status(job.id).state == "running"
    assert store.progress(taken, 1, 4) is Hold.HELD
    assert store.status(job.id).progress == 0.25
    assert store.succeed(taken, b"better", OUTPUT, {"infer": 0.5})
    status = store.status(job.id)
    assert (status.state, status.progress, status.timings_s) == ("succeeded", 1.0, {"infer": 0.5})
    assert b"".join(store.read_result(status)) == b"better"
    assert kinds(store, job) == ["state", "state", "progress", "state", "end"]


def test_every_key_of_a_job_has_a_time_to_live(store: Store) -> None:
    job = put(store)
    store.succeed(claim(store, job), b"better", OUTPUT, {})
    ids = (job.id, job.computation.id)
    keys = [key for key in store.client.keys("*") if any(id_.encode() in key for id_ in ids)]
    assert len(keys) >= 5
    assert all(0 < store.client.ttl(key) <= store.limits.result_ttl_s + 24 * 3600 for key in keys)


def test_the_pieces_of_a_result_live_as_long_as_its_record(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.beat({"test:1": {}})
    job = put(store)
    store.succeed(claim(store, job), b"better", OUTPUT, {})
    pass_time(store, store.limits.result_ttl_s + 1)
    assert not store.client.keys("lutra:out:*")


def test_with_redis_out_of_memory_a_job_is_refused_but_ends_and_heartbeats_go_on(store: Store) -> None:
    queued, running = put(store), put(store)
    taken = claim(store, running)
    store.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            put(store)
        assert store.cancel(queued.id) == "cancelled"
        store.beat({"test:1": None})
        with pytest.raises(StoreFull):
            store.succeed(taken, b"better", OUTPUT, {})
        assert store.fail(taken, StoreFull("full"), {})
    finally:
        store.client.config_set("maxmemory", 0)
    assert store.status(running.id).state == "failed"
    assert store.queue().workers_alive == 1
