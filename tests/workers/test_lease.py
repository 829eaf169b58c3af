"""The lease of a claim: renewed while work goes on, and what ends the work."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import cast

import pytest

from tests.living import pass_time, wait_until
from tests.workers.stored import put
from workers.errors import JobCancelled, JobTimeout
from workers.jobs import lease as lease_module
from workers.jobs.lease import Lease, LeaseLost
from workers.jobs.store import Store


def test_the_tick_stops_a_cancelled_a_late_and_a_lost_computation(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "REPORT_EVERY_S", 0.0)
    cancelled, late, lost = (put(store, b"x") for _ in range(3))
    claims = [store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60) for job in (cancelled, lost)]
    assert claims[0] and claims[1]
    store.cancel(cancelled.id)
    with pytest.raises(JobCancelled), Lease(store, claims[0]) as lease:
        lease.tick(1, 2)
    store.client.hincrby(f"lutra:comp:{lost.computation.id}", "attempt", 1)
    with pytest.raises(LeaseLost), Lease(store, claims[1]) as lease:
        lease.tick(1, 2)
    overdue = store.claim(late.computation.id, "test:1", lease_s=30, timeout_s=0)
    assert overdue
    with pytest.raises(JobTimeout), Lease(store, overdue) as lease:
        lease.tick(1, 2)


def test_the_lease_is_renewed_again_and_again_while_a_computation_takes_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "RENEW_S", 0.05)
    job = put(store, b"x")
    taken = store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=900)
    assert taken

    def has_ended() -> bool:
        return cast("float", store.client.zscore("lutra:running", job.computation.id)) < time.time()

    with Lease(store, taken):
        for _ in range(3):
            pass_time(store, 31)
            wait_until(lambda: not has_ended(), 10, "the lease is renewed")
        assert store.reclaim(job.computation.id, "", JobTimeout(""), JobTimeout("")) is None


def test_one_thread_looks_after_all_leases_of_a_process(store: Store) -> None:
    def keepers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "leases"]

    claims = [store.claim(put(store, b"x").computation.id, "test:1", lease_s=30, timeout_s=900) for _ in range(2)]
    assert claims[0] and claims[1]
    with Lease(store, claims[0]), Lease(store, claims[1]):
        (first,) = keepers()
    assert keepers() == [first]
    assert not lease_module.KEEPER._kept


def test_a_lease_notices_that_its_process_was_stopped(store: Store) -> None:
    """In a process of its own, which is stopped and goes on; beside one that only works."""
    program = """
import sys, time
from tests.workers.test_lease import was_stopped_during
print(was_stopped_during(sys.argv[1], float(sys.argv[2])), flush=True)
"""
    for stopped_s in (0.0, 2.5):
        process = subprocess.Popen(
            [sys.executable, "-c", program, redis_of(store), "1.0"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stdout.readline() == "begun\n"
        if stopped_s:
            process.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
            process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0].strip() == str(stopped_s > 0)


def redis_of(store: Store) -> str:
    options = store.client.connection_pool.connection_kwargs
    return f"unix://{options['path']}" if "path" in options else f"redis://{options['host']}:{options['port']}"


def was_stopped_during(url: str, seconds: float) -> bool:
    """Whether the lease of `seconds` of work says that the process was stopped."""
    store = Store.at(url)
    store.beat({"test:1": {}})
    job = put(store, b"x")
    taken = store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60)
    assert taken
    with Lease(store, taken) as lease:
        print("begun", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sum(range(1000))
    return lease.was_stopped


def test_progress_is_told_to_the_store_and_a_store_that_is_away_stops_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "REPORT_EVERY_S", 0.0)
    monkeypatch.setattr(lease_module, "FRESH_S", 3600.0)
    job = put(store, b"x")
    taken = store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60)
    assert taken
    lease = Lease(store, taken)
    assert (lease.share_done, lease.is_fresh) == (0.0, True)
    lease.tick(1, 4)
    assert (lease.share_done, store.status(job.id).progress) == (0.25, 0.25)
    nowhere = Store.at("redis://127.0.0.1:1/0")
    away = Lease(nowhere, taken)
    away.tick(2, 4)
    away.check()
    assert away.share_done == 0.5
    nowhere.close()


def test_work_without_tiles_learns_by_looking_that_nobody_wants_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = put(store, b"x")
    taken = store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60)
    assert taken
    lease = Lease(store, taken)
    store.cancel(job.id)
    monkeypatch.setattr(lease_module, "LOOK_EVERY_S", 3600.0)
    lease.look()  # the store is not asked again so soon
    monkeypatch.setattr(lease_module, "LOOK_EVERY_S", 0.0)
    with pytest.raises(JobCancelled):
        lease.look()
    assert not lease.is_fresh
