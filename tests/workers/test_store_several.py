"""Several short jobs claimed at once by one child, their ends written together: whose turn it is, and what is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.workers.stored import OUTPUT, kinds, messages, put, reclaim
from workers.jobs.celery_app import message
from workers.jobs.job import Job, JobState, Lane
from workers.jobs.records import Claim, Hold
from workers.jobs.script import Script
from workers.jobs.store import Store
from workers.jobs.store_execution import SHORT_S, Success, Wish

CHILDREN = 2


@pytest.fixture
def busy(make_store: Callable[..., Store]) -> Store:
    """A store that knows CHILDREN children."""
    store = make_store()
    store.beat({f"test:{number}": {} for number in range(CHILDREN)})
    return store


@pytest.fixture
def twice(busy: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Each of its scripts is run, loses its answer, and is run again."""
    once = busy._run_among

    def run(script: Script, *args: object, **commands: Any) -> object:
        once(script, *args, **commands)
        return once(script, *args, **commands)

    monkeypatch.setattr(busy, "_run_among", run)
    yield busy


def express(store: Store, count: int, client: str = "", **options: Any) -> list[Job]:
    options = {"estimate_s": 0.07, "lane": Lane.EXPRESS, "client": client} | options
    return [put(store, f"{client} {number}".encode(), message(Lane.EXPRESS), **options) for number in range(count)]


def wish(owner: str = "test:0", most: int = 3) -> Wish:
    return Wish(Lane.EXPRESS, owner, lease_s=30, timeout_s=60, most=most)


def first_of(store: Store, owner: str = "test:0") -> Claim:
    taken = store.claim(Lane.EXPRESS, owner, lease_s=30, timeout_s=60, by_message=False)
    assert taken is not None and not taken.further, "a message is for one"
    return taken


def ended(store: Store, claims: list[Claim], then: Wish | None = None) -> tuple[list[bool], list[Claim]]:
    """They succeed together; which of them are written, and what their child has then."""
    written, following = store.succeed_all([Success(one, b"better", OUTPUT, {}) for one in claims], then)
    return written, [following, *following.further] if following else []


def states(store: Store, jobs: list[Job]) -> list[JobState]:
    return [store.status(job.id).state for job in jobs]


def names(jobs: list[Job]) -> list[str]:
    return [job.computation.id for job in jobs]


def test_with_an_end_several_are_claimed_and_with_their_ends_the_next(busy: Store) -> None:
    jobs = express(busy, 9)
    _, taken = ended(busy, [first_of(busy)], wish())
    assert [one.computation_id for one in taken] == names(jobs[1:4])
    assert [one.picture for one in taken] == [b" 1", b" 2", b" 3"]
    assert [(one.attempt, busy.renew(one, lease_s=30)) for one in taken] == [(1, Hold.HELD)] * 3
    assert (messages(busy, Lane.EXPRESS), busy.queue().queued) == (5, 5)
    written, following = ended(busy, taken, wish())
    assert written == [True] * 3 and [one.computation_id for one in following] == names(jobs[4:7])
    assert states(busy, jobs) == ["succeeded"] * 4 + ["running"] * 3 + ["queued"] * 2
    assert kinds(busy, jobs[2]) == ["state", "state", "state", "end"]
    assert b"".join(busy.read_result(busy.status(jobs[3].id))) == b"better"
    assert not busy.client.keys("lutra:taken:*")


def test_where_no_more_wait_than_there_are_children_each_of_them_finds_one(busy: Store) -> None:
    jobs = express(busy, CHILDREN + 2)
    _, taken = ended(busy, [first_of(busy)], wish())
    assert [one.computation_id for one in taken] == names(jobs[1:2])
    assert states(busy, jobs)[2:] == ["queued"] * CHILDREN


@pytest.mark.parametrize(("first_s", "second_s", "count"), [(9.0, 0.07, 1), (0.07, 9.0, 1), (SHORT_S, SHORT_S, 3)])
def test_what_is_not_short_is_claimed_alone(busy: Store, first_s: float, second_s: float, count: int) -> None:
    express(busy, 1)
    express(busy, 1, estimate_s=first_s)
    express(busy, 5, estimate_s=second_s)
    assert len(ended(busy, [first_of(busy)], wish())[1]) == count


def test_clients_have_their_turns_within_what_is_claimed_at_once(busy: Store) -> None:
    express(busy, 7, client="one")
    others = express(busy, 2, client="two")
    _, taken = ended(busy, [first_of(busy)], wish(most=4))
    assert {one.computation_id for one in taken} >= set(names(others[:1]))
    assert sum(one.picture.startswith(b"two") for one in taken) == 2, "they take turns"


def test_what_a_killed_child_held_is_queued_again_each_job_by_itself_and_then_tried_alone(busy: Store) -> None:
    jobs = express(busy, 9)
    _, taken = ended(busy, [first_of(busy)], wish())
    for job in jobs[1:4]:
        assert reclaim(busy, job, "test:0").state == "queued"
    assert states(busy, jobs[1:4]) == ["queued"] * 3
    assert ended(busy, taken)[0] == [False] * 3, "its ends come too late"
    assert not busy.client.keys(f"lutra:out:{jobs[1].computation.id}:*")
    again = first_of(busy, "test:1")
    assert (again.computation_id, again.attempt) == (jobs[1].computation.id, 2)
    _, following = ended(busy, [again], wish("test:1"))
    assert [(one.computation_id, one.attempt) for one in following] == [(jobs[2].computation.id, 2)]
    assert states(busy, jobs[:3]) == ["succeeded", "succeeded", "running"]


def test_ends_whose_answer_is_lost_are_written_once_and_what_was_claimed_is_told_again(twice: Store) -> None:
    jobs = express(twice, 9)
    _, taken = ended(twice, [first_of(twice)], wish())
    assert sorted(one.computation_id for one in taken) == sorted(names(jobs[1:4]))
    assert {(one.attempt, one.picture) for one in taken} == {(1, b" 1"), (1, b" 2"), (1, b" 3")}
    written, following = ended(twice, taken, wish())
    assert written == [True] * 3 and sorted(one.computation_id for one in following) == sorted(names(jobs[4:7]))
    assert (messages(twice, Lane.EXPRESS), twice.queue().queued) == (2, 2)
    assert [kinds(twice, job).count("end") for job in jobs] == [1] * 4 + [0] * 5


def test_one_whose_lease_is_lost_takes_no_other_along(busy: Store) -> None:
    jobs = express(busy, 9)
    _, taken = ended(busy, [first_of(busy)], wish())
    reclaim(busy, jobs[2], "test:0")
    written, following = ended(busy, taken, wish())
    assert written == [True, False, True]
    assert [one.computation_id for one in following] == names(jobs[2:3]), "it is first again, and alone"
    assert states(busy, jobs[1:4]) == ["succeeded", "running", "succeeded"]


def test_where_the_store_has_no_room_for_one_result_nothing_more_is_claimed(busy: Store) -> None:
    express(busy, 9)
    _, taken = ended(busy, [first_of(busy)], wish())
    busy.client.config_set("maxmemory", 1)
    try:
        assert ended(busy, taken, wish()) == ([False] * 3, [])
    finally:
        busy.client.config_set("maxmemory", 0)
    assert ended(busy, taken)[0] == [True] * 3
