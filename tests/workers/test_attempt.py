"""An attempt on its way to its end: a store that hangs or is full is waited for, and what its time teaches."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.living import as_file, photo, wait_until
from tests.workers.running import put
from workers.engine.engine import Engine
from workers.errors import JobCancelled, JobTimeout, StoreFull, StoreUnavailable
from workers.jobs.lease import Lease
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.runner import Runner


def test_a_store_that_hangs_at_the_end_is_waited_for(store: Store, runner: Runner) -> None:
    job = put(store, as_file(photo()))
    thread = threading.Thread(target=runner.run, args=(job.computation.id,))
    store.client.client_pause(1500, all=True)
    thread.start()
    thread.join(20)
    assert store.status(job.id).state == "succeeded"


@pytest.fixture
def refusals(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[StoreFull]:
    """Each time that the store refuses a result for want of memory."""
    seen: list[StoreFull] = []
    put_result = store.put_result

    def put_and_note(claim: Claim, result: bytes) -> int:
        try:
            return put_result(claim, result)
        except StoreFull as full:
            seen.append(full)
            raise

    monkeypatch.setattr(store, "put_result", put_and_note)
    return seen


def test_a_result_waits_while_redis_is_out_of_memory(store: Store, runner: Runner, refusals: list[StoreFull]) -> None:
    job = put(store, as_file(photo()))
    store.client.config_set("maxmemory", 1)
    try:
        thread = threading.Thread(target=runner.run, args=(job.computation.id,))
        thread.start()
        wait_until(lambda: len(refusals) == 2, 30, "the result is refused twice")
        assert store.status(job.id).state == "running"
    finally:
        store.client.config_set("maxmemory", 0)
    thread.join(30)
    status = store.status(job.id)
    assert (status.state, status.attempts) == ("succeeded", 1)


@pytest.mark.parametrize("why", ["deadline", "cancel"])
def test_a_result_that_waits_for_memory_ends_with_its_deadline_or_when_nobody_wants_it(
    store: Store, engine: Engine, refusals: list[StoreFull], why: str
) -> None:
    runner = Runner(store, engine, owner="test:1", job_timeout_s=4 if why == "deadline" else 60, max_pixels=1_000_000)
    job = put(store, as_file(photo()))
    store.client.config_set("maxmemory", 1)
    try:
        thread = threading.Thread(target=runner.run, args=(job.computation.id,))
        thread.start()
        wait_until(lambda: bool(refusals), 30, "the result is refused")
        if why == "cancel":
            store.cancel(job.id)
        thread.join(30)
    finally:
        store.client.config_set("maxmemory", 0)
    status = store.status(job.id)
    assert status.state == ("failed" if why == "deadline" else "cancelled")
    if why == "deadline":
        assert status.error["code"] == "store_full"  # type: ignore[index]


def test_a_claim_is_tried_again_while_the_store_does_not_answer(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = put(store, as_file(photo()))
    claim, failures = store.claim, [StoreUnavailable("gone"), StoreUnavailable("gone")]

    def fails_twice(*args: Any, **named: Any) -> Claim | None:
        if failures:
            raise failures.pop()
        return claim(*args, **named)

    monkeypatch.setattr(store, "claim", fails_twice)
    runner.run(job.computation.id)
    assert store.status(job.id).state == "succeeded"


def test_a_cancelled_job_teaches_nothing_and_one_that_ran_out_of_time_does(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stop after a half of their tiles, which is more than enough pixels."""
    plain = as_file(photo(600, 800), "PNG")
    engine = Engine(device="cpu", tile="100")
    engine.load("bicubic")

    def stop_half_way(error: Exception) -> Any:
        check = Lease.check

        def stopping(lease: Lease) -> None:
            check(lease)
            if lease.share_done >= 0.5:
                raise error

        return stopping

    for error, learnt in ((JobCancelled("enough"), False), (JobTimeout("late"), True)):
        with monkeypatch.context() as patch:
            patch.setattr(Lease, "check", stop_half_way(error))
            job = put(store, plain, 800, 600)
            Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000).run(job.computation.id)
        assert store.status(job.id).state == ("failed" if learnt else "cancelled")
        assert bool(store.rates()) is learnt
