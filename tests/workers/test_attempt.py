"""An attempt on its way to its end: a store that hangs or is full is waited for, and what its time teaches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.living import as_file, photo, wait_until
from tests.workers.running import put
from tests.workers.stored import messages
from workers import attempt as attempt_module
from workers.attempt import Attempt, with_retry
from workers.engine.engine import Engine
from workers.errors import JobCancelled, JobTimeout, StoreFull, StoreUnavailable
from workers.jobs import lease as lease_module
from workers.jobs.job import Lane
from workers.jobs.lease import Lease
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.operations.operation import Encoded
from workers.runner import Runner

RESULT = Encoded(b"better", "png", 128, 96, "image/png", 128 * 96)


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


def claimed(store: Store, lane: Lane = Lane.BULK) -> Attempt:
    job = put(store, as_file(photo()), lane=lane)
    taken = store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60)
    assert taken is not None
    return Attempt(store, taken)


def test_an_attempt_that_succeeds_writes_its_result_and_counts_it_before(store: Store) -> None:
    attempt = claimed(store)
    labels = {"operation": "upscale", "model": "bicubic"}
    before = REGISTRY.get_sample_value("lutra_output_pixels_total", labels) or 0.0
    with attempt.lease:
        with attempt.stage("infer"):
            attempt.tick(3, 3)
        attempt.write_result(RESULT)
    attempt.succeed(RESULT)
    status = store.status(attempt.claim.job_id)
    assert (status.state, status.progress) == ("succeeded", 1.0)
    assert b"".join(store.read_result(status)) == b"better"
    assert set(status.timings_s) == {"queue", "infer"}
    assert REGISTRY.get_sample_value("lutra_output_pixels_total", labels) == before + 128 * 96
    assert attempt.is_speed_sample is not attempt.lease.was_stopped
    attempt.is_deep = True
    assert not attempt.is_speed_sample


def test_an_attempt_that_gives_way_is_queued_as_bulk_with_a_message_and_teaches(store: Store) -> None:
    attempt = claimed(store, lane=Lane.EXPRESS)
    taught: list[float] = []
    attempt.lease.allotment.teach = taught.append
    with attempt.lease:
        attempt.tick(1, 4)
    attempt.give_way()
    status = store.status(attempt.claim.job_id)
    assert (status.state, status.lane, messages(store, Lane.BULK)) == ("queued", "bulk", 1)
    assert len(taught) == 1 and not attempt.is_speed_sample


def test_an_attempt_that_is_cancelled_as_it_gives_way_ends(store: Store) -> None:
    attempt = claimed(store, lane=Lane.EXPRESS)
    store.cancel(attempt.claim.job_id)
    attempt.give_way()
    assert store.status(attempt.claim.job_id).state == "cancelled"
    attempt.give_way()  # what was overtaken changes nothing
    assert store.status(attempt.claim.job_id).state == "cancelled"


def test_an_attempt_that_was_overtaken_writes_no_end_and_counts_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "FRESH_S", 0.0)
    ends: list[Callable[[Attempt], None]] = [
        lambda one: one.succeed(RESULT),
        lambda one: one.fail(JobTimeout("late")),
        lambda one: one.cancel(),
    ]
    for end in ends:
        attempt = claimed(store)
        store.client.hincrby(f"lutra:comp:{attempt.claim.computation_id}", "attempt", 1)
        counted = ended_jobs()
        end(attempt)
        assert store.status(attempt.claim.job_id).state == "running"
        assert ended_jobs() == counted


def ended_jobs() -> float:
    (family,) = (one for one in REGISTRY.collect() if one.name == "lutra_jobs_finished")
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def test_a_store_that_never_answers_is_given_up_after_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_module, "PATIENCE_S", 0.05)
    monkeypatch.setattr(attempt_module, "RETRY_PAUSE_S", 0.01)
    nowhere = Store.at("redis://127.0.0.1:1/0")
    assert with_retry(nowhere.queue) is None
    with pytest.raises(ZeroDivisionError):
        with_retry(lambda: 1 // 0)
    nowhere.close()
