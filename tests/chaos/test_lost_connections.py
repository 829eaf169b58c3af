"""Connections to Redis lost without a word, or killed, under a real service: the next job's picture arrives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.test_chaos import ASYNC, ends_well, job_json, start_long
from tests.living import Lutra, as_file, photo, private_redis, running_lutra, wait_until
from tests.proxy import Proxy, proxied
from workers.jobs.connections import connect

pytestmark = [pytest.mark.chaos, pytest.mark.outage]

SHORT = "/upscale?scale=2&model=bicubic&format=png"
WAIT = {"Prefer": "wait=60"}
KILLS = 50


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lutra, Proxy, str]]:
    """`lutra up` whose every connection to Redis goes through the proxy; and the URL of that Redis."""
    folder = tmp_path_factory.mktemp("lost")
    settings = {"LUTRA_MODELS": "liif,bicubic", "LUTRA_SYNC_WAIT_SECONDS": "60"}
    with (
        private_redis(folder / "r") as (url, _),
        proxied(url) as proxy,
        running_lutra(folder, LUTRA_REDIS_URL=proxy.url, **settings) as lutra,
    ):
        yield lutra, proxy, url


def short_photo(seed: int) -> bytes:
    return as_file(photo(seed=seed))


def next_picture(lutra: Lutra, what: str) -> None:
    """One request, taken at once, and its picture."""
    start = time.monotonic()
    answer = lutra.post(SHORT, short_photo(time.monotonic_ns() % 1_000_000_007), headers=WAIT)
    print(f"{what}: picture after {time.monotonic() - start:.1f} s")
    assert answer.status_code == 200, answer.text


@contextmanager
def posting(lutra: Lutra, threads: int, pause_s: float) -> Iterator[tuple[list[str], list[int]]]:
    """Clients that ask for one short job after another; the jobs taken in, and every answer's status."""
    jobs: list[str] = []
    statuses: list[int] = []
    stop = threading.Event()

    def post(first: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{lutra.port}", timeout=60) as client:
            for seed in range(first, first + 100_000):
                if stop.is_set():
                    return
                answer = client.post(SHORT, content=short_photo(seed), headers=ASYNC)
                statuses.append(answer.status_code)
                if answer.status_code == 202:
                    jobs.append(answer.json()["id"])
                time.sleep(pause_s)

    running = [threading.Thread(target=post, args=(n * 100_000,)) for n in range(1, threads + 1)]
    for thread in running:
        thread.start()
    try:
        yield jobs, statuses
    finally:
        stop.set()
        for thread in running:
            thread.join()


@pytest.mark.parametrize("reset", [False, True])
def test_connections_lost_in_the_middle_of_a_job(service: tuple[Lutra, Proxy, str], reset: bool) -> None:
    lutra, proxy, _ = service
    job = start_long(lutra)
    assert proxy.forget(reset=reset) > 3
    after = ends_well(lutra, job)
    assert after["attempts"] == 1
    next_picture(lutra, f"in a job, reset={reset}")


@pytest.mark.parametrize("reset", [False, True])
def test_connections_lost_while_nothing_happens(service: tuple[Lutra, Proxy, str], reset: bool) -> None:
    lutra, proxy, _ = service
    next_picture(lutra, "before")
    time.sleep(2)
    assert proxy.forget(reset=reset) > 3
    next_picture(lutra, f"idle, reset={reset}")


def test_connections_lost_under_load(service: tuple[Lutra, Proxy, str]) -> None:
    lutra, proxy, _ = service
    with posting(lutra, threads=4, pause_s=0.2) as (jobs, statuses):
        time.sleep(3)
        assert proxy.forget() > 3
        time.sleep(3)
    next_picture(lutra, "under load")
    assert set(statuses) <= {202, 503} and statuses.count(202) > statuses.count(503)
    for job in jobs:
        ends_well(lutra, job, 60)


def test_fifty_times_all_connections_killed_under_short_jobs(service: tuple[Lutra, Proxy, str]) -> None:
    lutra, _, url = service
    redis: Any = connect(url, timeout_s=2)
    with posting(lutra, threads=2, pause_s=0.1) as (jobs, statuses):
        for _ in range(KILLS):
            time.sleep(0.4)
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    redis.close()
    next_picture(lutra, f"after {KILLS} kills")
    print({status: statuses.count(status) for status in set(statuses)})
    assert set(statuses) <= {202, 503}
    assert len(jobs) > KILLS
    for job in jobs:
        ends_well(lutra, job, 60)
    assert "CPendingDeprecationWarning" not in lutra.log.read_text(), "advice on a setting that we chose, at each loss"


def test_a_redis_out_of_memory_keeps_what_was_taken_in_and_serves_again_when_it_has_some(
    service: tuple[Lutra, Proxy, str],
) -> None:
    lutra, _, url = service
    redis: Any = connect(url, timeout_s=2)
    worker = lutra.pids("service.cli worker")
    running = start_long(lutra)
    queued = [lutra.post(SHORT, short_photo(seed), headers=ASYNC).json()["id"] for seed in range(3)]
    redis.config_set("maxmemory", 1)
    try:
        time.sleep(15)
        refused = lutra.post(SHORT, short_photo(9), headers=ASYNC)
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert {job_json(lutra, job)["state"] for job in (running, *queued)} <= {"queued", "running"}
    finally:
        redis.config_set("maxmemory", 0)
        redis.close()
    for job in (running, *queued):
        assert ends_well(lutra, job, 60)["attempts"] == 1
    next_picture(lutra, "after maxmemory")
    assert set(worker) <= set(lutra.pids("service.cli worker"))


def test_a_worker_that_reconnects_while_redis_is_out_of_memory_waits_for_it(tmp_path: Path) -> None:
    with (
        private_redis(tmp_path / "r") as (url, _),
        running_lutra(tmp_path, LUTRA_REDIS_URL=url, LUTRA_MODELS="bicubic") as lutra,
    ):
        redis: Any = connect(url, timeout_s=2)
        next_picture(lutra, "before")
        worker = lutra.pids("service.cli worker")
        redis.config_set("maxmemory", 1)
        try:
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(10)
        finally:
            redis.config_set("maxmemory", 0)
            redis.close()
        wait_until(lutra.ready, 30, "the service is ready again")
        next_picture(lutra, "after a reconnection at maxmemory")
        assert set(worker) <= set(lutra.pids("service.cli worker"))
