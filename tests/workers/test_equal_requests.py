"""Equal requests of one client share a computation: joined while it waits or runs, answered when it has its result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.living import pass_time
from tests.workers.stored import LATE, LOST, OUTPUT, claim, everything, make_job, weight_of_records
from workers.errors import JobGone, JobUnknown, QueueFull, StoreFull, StoreUnavailable, Unavailable
from workers.jobs.job import Job
from workers.jobs.records import RECORD_BYTES, CacheResult, CancelOutcome, Claim
from workers.jobs.script import Script
from workers.jobs.store import Store

PICTURE, RESULT = b"picture" * 1000, b"result" * 1000


def same(client: str = "at:1", **options: Any) -> Job:
    return make_job(PICTURE, key="same", client=client, **options)


def ask(store: Store, job: Job | None = None, *, is_fresh: bool = False) -> tuple[Job, CacheResult | None]:
    job = job or same()
    return job, store.put(job, PICTURE, result_bytes=100, is_fresh=is_fresh)


def first(store: Store) -> Job:
    job, cache = ask(store)
    assert cache is CacheResult.MISS
    return job


def joined(store: Store, how: CacheResult) -> Job:
    job, cache = ask(store)
    assert cache is how
    return job


def answered(store: Store) -> Job:
    job = first(store)
    assert store.succeed(claim(store, job), RESULT, OUTPUT, {"queue": 2.0, "infer": 3.0})
    return job


def told(store: Store, job: Job) -> list[tuple[str, str]]:
    return [(event.kind, event.data) for event in store.events(job.id)]


def picture_of(store: Store, job: Job) -> bytes:
    return b"".join(store.read_result(store.status(job.id)))


# ---- joined ----------------------------------------------------------------------------------------------------------


def test_an_equal_request_joins_the_computation_that_waits_or_runs_and_ends_with_it(store: Store) -> None:
    leader = first(store)
    waiting = joined(store, CacheResult.COALESCED)
    taken = claim(store, leader)
    store.progress(taken, 1, 4)
    late = joined(store, CacheResult.COALESCED)
    assert (store.queue().active, store.queue().running) == (1, 1)
    assert len({leader.id, waiting.id, late.id}) == 3
    assert told(store, waiting)[:2] == [("state", '{"state":"queued"}'), ("state", '{"state":"running"}')]
    assert told(store, late) == [("state", '{"state":"running"}'), ("progress", '{"done":1,"total":4}')]
    assert store.status(late.id).progress == 0.25
    assert store.succeed(taken, RESULT, OUTPUT, {})
    for job in (leader, waiting, late):
        assert store.status(job.id).state == "succeeded"
        assert told(store, job)[-1] == ("end", '{"state":"succeeded"}')
        assert picture_of(store, job) == RESULT


def test_a_joined_job_takes_no_place_no_second_input_and_the_room_of_its_record_alone(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(queue_size=1)
    store.beat({"test:1": {}})
    first(store)
    before, inputs = store.queue().stored_bytes, store.client.keys("lutra:in:*")
    joined(store, CacheResult.COALESCED)
    assert store.client.keys("lutra:in:*") == inputs
    assert store.queue().stored_bytes == before + RECORD_BYTES
    with pytest.raises(QueueFull):
        store.put(make_job(), b"picture", result_bytes=1)


def test_a_stored_result_answers_at_once_also_without_a_worker_and_lives_as_long_as_the_new_job(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(result_ttl_s=100)
    store.beat({"test:1": {}})
    old = answered(store)
    store.forget_children(store.children())
    pass_time(store, 90)
    new = joined(store, CacheResult.HIT)
    shared = [key for name in ("comp", "out", "equal") for key in store.client.keys(f"lutra:{name}:*")]
    assert len(shared) == 4 and all(int(store.client.ttl(key)) > 90 for key in shared)
    assert [kind for kind, _ in told(store, new)] == ["state", "end"]
    weight = len(RESULT) + weight_of_records(store)
    assert store.queue().stored_bytes == pytest.approx(weight, abs=500)  # `MEMORY USAGE` is drawn from samples
    pass_time(store, 50)
    with pytest.raises(JobGone, match="expired"):
        store.status(old.id)
    assert picture_of(store, new) == RESULT
    assert store.queue().stored_bytes >= len(RESULT)
    assert (store.status(new.id).expires_at or 0) - store.status(new.id).created_at == pytest.approx(100, abs=0.01)
    pass_time(store, 60)
    assert store.queue().stored_bytes == 0
    assert not store.client.keys("lutra:out:*") and not store.client.keys("lutra:equal:*")


def test_the_times_of_a_joined_job_are_its_own(store: Store) -> None:
    leader = first(store)
    taken = claim(store, leader)
    late = joined(store, CacheResult.COALESCED)
    assert store.succeed(taken, RESULT, OUTPUT, {"queue": 2.0, "infer": 3.0})
    hit = joined(store, CacheResult.HIT)
    assert store.status(leader.id).timings_s == {"queue": 2.0, "infer": 3.0}
    assert store.status(late.id).timings_s == {"queue": 0.0, "infer": 3.0}
    assert store.status(hit.id).timings_s == {"queue": 0.0, "infer": 0.0}
    for job in (late, hit):
        status = store.status(job.id)
        assert status.created_at <= (status.started_at or 0) <= (status.finished_at or 0)


def test_many_equal_requests_at_once_are_one_computation(make_store: Callable[..., Store]) -> None:
    store = make_store(queue_size=3)
    store.beat({"test:1": {}})
    found: list[CacheResult | None] = []
    barrier = threading.Barrier(40)

    def post() -> None:
        job = same()
        barrier.wait()
        while (cache := ask(store, job)[1]) is None:
            continue
        found.append(cache)

    threads = [threading.Thread(target=post) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["coalesced"] * 39 + ["miss"]  # type: ignore[type-var]
    assert (store.queue().queued, len(store.client.keys("lutra:comp:*:jobs"))) == (1, 1)


def test_while_the_input_of_the_first_is_on_its_way_the_next_is_asked_to_wait(store: Store) -> None:
    leader = same()
    assert store._admit(leader, 100) == "reserved"
    next_one, cache = ask(store)
    assert cache is None
    with pytest.raises(JobUnknown):
        store.status(next_one.id)
    assert store._admit(next_one, 100) == "admitted"
    store.withdraw(leader)
    assert ask(store, next_one)[1] is CacheResult.MISS


# ---- not joined ------------------------------------------------------------------------------------------------------


def test_another_client_and_another_request_are_computed_by_themselves(store: Store) -> None:
    answered(store)
    assert ask(store, same(client="at:2"))[1] is CacheResult.MISS
    assert ask(store, make_job(PICTURE, key="other", client="at:1"))[1] is CacheResult.MISS


def failed(store: Store, taken: Claim) -> None:
    store.fail(taken, LOST, {})


def lost_for_good(store: Store, taken: Claim) -> None:
    for _ in range(2):
        assert store.reclaim(taken.computation_id, "test:1", LOST, LATE)
        store.claim(taken.computation_id, "test:1", lease_s=1, timeout_s=60)


def cancelled(store: Store, taken: Claim) -> None:
    store.cancel(taken.job_id)


def stopped(store: Store, taken: Claim) -> None:
    cancelled(store, taken)
    store.end_cancelled(taken)


@pytest.mark.parametrize("end", [failed, lost_for_good, cancelled, stopped])
def test_what_failed_or_was_cancelled_answers_nobody(store: Store, end: Callable[[Store, Claim], None]) -> None:
    end(store, claim(store, first(store)))
    assert ask(store)[1] is CacheResult.MISS


def test_no_cache_runs_anew_and_the_newest_result_answers_later(store: Store) -> None:
    answered(store)
    fresh, cache = ask(store, is_fresh=True)
    assert cache is CacheResult.MISS
    assert store.status(joined(store, CacheResult.COALESCED).id).computation_id == fresh.computation.id
    assert ask(store, is_fresh=True)[1] is CacheResult.MISS


def test_a_result_that_is_gone_or_not_whole_is_computed_again(store: Store) -> None:
    job = answered(store)
    store.client.delete(f"lutra:out:{job.computation.id}:1:0")
    second = first(store)
    assert store.succeed(claim(store, second), RESULT, OUTPUT, {})
    joined(store, CacheResult.HIT)
    pass_time(store, store.limits.result_ttl_s + 1)
    first(store)


def test_a_result_that_made_room_is_computed_again_and_one_just_joined_does_not_go(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(store_bytes=60_000)
    store.beat({"test:1": {}})
    job = answered(store)
    store.ask(store.note_delivery_call(job.id))
    new = joined(store, CacheResult.HIT)
    with pytest.raises(StoreFull):
        store.put(make_job(), b"x" * 45_000, result_bytes=1)
    assert picture_of(store, new) == RESULT
    store.ask(store.note_delivery_call(new.id))
    large = make_job()
    store.put(large, b"x" * 45_000, result_bytes=1)
    with pytest.raises(JobGone, match="made room"):
        store.status(new.id)
    store.withdraw(large)
    assert ask(store)[1] is CacheResult.MISS


def test_joined_jobs_are_refused_where_their_records_have_no_room(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=60_000)
    store.beat({"test:1": {}})
    answered(store)
    with pytest.raises(Unavailable):
        for _ in range(100):
            joined(store, CacheResult.HIT)
    assert store.queue().stored_bytes <= 60_000


def test_a_computation_serves_a_thousand_jobs_and_the_next_one_begins_anew(store: Store) -> None:
    leader = first(store)
    store.client.sadd(f"lutra:comp:{leader.computation.id}:jobs", *(f"dead{i}" for i in range(999)))
    joined(store, CacheResult.COALESCED)  # those that are gone do not count
    jobs = [f"alive{i}" for i in range(998)]
    for job in jobs:
        store.client.hset(f"lutra:job:{job}", "computation", leader.computation.id)
    store.client.sadd(f"lutra:comp:{leader.computation.id}:jobs", *jobs)
    second = first(store)
    assert store.status(joined(store, CacheResult.COALESCED).id).computation_id == second.computation.id


def test_a_result_that_answers_on_and_on_counts_for_the_records_of_those_that_have_it(store: Store) -> None:
    leader = answered(store)
    for _ in range(20):
        pass_time(store, store.limits.result_ttl_s - 10)
        before = joined(store, CacheResult.HIT)
    pass_time(store, 20)
    last = joined(store, CacheResult.HIT)
    left = {before.id.encode(), last.id.encode()}
    assert store.client.smembers(f"lutra:comp:{leader.computation.id}:jobs") == left
    counted = int(cast("bytes", store.client.get("lutra:blob_bytes")))
    kept = len(RESULT) + weight_of_records(store)
    assert kept - 20 * 200 <= counted <= kept  # tombstones of those that have expired are not counted


# ---- cancelled, deleted, withdrawn -----------------------------------------------------------------------------------


def test_cancelling_one_of_several_leaves_the_others_their_result(store: Store) -> None:
    leader, second, third = first(store), joined(store, CacheResult.COALESCED), joined(store, CacheResult.COALESCED)
    assert store.cancel(leader.id) is CancelOutcome.LEFT
    taken = claim(store, leader)
    assert store.cancel(second.id) is CancelOutcome.LEFT
    assert store.cancel(second.id) is CancelOutcome.LEFT
    assert [store.status(job.id).state for job in (leader, second, third)] == ["cancelled", "cancelled", "running"]
    assert told(store, leader)[-1] == ("end", '{"state":"cancelled"}')
    assert store.succeed(taken, RESULT, OUTPUT, {})
    assert picture_of(store, third) == RESULT
    assert store.status(leader.id).state == "cancelled"
    assert [kind for kind, _ in told(store, leader)].count("end") == 1


def test_a_computation_stops_with_the_last_job_that_wants_it(store: Store) -> None:
    leader, second = first(store), joined(store, CacheResult.COALESCED)
    claim(store, leader)
    assert store.cancel(leader.id) is CancelOutcome.LEFT
    assert store.cancel(second.id) is CancelOutcome.STOPPING


def test_a_client_that_leaves_takes_its_own_job_alone_and_a_detached_one_stays(store: Store) -> None:
    leader = first(store)
    detached, _ = ask(store, same(detached=True))
    assert store.cancel(leader.id, only_if_attached=True) is CancelOutcome.LEFT
    assert store.cancel(detached.id, only_if_attached=True) is CancelOutcome.DETACHED
    assert store.status(detached.id).state == "queued"


def test_deleting_an_ended_job_leaves_its_twin_the_result_whichever_came_first(store: Store) -> None:
    old, new = answered(store), joined(store, CacheResult.HIT)
    assert store.cancel(old.id) is CancelOutcome.REMOVED
    assert picture_of(store, new) == RESULT
    newest = joined(store, CacheResult.HIT)
    assert store.cancel(new.id) is CancelOutcome.REMOVED
    assert picture_of(store, newest) == RESULT
    assert store.cancel(newest.id) is CancelOutcome.REMOVED
    assert ask(store)[1] is CacheResult.MISS


def test_a_twin_that_has_expired_does_not_keep_a_result_from_going(store: Store) -> None:
    old = answered(store)
    pass_time(store, store.limits.result_ttl_s - 10)
    new = joined(store, CacheResult.HIT)
    pass_time(store, 20)
    store.ask(store.note_delivery_call(new.id))
    assert store.client.zscore("lutra:delivered", old.computation.id)
    assert store.cancel(new.id) is CancelOutcome.REMOVED
    assert not store.client.keys("lutra:out:*")


def test_a_job_that_could_not_be_sent_goes_and_those_that_joined_it_stay(store: Store) -> None:
    leader, second = first(store), joined(store, CacheResult.COALESCED)
    store.withdraw(leader)
    with pytest.raises(JobUnknown):
        store.status(leader.id)
    assert list(store.unsent(0)) == [leader.computation.id]
    assert store.succeed(claim(store, leader), RESULT, OUTPUT, {})
    assert picture_of(store, second) == RESULT


# ---- nothing stays, nothing twice ------------------------------------------------------------------------------------


def test_after_a_delete_redis_has_no_byte_of_the_picture_or_of_any_attempt_at_its_result(store: Store) -> None:
    job = first(store)
    assert PICTURE in everything(store)
    lost = claim(store, job)
    store.put_result(lost, b"the result of an attempt that was lost")
    assert store.reclaim(job.computation.id, "test:1", LOST, LATE)
    assert store.succeed(claim(store, job), RESULT, OUTPUT, {})
    assert PICTURE[:20] not in everything(store) and RESULT in everything(store)
    assert b"attempt that was lost" not in everything(store)
    twin = joined(store, CacheResult.HIT)
    assert store.cancel(job.id) is store.cancel(twin.id) is CancelOutcome.REMOVED
    left = everything(store)
    assert PICTURE[:20] not in left and RESULT[:20] not in left
    kinds = {key.split(b":")[1] for key in cast("list[bytes]", store.client.keys("lutra:*"))}
    assert not kinds & {b"job", b"comp", b"in", b"out", b"events", b"equal", b"key", b"jobs_of", b"listed", b"blobs"}


@pytest.mark.parametrize("end", [failed, stopped])
def test_a_job_that_does_not_succeed_leaves_no_picture_either(
    store: Store, end: Callable[[Store, Claim], None]
) -> None:
    job = first(store)
    taken = claim(store, job)
    store.put_result(taken, b"the result of an attempt that was lost")
    end(store, taken)
    left = everything(store)
    assert PICTURE[:20] not in left and b"attempt that was lost" not in left


def test_scripts_that_run_twice_join_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    once = store._run_among

    def run(script: Script, *args: object, **commands: Any) -> object:
        once(script, *args, **commands)
        return once(script, *args, **commands)

    monkeypatch.setattr(store, "_run_among", run)
    leader = first(store)
    joined(store, CacheResult.COALESCED)
    assert store.succeed(claim(store, leader), RESULT, OUTPUT, {})
    hit = joined(store, CacheResult.HIT)
    assert [kind for kind, _ in told(store, hit)] == ["state", "end"]
    assert [day.jobs for day in store.usage_of("at:1")] == [3]


def test_jobs_of_a_version_that_knew_no_equal_requests_end_and_go(store: Store) -> None:
    job = first(store)
    store.client.hdel(f"lutra:comp:{job.computation.id}", "equal")
    store.client.hdel(f"lutra:job:{job.id}", "cache", "client")
    store.client.delete(*store.client.keys("lutra:equal:*"))
    assert store.succeed(claim(store, job), RESULT, OUTPUT, {"queue": 1.0})
    status = store.status(job.id)
    assert (status.cache, status.timings_s) == ("miss", {"queue": 1.0})
    assert ask(store, replace(same(), client=""))[1] is CacheResult.MISS
    assert store.cancel(job.id) is CancelOutcome.REMOVED


def test_a_store_that_does_not_answer_is_told_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(script: Script, *args: object, **commands: Any) -> object:
        raise StoreUnavailable("the job store does not answer")

    monkeypatch.setattr(store, "_run_among", run)
    with pytest.raises(StoreUnavailable):
        ask(store)
