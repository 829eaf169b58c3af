"""Short jobs computed one after the other by a real runner, whose ends are written together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.living import as_file, opened, photo
from tests.workers.running import put
from workers.attempt import Attempt
from workers.group_commit import GroupCommit
from workers.jobs import lease
from workers.jobs.celery_app import message
from workers.jobs.job import Job, Lane
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.jobs.store_execution import Wish
from workers.operations.operation import Encoded
from workers.runner import Runner

pytestmark = pytest.mark.usefixtures("one_thread")
RESULT = Encoded(b"better", "png", 2, 2, "image/png")


def express(store: Store, *pictures: bytes) -> list[Job]:
    return [put(store, data, lane=Lane.EXPRESS, message=message(Lane.EXPRESS)) for data in pictures]


def claims_of(store: Store, jobs: list[Job]) -> list[Claim]:
    """Held by one child, as if claimed at once."""
    taken = [store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60) for job in jobs]
    return [one for one in taken if one is not None]


@pytest.fixture
def group(store: Store) -> Iterator[GroupCommit]:
    with GroupCommit(store) as made:
        yield made


def test_many_short_jobs_are_done_a_few_at_once_until_none_waits(store: Store, runner: Runner) -> None:
    jobs = express(store, *(as_file(photo(seed=i)) for i in range(8)))
    runner.run(Lane.EXPRESS, lambda: True)
    for job in jobs:
        status = store.status(job.id)
        assert (status.state, status.attempts) == ("succeeded", 1), status.error
        assert opened(b"".join(store.read_result(status))).size == (128, 96)
        assert set(status.timings_s) == {"queue", "decode", "infer", "encode"}
        kinds = [event.kind for event in store.events(job.id)]
        assert kinds[-1] == "end" and kinds.count("end") == 1
    claims = [store.client.hget(f"lutra:comp:{job.computation.id}", "claim") for job in jobs]
    assert len(set(claims)) < len(jobs), "some came by one claim"
    results = {b"".join(store.read_result(store.status(job.id))) for job in jobs}
    assert len(results) == len(jobs), "each has its own picture"


def test_one_that_fails_or_is_cancelled_leaves_the_others_as_they_are(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LOOK_EVERY_S", 0.0)
    good, pieces = as_file(photo()), as_file(photo())[:-700]
    jobs = express(store, good, pieces, good, good)
    claims = claims_of(store, jobs)
    store.cancel(jobs[2].id)
    assert runner._run_group(claims, lambda: None) is None
    states = [store.status(job.id).state for job in jobs]
    assert states == ["succeeded", "failed", "cancelled", "succeeded"]
    assert store.status(jobs[1].id).error["code"] == "corrupt_picture"  # type: ignore[index]


def test_what_another_attempt_has_is_dropped_and_the_others_end(store: Store, runner: Runner) -> None:
    jobs = express(store, *(as_file(photo(seed=i)) for i in range(3)))
    claims = claims_of(store, jobs)
    assert store.claim(jobs[1].computation.id, "test:1", lease_s=30, timeout_s=60) is not None
    assert runner._run_group(claims, lambda: None) is None
    assert [store.status(job.id).state for job in jobs] == ["succeeded", "running", "succeeded"]
    assert not store.client.keys(f"lutra:out:{jobs[1].computation.id}:1:*")


def test_a_result_does_not_wait_for_one_that_takes_long(store: Store, group: GroupCommit) -> None:
    """Nobody calls `write`: the other is still computed."""
    (job,) = express(store, b"picture")
    (claim,) = claims_of(store, [job])
    group.add(Attempt(store, claim), RESULT)
    give_up = time.monotonic() + 30
    while not store.status(job.id).ended and time.monotonic() < give_up:
        time.sleep(0.02)
    assert store.status(job.id).state == "succeeded"
    assert group.write(Wish(Lane.EXPRESS, "test:1", lease_s=30, timeout_s=60)) is None, "nothing is left to end"


def test_a_group_that_is_left_by_an_error_has_written_what_was_done(store: Store) -> None:
    (job,) = express(store, b"picture")
    (claim,) = claims_of(store, [job])
    with pytest.raises(ZeroDivisionError), GroupCommit(store) as group:
        group.add(Attempt(store, claim), RESULT)
        raise ZeroDivisionError
    assert store.status(job.id).state == "succeeded"


def test_a_result_that_finds_no_room_is_written_by_itself_once_there_is_some(store: Store, group: GroupCommit) -> None:
    (job,) = express(store, b"picture")
    (claim,) = claims_of(store, [job])
    store.client.config_set("maxmemory", 1)
    room = threading.Timer(1.0, store.client.config_set, ("maxmemory", 0))
    room.start()
    try:
        group.add(Attempt(store, claim), RESULT)
        group.write()
    finally:
        room.join()
        store.client.config_set("maxmemory", 0)
    assert store.status(job.id).state == "succeeded"
