"""How a job enters the store: a place in the queue, bytes, and nothing left behind where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.living import pass_time
from tests.workers.stored import OUTPUT, claim, make_job, messages, put, weight_of_records
from workers.errors import JobGone, NoWorker, QueueFull, StoreFull, TooManyPixels
from workers.jobs.records import ADMISSION_HOLD_S, RECORD_BYTES, CacheResult
from workers.jobs.store import Store
from workers.jobs.store_base import CARRIED_BYTES, CHUNK_BYTES


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_table_lies_behind_its_picture_and_goes_with_it(store: Store, size: int) -> None:
    data, table = b"p" * size, b"t" * (CHUNK_BYTES + 12)
    job = make_job(data)
    lut = {"lut": {"bytes": len(table)}}
    job = replace(job, computation=replace(job.computation, parameters={**job.computation.parameters, **lut}))
    store.put(job, data, result_bytes=100, table=table)
    assert store.queue().stored_bytes == size + len(table) + 100 + RECORD_BYTES
    taken = claim(store, job)
    assert (store.read_input(taken), store.read_table(taken)) == (data, table)
    store.client.delete(f"lutra:in:{job.computation.id}:{taken.input_chunks - 1}")
    with pytest.raises(JobGone):
        store.read_table(taken)
    store.succeed(taken, b"better", OUTPUT, {})
    assert not store.client.keys("lutra:in:*")
    assert store.queue().stored_bytes == len(b"better") + weight_of_records(store)


def test_the_queue_size_counts_queued_and_running_and_frees_its_places(make_store: Callable[..., Store]) -> None:
    store = make_store(queue_size=2)
    store.beat({"test:1": {}})
    first, second = put(store), put(store)
    claim(store, first)
    with pytest.raises(QueueFull) as refusal:
        put(store)
    assert refusal.value.members["limit"] == 2
    store.cancel(second.id)
    put(store)


def test_bytes_are_counted_against_the_limit_and_freed_with_the_result(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=1_000_000)
    store.beat({"test:1": {}})
    job = put(store, b"x" * 600_000)
    with pytest.raises(StoreFull):
        put(store, b"x" * 600_000)
    store.succeed(claim(store, job), b"y" * 900_000, OUTPUT, {})
    with pytest.raises(StoreFull):
        put(store, b"x" * 600_000)
    pass_time(store, store.limits.result_ttl_s + 1)
    put(store, b"x" * 600_000)


def test_a_refused_job_leaves_nothing_behind(make_store: Callable[..., Store]) -> None:
    store = make_store(queue_size=1)
    with pytest.raises(NoWorker):
        put(store)
    store.beat({"test:1": {}})
    put(store)
    before = sorted(store.client.keys("*"))
    with pytest.raises(QueueFull):
        put(store)
    assert sorted(store.client.keys("*")) == before


def test_a_withdrawn_job_leaves_nothing_behind(store: Store) -> None:
    before = sorted(store.client.keys("*"))
    job = put(store)
    store.withdraw(job)
    assert sorted(key for key in store.client.keys("*") if key != b"lutra:blob_bytes") == before
    assert store.queue().stored_bytes == 0


def test_a_picture_that_never_fits_is_not_retryable(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=100_000)
    store.beat({"test:1": {}})
    with pytest.raises(TooManyPixels) as refusal:
        put(store, b"x" * (100_000 - RECORD_BYTES - 50))
    assert refusal.value.members["limit"] == 100_000 and not refusal.value.retryable
    put(store, b"x" * (100_000 - RECORD_BYTES - 100))


@pytest.mark.parametrize("size", [CARRIED_BYTES, CARRIED_BYTES + 1])
def test_a_picture_of_any_size_is_taken_in_once_and_a_small_one_by_one_call(store: Store, size: int) -> None:
    put(store)
    before = calls(store)
    data = bytes(size)
    job = put(store, data, message=b"{}")
    assert calls(store) - before == (1 if size <= CARRIED_BYTES else 2)
    assert (store.queue().queued, messages(store)) == (2, 1)
    assert store.client.ttl(f"lutra:in:{job.computation.id}:0") > ADMISSION_HOLD_S
    assert store.read_input(claim(store, job)) == data


def calls(store: Store) -> int:
    """How many scripts have been asked for."""
    stats: dict[str, dict[str, int]] = store.client.info("commandstats")
    return sum(facts["calls"] for name, facts in stats.items() if name in ("cmdstat_evalsha", "cmdstat_eval"))


@pytest.mark.parametrize("size", [1, CARRIED_BYTES + 1])
def test_where_redis_is_out_of_memory_no_picture_is_taken_in_and_an_equal_one_is_joined(
    store: Store, size: int
) -> None:
    data = bytes(size)
    put(store, data, key="same")
    before = sorted(store.client.keys("*"))
    store.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            put(store, data, message=b"{}")
        assert [key for key in sorted(store.client.keys("*")) if key not in before] == []
        joining = make_job(data, key="same")
        assert store.put(joining, data, result_bytes=100) is CacheResult.COALESCED
    finally:
        store.client.config_set("maxmemory", 0)
