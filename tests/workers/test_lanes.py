"""Lanes and shares: which lane a job takes, whose turn it is, where a job stands, and how much one client holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.workers.stored import OUTPUT, claim, make_job, put, reclaim
from workers.errors import LaneRefused, QueueFull, ShareReached
from workers.jobs.job import Job, Lane
from workers.jobs.lanes import FORMER_QUEUE, QUEUES, intakes, lane_of, part_of, queues_of
from workers.jobs.records import Claim
from workers.jobs.store import Store

A, B, C = "at:127.0.0.2", "at:127.0.0.3", "key:of C, with spaces"


def line_up(store: Store, client: str, count: int, **options: Any) -> list[Job]:
    return [put(store, client=client, **options) for _ in range(count)]


def take(store: Store, lane: Lane = Lane.BULK) -> Claim | None:
    """The next of the lane, by a child that ends it at once."""
    taken = store.claim(lane, "test:1", lease_s=30, timeout_s=60)
    if taken is not None:
        assert store.succeed(taken, b"better", OUTPUT, {})
    return taken


def order(store: Store, jobs: dict[str, list[Job]], lane: Lane = Lane.BULK) -> str:
    """Names of the clients in the order in which all their jobs are given to workers."""
    names = {job.computation.id: name for name, its_jobs in jobs.items() for job in its_jobs}
    taken = []
    while (one := take(store, lane)) is not None:
        taken.append(names[one.computation_id])
    return "".join(taken)


def test_a_job_takes_the_lane_of_its_estimate_among_those_that_its_client_may_use() -> None:
    assert [lane_of(seconds, 2) for seconds in (0.05, 2, 2.01)] == [Lane.EXPRESS, Lane.EXPRESS, Lane.BULK]
    assert lane_of(0.05, 0) is Lane.BULK, "there is no border"
    assert lane_of(0.05, 2, ("bulk",)) is Lane.BULK
    assert lane_of(1, 2, ("express",)) is Lane.EXPRESS
    with pytest.raises(LaneRefused, match=r"express lane alone, for jobs of at most 2 s; this one .* about 14.0 s"):
        lane_of(14, 2, ("express",))


def test_a_worker_takes_from_each_lane_what_it_has_places_for_and_former_messages_are_bulk() -> None:
    bulk, express = intakes(3, express_s=2)
    assert (bulk.places, express.places) == (3, 4), "express jobs may have every child, bulk jobs all but one"
    assert bulk.queues == queues_of(Lane.BULK) == (QUEUES[Lane.BULK], FORMER_QUEUE)
    assert express.queues == queues_of(Lane.EXPRESS) == (QUEUES[Lane.EXPRESS],)
    assert [intake.places for intake in intakes(3, express_s=2, kept=4)] == [3, 7]
    (both,) = intakes(3, express_s=0, kept=4)
    assert both.places == 3 and set(both.queues) == {*bulk.queues, *express.queues}


@pytest.mark.parametrize(
    ("whole", "share", "part"), [(100, 0.8, 80), (3, 0.8, 3), (5, 0.8, 4), (100, 0.07, 7), (4, 0.01, 1), (100, 2, 100)]
)
def test_a_part_is_whole_places_and_one_at_least(whole: int, share: float, part: int) -> None:
    assert part_of(whole, share) == part


def test_a_lane_gives_its_own_jobs_alone_and_nothing_where_none_waits(store: Store) -> None:
    long, short = put(store, lane=Lane.BULK), put(store, lane=Lane.EXPRESS)
    assert [store.status(job.id).lane for job in (long, short)] == ["bulk", "express"]
    first, second = take(store, Lane.EXPRESS), take(store, Lane.EXPRESS)
    assert first is not None and first.computation_id == short.computation.id
    assert second is None
    assert store.status(long.id).state == "queued"


def test_clients_take_turns_and_each_one_s_jobs_keep_their_order(store: Store) -> None:
    jobs = {"A": line_up(store, A, 6), "B": line_up(store, B, 2)}
    assert order(store, jobs) == "ABABAAAA"
    started = [store.status(job.id).started_at for job in jobs["A"]]
    assert started == sorted(started)  # type: ignore[type-var]


def test_who_comes_under_a_long_line_is_served_at_once_and_no_oftener_than_the_others(store: Store) -> None:
    jobs = {"A": line_up(store, A, 8)}
    for _ in range(3):
        take(store)
    jobs["B"] = line_up(store, B, 3)
    assert order(store, jobs) == "BABABAAA"


def test_turns_are_counted_in_estimated_seconds(store: Store) -> None:
    jobs = {"A": line_up(store, A, 3, estimate_s=6.0), "B": line_up(store, B, 9, estimate_s=2.0)}
    assert order(store, jobs) == "ABBBABBBABBB"


def test_turns_are_weighed_by_shares(store: Store) -> None:
    jobs = {"A": line_up(store, A, 4, share=0.2), "B": line_up(store, B, 8, share=0.6), "C": line_up(store, C, 1)}
    assert order(store, jobs).replace("C", "") == "ABBBABBBABBA"


def test_who_sends_the_next_job_only_when_one_is_taken_gains_nothing(store: Store) -> None:
    jobs = {"A": line_up(store, A, 4), "B": line_up(store, B, 1)}
    names = {job.computation.id: "A" for job in jobs["A"]}
    taken = ""
    for _ in range(8):
        one = take(store)
        assert one is not None
        taken += names.get(one.computation_id, "B")
        if taken.endswith("B"):
            line_up(store, B, 1)
    assert taken == "ABABABAB"


def test_a_busy_time_that_is_over_leaves_no_debts(store: Store) -> None:
    order(store, {"A": line_up(store, A, 1, estimate_s=600.0)})
    jobs = {"A": line_up(store, A, 2), "B": line_up(store, B, 2)}
    assert order(store, jobs) == "ABAB"
    assert not store.client.exists("lutra:rested:bulk", "lutra:round:bulk")


def test_clients_who_have_rested_long_enough_are_forgotten_while_others_keep_the_lane_busy(store: Store) -> None:
    """Else each who ever came would be kept for as long as the lane never runs dry."""
    line_up(store, A, 60)
    most = 0
    for number in range(30):
        line_up(store, f"at:10.0.0.{number}", 1)
        take(store)
        take(store)
        most = max(most, store.client.zcard("lutra:rested:bulk"))
    assert 0 < most < 5


def test_a_job_that_a_worker_gave_back_is_the_next_of_its_client_who_has_paid_for_it_once(store: Store) -> None:
    jobs = {"A": line_up(store, A, 3), "B": line_up(store, B, 3)}
    lost = store.claim(Lane.BULK, "test:2", lease_s=0, timeout_s=60)
    assert lost is not None and lost.computation_id == jobs["A"][0].computation.id
    again = reclaim(store, jobs["A"][0])
    assert (again.state, again.lane) == ("queued", Lane.BULK)
    assert store.queue(jobs["A"][0].computation.id).standing.position == 1
    assert order(store, jobs) == "ABABAB"
    assert store.status(jobs["A"][0].id).attempts == 2


def test_a_cancelled_or_expired_job_leaves_its_line(store: Store) -> None:
    jobs = {"A": line_up(store, A, 3), "B": line_up(store, B, 2)}
    store.cancel(jobs["A"][0].id)
    store.client.delete(f"lutra:comp:{jobs['B'][0].computation.id}")  # as when its time to live is over
    assert order(store, jobs) == "ABA"


def test_a_claim_whose_answer_was_lost_is_answered_with_the_same_job(store: Store) -> None:
    line_up(store, A, 2)
    first = store.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60)
    again = store.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60)
    other = store.claim(Lane.BULK, "test:2", lease_s=30, timeout_s=60)
    assert first is not None and again is not None and other is not None
    assert again.computation_id == first.computation_id != other.computation_id
    assert again.attempt == first.attempt + 1


def test_a_job_that_is_taken_by_its_id_is_paid_for_like_any_other(store: Store) -> None:
    """By a message of a version without lanes."""
    jobs = {"A": line_up(store, A, 3), "B": line_up(store, B, 2)}
    taken = claim(store, jobs["A"][2])
    assert store.succeed(taken, b"better", OUTPUT, {})
    assert order(store, jobs) == "BABA"


def test_where_a_job_stands_is_where_it_will_be_taken(store: Store) -> None:
    seconds = {A: 3.0, B: 2.0, C: 1.0}
    jobs = [job for client, count in ((A, 4), (B, 3), (C, 5)) for job in line_up(store, client, count)]
    jobs += [put(store, client=client, estimate_s=each, share=0.5) for client, each in seconds.items()]
    take(store)
    told: dict[str, tuple[int | None, float]] = {}
    for job in jobs[1:]:
        standing = store.queue(job.computation.id).standing
        told[job.computation.id] = standing.position, standing.work_s
    work_s = 0.0
    for position in range(1, len(jobs)):
        taken = take(store)
        assert taken is not None
        work_s += store.status(taken.job_id).estimate_s
        told_position, told_work_s = told[taken.computation_id]
        assert told_position == position and told_work_s == pytest.approx(work_s)


def test_each_lane_s_jobs_work_and_clients_are_told_apart(store: Store) -> None:
    store.beat({"test:2": {"lane": "express"}})
    line_up(store, A, 2, estimate_s=30.0)
    line_up(store, B, 1, estimate_s=1.0, lane=Lane.EXPRESS)
    store.claim(Lane.EXPRESS, "test:2", lease_s=30, timeout_s=60)
    facts = store.queue()
    bulk, express = facts.lanes[Lane.BULK], facts.lanes[Lane.EXPRESS]
    assert (bulk.queued, bulk.running, bulk.work_s, bulk.clients, bulk.children) == (2, 0, 60.0, 1, 1)
    assert (express.queued, express.running, express.running_s, express.clients, express.children) == (0, 1, 1.0, 0, 1)
    assert bulk.oldest_age_s >= 0 == express.oldest_age_s
    store.forget_children(["test:2"])
    assert store.queue().lanes[Lane.EXPRESS].children == 0 == store.client.hlen("lutra:child_lanes") - 1


def test_a_full_lane_leaves_room_for_the_other(make_store: Callable[..., Store]) -> None:
    store = make_store(queue_size=20, lanes_apart=True)
    store.beat({"test:1": {}})
    jobs = line_up(store, A, 18)
    with pytest.raises(QueueFull, match="the bulk lane is full: 18 jobs") as refused:
        put(store, client=B)
    assert refused.value.members == {"limit": 18, "lane": Lane.BULK}
    line_up(store, B, 2, lane=Lane.EXPRESS)
    with pytest.raises(QueueFull, match="the queue is full: 20 jobs"):
        put(store, lane=Lane.EXPRESS)
    store.cancel(jobs[0].id)
    put(store, client=B)


def test_a_client_holds_its_share_of_the_places_and_others_find_room(make_store: Callable[..., Store]) -> None:
    store = make_store(queue_size=10)
    store.beat({"test:1": {}})
    line_up(store, A, 2, queue_share=0.5)
    line_up(store, A, 3, queue_share=0.5, lane=Lane.EXPRESS)
    with pytest.raises(ShareReached, match="5 of your jobs are waiting or running, your share") as refused:
        put(store, client=A, queue_share=0.5)
    assert refused.value.members == {"limit": 5, "unit": "jobs", "lane": Lane.BULK}
    line_up(store, B, 4, queue_share=0.5)
    take(store)
    put(store, client=A, queue_share=0.5)


def test_a_client_holds_its_share_of_the_store_and_makes_room_with_its_own_results_alone(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(store_bytes=400_000)
    store.beat({"test:1": {}})
    theirs = put(store, client=B, share=0.5)
    take(store)
    store.ask(store.note_delivery_call(theirs.id))
    ours = put(store, b"x" * 300_000, client=A, share=0.5)  # who holds nothing is never refused
    with pytest.raises(ShareReached, match="more than 200000 bytes of the store, your share"):
        put(store, client=A, share=0.5)
    taken = claim(store, ours)
    assert store.succeed(taken, b"y" * 190_000, OUTPUT, {})
    with pytest.raises(ShareReached):
        put(store, b"x" * 20_000, client=A, share=0.5)
    store.ask(store.note_delivery_call(ours.id))
    put(store, b"x" * 20_000, client=A, share=0.5)
    assert store.status(theirs.id).state == "succeeded"
    assert store.client.hget("lutra:held_bytes", A) is not None


def test_nothing_of_a_client_is_left_once_its_last_byte_is_gone(store: Store) -> None:
    ended, withdrawn = make_job(client=A), make_job(client=A, lane=Lane.EXPRESS)
    for job in (ended, withdrawn):
        store.put(job, b"picture", result_bytes=10)
    store.withdraw(withdrawn)
    take(store)
    store.cancel(ended.id)  # removes it
    keys = {key.decode() for key in cast("list[bytes]", store.client.keys("lutra:*"))}
    left = {key for key in keys if not key.startswith(("lutra:gone:", "lutra:usage:"))}
    assert left - {"lutra:blob_bytes", "lutra:alive", "lutra:child_facts", "lutra:child_lanes", "lutra:served"} == {
        "lutra:clocks"
    }


def test_a_hold_that_was_never_followed_by_a_job_gives_its_place_back(make_store: Callable[..., Store]) -> None:
    store = make_store(queue_size=1)
    store.beat({"test:1": {}})
    job = make_job(client=A)
    store._admit(job, 100)
    for key in ("lutra:active", "lutra:active:bulk", f"lutra:held:{A}", "lutra:blobs"):
        assert store.client.zscore(key, job.computation.id)
        store.client.zadd(key, {job.computation.id: 1.0})  # as when the hold is over
    put(store, client=A)
