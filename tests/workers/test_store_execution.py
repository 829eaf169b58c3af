"""How a computation is done under a lease: claims, fencing, ends written once, and what a lost worker held."""

from __future__ import annotations

import pytest

from tests.living import pass_time
from tests.workers.stored import LATE, LOST, OUTPUT, claim, kinds, messages, put, reclaim, weight_of_records
from workers.errors import JobGone, StoreFull
from workers.jobs.celery_app import message
from workers.jobs.job import Lane
from workers.jobs.lanes import QUEUES
from workers.jobs.records import Claim, Hold
from workers.jobs.store import Store
from workers.jobs.store_base import CARRIED_BYTES, CHUNK_BYTES
from workers.jobs.store_execution import Ended, Wish


def test_the_input_goes_when_the_computation_ends(store: Store) -> None:
    job = put(store)
    taken = claim(store, job)
    store.succeed(taken, b"better", OUTPUT, {})
    assert not store.client.keys("lutra:in:*")
    assert store.queue().stored_bytes == len(b"better") + weight_of_records(store)


def test_a_second_claim_of_the_same_computation_is_refused(store: Store) -> None:
    job = put(store)
    claim(store, job)
    assert store.claim(job.computation.id, "test:2", lease_s=30, timeout_s=60) is None


def test_a_claim_without_a_message_takes_one_off_the_lane_s_queue(store: Store) -> None:
    jobs = [put(store, message=message(Lane.BULK)) for _ in range(3)]
    claim(store, jobs[0])
    assert messages(store) == 3
    taken = store.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60, by_message=False)
    assert taken is not None and taken.computation_id == jobs[0].computation.id, "it has what it holds"
    assert messages(store) == 3
    taken = store.claim(Lane.BULK, "test:2", lease_s=30, timeout_s=60, by_message=False)
    assert taken is not None and taken.computation_id == jobs[1].computation.id
    assert messages(store) == 2
    store.client.delete(QUEUES[Lane.BULK])
    assert store.claim(Lane.BULK, "test:3", lease_s=30, timeout_s=60, by_message=False) is not None
    assert store.claim(Lane.BULK, "test:4", lease_s=30, timeout_s=60, by_message=False) is None
    assert messages(store) == 0


def next_of(lane: Lane, owner: str = "test:1") -> Wish:
    return Wish(lane, owner, lease_s=30, timeout_s=60)


def end(store: Store, taken: Claim, how: str, then: Wish | None) -> Ended:
    """Its end, with the result along if it has one."""
    if how == "succeeded":
        return store.succeed(taken, b"better", OUTPUT, {}, chunks=0, then=then)
    return store.fail(taken, LOST, {}, then) if how == "failed" else store.end_cancelled(taken, then)


@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled"])
def test_with_an_end_the_next_of_a_lane_is_claimed_and_its_message_taken(store: Store, how: str) -> None:
    first, second, other = (
        put(store, name.encode(), message=message(lane), lane=lane)
        for name, lane in (("first", Lane.EXPRESS), ("second", Lane.EXPRESS), ("other", Lane.BULK))
    )
    taken = store.claim(Lane.EXPRESS, "test:1", lease_s=30, timeout_s=60, by_message=False)
    assert taken is not None and messages(store, Lane.EXPRESS) == 1
    ended = end(store, taken, how, next_of(Lane.EXPRESS))
    assert ended.is_written and ended.next is not None
    assert (ended.next.computation_id, ended.next.attempt) == (second.computation.id, 1)
    assert store.read_input(ended.next) == ended.next.picture == b"second"
    assert store.renew(ended.next, lease_s=30) is Hold.HELD
    assert [store.status(job.id).state for job in (first, second, other)] == [how, "running", "queued"]
    assert (messages(store, Lane.EXPRESS), messages(store)) == (0, 1)
    assert end(store, ended.next, how, next_of(Lane.EXPRESS)) == Ended(True, None), "none waits there"
    assert not store.client.keys("lutra:taken:*")


