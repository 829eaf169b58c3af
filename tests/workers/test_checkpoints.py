"""One claim's checkpoint in the store: parts in pieces, and what becomes of it where the store does not answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.workers.stored import claim, put, reclaim
from workers.errors import StoreFull, StoreUnavailable
from workers.jobs import checkpoints
from workers.jobs.checkpoints import StoredCheckpoint
from workers.jobs.records import Claim
from workers.jobs.store import Store

PARTS = [[b"one" * 1000, b"two" * 1000], [secrets.token_bytes(5000)], [b"three"]]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 1000 bytes instead of four MiB."""
    monkeypatch.setattr(checkpoints, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(checkpoints, "chunk_count", lambda size: max(1, -(-size // 1000)))


def attempts(store: Store) -> tuple[Claim, Callable[[], Claim]]:
    """The first attempt at a job, and what begins the next, once that one's worker is gone."""
    job = put(store)

    def begin_next() -> Claim:
        reclaim(store, job, "test:1", blame=False)
        return claim(store, job)

    return claim(store, job), begin_next


def keep(holder: StoredCheckpoint, parts: list[list[bytes]] = PARTS) -> None:
    for part in parts:
        assert holder.write("plan", part)


@pytest.mark.usefixtures("small_pieces")
def test_the_next_attempt_reads_each_part_as_it_was_written_and_goes_on(store: Store) -> None:
    first, begin_next = attempts(store)
    keep(StoredCheckpoint(store, first))
    for rounds in (1, 2):
        following = StoredCheckpoint(store, begin_next())
        assert following.plan() == "plan"
        assert list(following.read()) == [b"".join(part) for part in PARTS * rounds]
        assert following.was_read
        keep(following)


@pytest.mark.usefixtures("small_pieces")
def test_a_part_whose_last_piece_is_missing_is_none_and_is_replaced(store: Store) -> None:
    first, begin_next = attempts(store)
    keep(StoredCheckpoint(store, first), PARTS[:2])
    store.client.rpop(f"lutra:checkpoint:{first.computation_id}")
    second = StoredCheckpoint(store, begin_next())
    assert list(second.read()) == [b"".join(PARTS[0])]
    keep(second, PARTS[2:])
    assert list(StoredCheckpoint(store, begin_next()).read()) == [b"".join(part) for part in (PARTS[0], PARTS[2])]


def test_a_first_attempt_asks_the_store_for_nothing(store: Store) -> None:
    first, _ = attempts(store)
    store.client.rpush(f"lutra:checkpoint:{first.computation_id}", "of nobody", b"x")
    assert StoredCheckpoint(store, first).plan() == ""


@pytest.mark.usefixtures("small_pieces")
def test_where_the_store_has_no_room_it_is_tried_again_later(make_store: Callable[..., Store]) -> None:
    """Also where there was room for the first pieces of a part."""
    store = make_store(store_bytes=30_000)
    store.beat({"test:1": {}})
    first, begin_next = attempts(store)
    holder = StoredCheckpoint(store, first)
    keep(holder, PARTS[:1])
    for _ in range(2):
        with pytest.raises(StoreFull):
            holder.write("plan", [secrets.token_bytes(40_000)])
    keep(holder, PARTS[2:])
    assert list(StoredCheckpoint(store, begin_next()).read()) == [b"".join(part) for part in (PARTS[0], PARTS[2])]


def test_of_a_job_that_nobody_wants_any_more_nothing_is_taken(store: Store) -> None:
    job = put(store)
    holder = StoredCheckpoint(store, claim(store, job))
    store.cancel(job.id)
    assert not holder.write("plan", [b"x"])


def test_a_part_that_was_not_answered_is_written_again_in_its_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, begin_next = attempts(store)
    holder = StoredCheckpoint(store, first)
    keep_piece = store.keep_piece

    def keep_unanswered(*args: Any) -> bool:
        keep_piece(*args)
        raise StoreUnavailable("the job store does not answer")

    keep(holder, PARTS[:1])
    monkeypatch.setattr(store, "keep_piece", keep_unanswered)
    with pytest.raises(StoreUnavailable):
        holder.write("plan", PARTS[1])
    monkeypatch.undo()
    keep(holder, [PARTS[1] + PARTS[2]])
    read = list(StoredCheckpoint(store, begin_next()).read())
    assert read == [b"".join(PARTS[0]), b"".join(PARTS[1] + PARTS[2])]


def test_a_store_that_does_not_answer_has_the_next_attempt_begin_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*args: Any) -> str:
        raise StoreUnavailable("the job store does not answer")

    first, begin_next = attempts(store)
    keep(StoredCheckpoint(store, first))
    following = StoredCheckpoint(store, begin_next())
    monkeypatch.setattr(store, "kept_plan", unanswered)
    monkeypatch.setattr(store, "kept_pieces", unanswered)
    assert following.plan() == ""
    assert list(following.read()) == []
    assert not following.was_read
