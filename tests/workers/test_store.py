"""The store on a real Redis: admission, claims, fencing, cancelling, events, pieces, times to live."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.living import memory_of, pass_time
from workers.errors import (
    JobGone,
    JobTimeout,
    JobUnknown,
    NoWorker,
    QueueFull,
    StoreFull,
    StoreUnavailable,
    TooManyPixels,
    WorkerLost,
)
from workers.jobs.job import Computation, Job, PictureFacts, new_id
from workers.jobs.records import RECORD_BYTES, Claim, Hold, Reclaimed
from workers.jobs.store import Store
from workers.jobs.store_base import CHUNK_BYTES

LOST, LATE = WorkerLost("lost"), JobTimeout("late")
OUTPUT = {"format": "png", "width": 2, "height": 2, "media_type": "image/png"}


def make_job(data: bytes = b"picture", estimate_s: float = 1.0, **options: object) -> Job:
    facts = PictureFacts("png", 1, 1, len(data))
    wanted = {"scale": "2", "format": "png"}
    computation = Computation(new_id(), "key", "upscale", "bicubic", wanted, facts, estimate_s)
    return Job(new_id(), computation, **options)  # type: ignore[arg-type]


def put(store: Store, data: bytes = b"picture", **options: Any) -> Job:
    job = make_job(data, **options)
    store.put(job, data, result_bytes=100)
    return job


def claim(store: Store, job: Job, owner: str = "test:1", lease_s: float = 30, timeout_s: float = 60) -> Claim:
    taken = store.claim(job.computation.id, owner, lease_s=lease_s, timeout_s=timeout_s)
    assert taken is not None
    return taken


def weight_of_records(store: Store) -> int:
    """What Redis says that records, events and tombstones take."""
    kept = ("lutra:job:", "lutra:comp:", "lutra:events:", "lutra:gone:")
    return memory_of(store, *(key for name in kept for key in store.client.keys(f"{name}*")))


def reclaim(store: Store, job: Job, owner: str = "", *, blame: bool = True) -> Reclaimed:
    taken = store.reclaim(job.computation.id, owner, LOST, LATE, blame=blame)
    assert taken is not None
    return taken


def kinds(store: Store, job: Job) -> list[str]:
    return [event.kind for event in store.events(job.id)]


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


def test_the_input_goes_when_the_computation_ends(store: Store) -> None:
    job = put(store)
    taken = claim(store, job)
    store.succeed(taken, b"better", OUTPUT, {})
    assert not store.client.keys("lutra:in:*")
    assert store.queue().stored_bytes == len(b"better") + weight_of_records(store)


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


def test_a_second_claim_of_the_same_computation_is_refused(store: Store) -> None:
    job = put(store)
    claim(store, job)
    assert store.claim(job.computation.id, "test:2", lease_s=30, timeout_s=60) is None


def test_a_claim_of_an_unknown_or_ended_computation_is_refused(store: Store) -> None:
    assert store.claim("nothing", "test:1", lease_s=30, timeout_s=60) is None
    job = put(store)
    store.succeed(claim(store, job), b"better", OUTPUT, {})
    assert store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60) is None


def test_a_stale_attempt_can_write_nothing(store: Store) -> None:
    job = put(store)
    stale = claim(store, job, lease_s=0)
    assert reclaim(store, job).state == "queued"
    fresh = claim(store, job, "test:2")
    assert fresh.attempt == 2
    assert store.renew(stale, lease_s=30) is Hold.LOST
    assert store.progress(stale, 1, 2) is Hold.LOST
    assert not store.fail(stale, LOST, {})
    assert not store.succeed(stale, b"stale", OUTPUT, {})
    assert store.succeed(fresh, b"fresh", OUTPUT, {})
    assert b"".join(store.read_result(store.status(job.id))) == b"fresh"
    assert len(store.client.keys("lutra:out:*")) == 1


def test_a_lease_that_holds_is_not_reclaimed_but_a_dead_owner_is(store: Store) -> None:
    job = put(store)
    claim(store, job, "test:7")
    assert store.reclaim(job.computation.id, "", LOST, LATE) is None
    assert store.reclaim(job.computation.id, "test:8", LOST, LATE) is None
    assert reclaim(store, job, "test:7").state == "queued"
    assert store.status(job.id).state == "queued"


def test_a_computation_that_lost_its_worker_twice_fails(store: Store) -> None:
    job = put(store)
    states = []
    for _ in range(2):
        claim(store, job, lease_s=0)
        states.append(reclaim(store, job).state)
    assert states == ["queued", "failed"]
    assert store.status(job.id).error["code"] == "worker_lost"  # type: ignore[index]


def test_a_worker_that_stops_in_order_is_no_blame_on_the_computation(store: Store) -> None:
    job = put(store)
    for _ in range(3):
        claim(store, job)
        assert reclaim(store, job, "test:1", blame=False).state == "queued"


def test_the_lease_is_never_renewed_past_the_deadline(store: Store) -> None:
    job = put(store)
    taken = claim(store, job, lease_s=30, timeout_s=60)
    pass_time(store, 61)
    assert store.renew(taken, lease_s=30) is Hold.HELD
    reclaimed = reclaim(store, job)
    assert (reclaimed.state, reclaimed.error_code) == ("failed", "job_timeout")


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


def test_a_cancelled_job_whose_worker_dies_is_cancelled_and_not_tried_again(store: Store) -> None:
    job = put(store)
    claim(store, job)
    store.cancel(job.id)
    assert reclaim(store, job, "test:1").state == "cancelled"


def test_a_client_that_leaves_cancels_only_a_job_that_was_not_detached(store: Store) -> None:
    attached, detached, read = put(store), put(store, detached=True), put(store)
    store.status(read.id, detach=True)
    assert store.cancel(attached.id, only_if_attached=True) == "cancelled"
    assert store.cancel(detached.id, only_if_attached=True) == "detached"
    assert store.cancel(read.id, only_if_attached=True) == "detached"
    assert store.status(detached.id).state == "queued"


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


def test_every_key_of_a_job_has_a_time_to_live(store: Store) -> None:
    job = put(store)
    store.succeed(claim(store, job), b"better", OUTPUT, {})
    ids = (job.id, job.computation.id)
    keys = [key for key in store.client.keys("*") if any(id_.encode() in key for id_ in ids)]
    assert len(keys) >= 5
    assert all(0 < store.client.ttl(key) <= store.limits.result_ttl_s + 24 * 3600 for key in keys)


def test_events_are_replayed_after_an_id(store: Store) -> None:
    job = put(store)
    claim(store, job)
    first, second = store.events(job.id)
    assert store.events(job.id, first.id) == [second]
    assert store.events(job.id, second.id) == []


def test_a_child_counts_only_once_it_has_reported_its_facts(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.beat({"test:1": None})
    assert store.queue().workers_alive == 0
    store.beat({"test:1": {"device": "cpu"}})
    store.beat({"test:1": None})
    assert store.children() == {"test:1": {"device": "cpu"}}
    store.forget_children(["test:1"])
    assert store.queue().workers_alive == 0


def test_what_was_queued_long_ago_and_never_claimed_is_named(store: Store) -> None:
    job = put(store)
    assert store.unsent(60) == []
    assert store.unsent(0) == [job.computation.id]
    assert store.touch(job.computation.id)
    claim(store, job)
    assert not store.touch(job.computation.id)
    assert store.unsent(0) == []


def test_an_end_whose_answer_was_lost_can_be_written_again_and_the_result_stays(store: Store) -> None:
    job = put(store)
    taken = claim(store, job)
    assert store.succeed(taken, b"better", OUTPUT, {})
    assert store.succeed(taken, b"better", OUTPUT, {})
    assert b"".join(store.read_result(store.status(job.id))) == b"better"
    assert kinds(store, job).count("end") == 1


def test_a_claim_whose_answer_was_lost_can_be_made_again_by_the_same_child_only(store: Store) -> None:
    job = put(store)
    first = claim(store, job, "test:1")
    assert store.claim(job.computation.id, "test:2", lease_s=30, timeout_s=60) is None
    again = claim(store, job, "test:1")
    assert again.attempt == first.attempt + 1
    assert store.succeed(again, b"better", OUTPUT, {})


def test_a_picture_that_never_fits_is_not_retryable(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=100_000)
    store.beat({"test:1": {}})
    with pytest.raises(TooManyPixels) as refusal:
        put(store, b"x" * (100_000 - RECORD_BYTES - 50))
    assert refusal.value.members["limit"] == 100_000 and not refusal.value.retryable
    put(store, b"x" * (100_000 - RECORD_BYTES - 100))


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


def test_the_work_ahead_is_what_is_estimated_until_the_job_asked_about(store: Store) -> None:
    jobs = [put(store, estimate_s=seconds) for seconds in (8, 4, 2)]
    taken = claim(store, jobs[0])
    store.progress(taken, 1, 4)
    assert store.queue().work_s == pytest.approx(6 + 4 + 2)
    assert store.queue(jobs[1].computation.id).work_s == pytest.approx(6 + 4)


def test_rates_are_kept_as_they_were_written_last(store: Store) -> None:
    assert store.rates() == {}
    for rate in ("10", "20"):
        store.keep_rate("liif:1", rate)
    assert store.rates() == {"liif:1": "20"}


def test_a_lock_is_held_by_one(store: Store) -> None:
    assert store.try_lock("x", "a", 10)
    assert store.try_lock("x", "a", 10)
    assert not store.try_lock("x", "b", 10)


def test_a_redis_that_is_not_there_is_an_error_of_ours() -> None:
    store = Store.at("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


def test_after_a_time_out_the_breaker_answers_and_nobody_is_asked() -> None:
    def connections() -> int:
        count = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                count += 1
        return count

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        store = Store.at(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.2, breaker_s=3600)
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert connections() > 0
        with pytest.raises(StoreUnavailable):
            store.queue()
        assert connections() == 0
        store.close()
