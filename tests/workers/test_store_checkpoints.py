"""Pieces of a result that is not finished: who may keep them, for how long, and what they give way to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.living import hash_of, pass_time
from tests.workers.stored import LOST, OUTPUT, claim, everything, put, reclaim
from workers.errors import StoreFull
from workers.jobs.job import Job
from workers.jobs.records import PENDING_TTL_S, Claim
from workers.jobs.store import Store

PLAN = "plan"
PIECE = b"p" * 50_000


def kept(store: Store, holder: Claim) -> tuple[str, list[bytes]]:
    return store.kept_plan(holder), list(store.kept_pieces(holder))


def begun(store: Store, pieces: int = 2) -> tuple[Job, Claim]:
    """A job that runs, of which so many pieces are kept."""
    job = put(store)
    holder = claim(store, job)
    for index in range(pieces):
        assert store.keep_piece(holder, PLAN, index, PIECE)
    return job, holder


def bytes_held(store: Store) -> int:
    return store.queue().stored_bytes


def left_behind(store: Store) -> bool:
    return PIECE[:100] in everything(store) or store.client.exists("lutra:checkpoints") == 1


def test_pieces_are_read_in_their_order_and_counted(store: Store) -> None:
    job, holder = begun(store, pieces=0)
    before = bytes_held(store)
    assert kept(store, holder) == ("", [])
    assert [store.keep_piece(holder, PLAN, index, b"ab" * (index + 1)) for index in range(3)] == [True] * 3
    assert kept(store, holder) == (PLAN, [b"ab", b"abab", b"ababab"])
    assert bytes_held(store) == before + 12
    assert PENDING_TTL_S - 10 < store.client.ttl(f"lutra:checkpoint:{job.computation.id}") <= PENDING_TTL_S


def test_a_piece_that_is_kept_again_takes_its_own_place_and_that_of_later_ones(store: Store) -> None:
    _, holder = begun(store, pieces=4)
    held = bytes_held(store)
    assert store.keep_piece(holder, PLAN, 2, b"new")
    assert kept(store, holder) == (PLAN, [PIECE, PIECE, b"new"])
    assert bytes_held(store) == held - 2 * len(PIECE) + 3
    assert store.keep_piece(holder, "another plan", 0, b"n")
    assert kept(store, holder) == ("another plan", [b"n"])
    assert bytes_held(store) == held - 4 * len(PIECE) + 1


def test_a_piece_without_the_one_before_or_of_another_plan_is_refused(store: Store) -> None:
    _, holder = begun(store, pieces=2)
    assert not store.keep_piece(holder, PLAN, 3, PIECE)
    assert not store.keep_piece(holder, "another plan", 2, PIECE)
    assert kept(store, holder) == (PLAN, [PIECE, PIECE])


def test_the_next_attempt_reads_them_goes_on_and_the_lost_one_writes_no_more(store: Store) -> None:
    job, lost = begun(store)
    store.progress(lost, 30, 40)
    reclaim(store, job, "test:1")
    holder = claim(store, job, "test:2")
    assert (holder.attempt, kept(store, holder)) == (2, (PLAN, [PIECE, PIECE]))
    assert store.status(job.id).progress == 0.75
    assert not store.keep_piece(lost, PLAN, 2, b"stale")
    assert not store.keep_piece(lost, PLAN, 0, b"stale")
    assert store.keep_piece(holder, PLAN, 2, b"third")
    assert kept(store, holder) == (PLAN, [PIECE, PIECE, b"third"])


def test_an_attempt_after_which_nothing_was_kept_begins_at_nothing(store: Store) -> None:
    job, lost = begun(store, pieces=0)
    store.progress(lost, 30, 40)
    reclaim(store, job, "test:1")
    claim(store, job, "test:2")
    assert store.status(job.id).progress == 0.0


def succeed(store: Store, job: Job, holder: Claim) -> None:
    assert store.succeed(holder, b"result", OUTPUT, {})


def fail(store: Store, job: Job, holder: Claim) -> None:
    assert store.fail(holder, LOST, {})


def cancel(store: Store, job: Job, holder: Claim) -> None:
    store.cancel(job.id)
    assert not store.keep_piece(holder, PLAN, 2, PIECE), "nobody wants it any more"
    assert store.end_cancelled(holder)


def cancel_queued(store: Store, job: Job, holder: Claim) -> None:
    reclaim(store, job, "test:1")
    store.cancel(job.id)


def lose_twice(store: Store, job: Job, holder: Claim) -> None:
    reclaim(store, job, "test:1")
    claim(store, job)
    assert reclaim(store, job, "test:1").state == "failed"


def pass_its_deadline(store: Store, job: Job, holder: Claim) -> None:
    pass_time(store, 61)
    assert reclaim(store, job).state == "failed"


def expire(store: Store, job: Job, holder: Claim) -> None:
    reclaim(store, job, "test:1", blame=False)
    pass_time(store, PENDING_TTL_S + 1)
    store.unsent(0)


@pytest.mark.parametrize("end", [succeed, fail, cancel, cancel_queued, lose_twice, pass_its_deadline, expire])
def test_nothing_is_left_of_them_once_the_computation_has_ended(
    store: Store, end: Callable[[Store, Job, Claim], None]
) -> None:
    job, holder = begun(store)
    end(store, job, holder)
    assert not left_behind(store)
    assert bytes_held(store) < len(PIECE)
    assert store.queue().active == 0


def test_where_the_store_is_full_nothing_is_kept_and_nothing_else_changes(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=200_000)
    store.beat({"test:1": {}})
    job, holder = begun(store, pieces=3)
    held = bytes_held(store)
    with pytest.raises(StoreFull):
        store.keep_piece(holder, PLAN, 3, PIECE)
    assert (bytes_held(store), kept(store, holder)) == (held, (PLAN, [PIECE] * 3))
    succeed(store, job, holder)


@pytest.mark.parametrize("evict_delivered", [True, False])
def test_they_give_way_to_a_new_job(make_store: Callable[..., Store], evict_delivered: bool) -> None:
    store = make_store(store_bytes=200_000, evict_delivered=evict_delivered)
    store.beat({"test:1": {}})
    job, holder = begun(store, pieces=3)
    put(store, b"x" * 60_000)
    assert kept(store, holder) == ("", [])
    assert not left_behind(store)
    assert not store.keep_piece(holder, PLAN, 3, PIECE), "without those before, it is of no use"
    assert store.status(job.id).state == "running"
    succeed(store, job, holder)


def test_they_stay_where_a_new_job_fits_beside_them(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=400_000)
    store.beat({"test:1": {}})
    _, holder = begun(store, pieces=3)
    put(store, b"x" * 60_000)
    assert len(kept(store, holder)[1]) == 3


def test_a_redis_without_memory_takes_none(store: Store) -> None:
    _, holder = begun(store, pieces=1)
    record = f"lutra:comp:{holder.computation_id}"
    before, held = hash_of(store, record), bytes_held(store)
    client: Any = store.client
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            store.keep_piece(holder, PLAN, 1, b"more")
    finally:
        client.config_set("maxmemory", 0)
    assert (hash_of(store, record), bytes_held(store)) == (before, held)
    assert kept(store, holder) == (PLAN, [PIECE])