def test_who_has_lost_its_lease_claims_nothing_along_with_its_end(store: Store) -> None:
    lost, waits = put(store), put(store)
    stale = claim(store, lost, lease_s=0)
    reclaim(store, lost)
    claim(store, lost, "test:2")
    assert end(store, stale, "succeeded", next_of(Lane.BULK)) == Ended(False)
    assert store.status(waits.id).state == "queued"
    assert not store.client.keys("lutra:out:*")


def test_a_result_that_goes_along_with_its_end_is_there_as_if_it_was_put_before(store: Store) -> None:
    job = put(store)
    assert store.succeed(claim(store, job), b"better", OUTPUT, {}, chunks=0)
    assert b"".join(store.read_result(store.status(job.id))) == b"better"
    assert 0 < store.client.ttl(f"lutra:out:{job.computation.id}:1:0") <= store.limits.result_ttl_s
    assert store.queue().stored_bytes == len(b"better") + weight_of_records(store)


def test_an_end_whose_result_is_refused_for_want_of_memory_changes_nothing(store: Store) -> None:
    job, waits = put(store), put(store)
    taken = claim(store, job)
    store.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            end(store, taken, "succeeded", next_of(Lane.BULK))
    finally:
        store.client.config_set("maxmemory", 0)
    assert [store.status(one.id).state for one in (job, waits)] == ["running", "queued"]
    assert end(store, taken, "succeeded", None)


@pytest.mark.parametrize("size", [1, CARRIED_BYTES, CARRIED_BYTES + 1, CHUNK_BYTES + 1])
def test_a_claim_brings_a_small_picture_along_and_a_large_one_is_read(store: Store, size: int) -> None:
    data = b"p" * size
    taken = claim(store, put(store, data))
    assert taken.picture == (data if size <= CARRIED_BYTES else b"")
    assert store.read_input(taken) == data


def test_a_small_picture_that_is_gone_is_missed(store: Store) -> None:
    job = put(store)
    store.client.delete(f"lutra:in:{job.computation.id}:0")
    taken = claim(store, job)
    with pytest.raises(JobGone):
        store.read_input(taken)


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


def test_a_cancelled_job_whose_worker_dies_is_cancelled_and_not_tried_again(store: Store) -> None:
    job = put(store)
    claim(store, job)
    store.cancel(job.id)
    assert reclaim(store, job, "test:1").state == "cancelled"


def test_what_was_queued_long_ago_and_never_claimed_is_named(store: Store) -> None:
    job = put(store)
    assert store.unsent(60) == {}
    assert store.unsent(0) == {job.computation.id: Lane.BULK}
    assert store.touch(job.computation.id)
    claim(store, job)
    assert not store.touch(job.computation.id)
    assert store.unsent(0) == {}


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


def test_a_lock_is_held_by_one(store: Store) -> None:
    assert store.try_lock("x", "a", 10)
    assert store.try_lock("x", "a", 10)
    assert not store.try_lock("x", "b", 10)


def test_the_end_of_a_job_and_the_claim_of_the_next_cost_as_much_however_many_run_beside_it(store: Store) -> None:
    def commands() -> int:
        stats = store.client.info("commandstats")
        return sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")

    def cost(running: int) -> int:
        """In commands of Redis, those in scripts among them."""
        store.client.flushall()
        store.beat({"test:1": {"device": "cpu", "models": {}}})
        jobs = [put(store, client="at:one") for _ in range(running + 3)]
        for number, job in enumerate(jobs[:running]):
            claim(store, job, f"test:{2 + number}")
        taken = claim(store, jobs[running])
        before = commands()
        assert end(store, taken, "succeeded", next_of(Lane.BULK)).next is not None
        return commands() - before

    cost(0)  # loads the scripts
    assert cost(1) == cost(8) <= 70
