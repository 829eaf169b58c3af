"""Workers that live and do not work: stalled consumers, loops that hang, stopped children, children that load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.test_chaos import ASYNC, ends_well, job_json, runs_as, start_long
from tests.living import Lutra, as_file, photo, private_redis, running_lutra, wait_until
from workers.jobs import celery_app
from workers.jobs.job import Computation, Job, Lane, PictureFacts, new_id
from workers.jobs.store import Store
from workers.liveness import STALLED_S, STUCK_S

pytestmark = [pytest.mark.chaos, pytest.mark.outage]

SHORT = "/upscale?scale=2&model=bicubic&format=png"
BROKEN_ONCE = """
import sys, time
from pathlib import Path
from workers import consumer, worker
marker = Path({marker!r})
if not marker.exists():
    marker.touch()
    {fault}
from service.cli import main
sys.exit(main(["worker"]))
"""
STALLED = "consumer.QoS.can_consume = lambda self: False"
HANGS = "marker.with_name('hangs').touch()"  # a job sent before it does would be done
STUCK = f"worker.Parent.supervise = lambda self, w: {HANGS} or setattr(self, '_rounds', 1) or time.sleep(3600)"


@pytest.fixture
def lutra(tmp_path: Path) -> Iterator[Lutra]:
    """With a single child for all jobs."""
    settings = {"LUTRA_MODELS": "liif,bicubic", "LUTRA_SYNC_WAIT_SECONDS": "60", "LUTRA_EXPRESS_SECONDS": "0"}
    with running_lutra(tmp_path, **settings) as running:
        yield running


@contextmanager
def worker_alone(folder: Path, redis_url: str, fault: str) -> Iterator[subprocess.Popen[bytes]]:
    """`lutra worker` that nobody restarts, broken when it starts for the first time."""
    program = BROKEN_ONCE.format(marker=str(folder / "broken"), fault=fault)
    settings = {"LUTRA_REDIS_URL": redis_url, "LUTRA_MODELS": "bicubic", "LUTRA_METRICS_PORT": "0"}
    settings |= {"LUTRA_EXPRESS_CONCURRENCY": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LUTRA_", "PROMETHEUS_"))}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**inherited, **settings},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(90)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def small_job() -> tuple[Job, bytes]:
    data = as_file(photo(16, 16), "PNG")
    wanted = {"format": "png", "height": 32, "width": 32, "effort": "best"}
    facts = PictureFacts("png", 16, 16, len(data))
    return Job(new_id(), Computation(new_id(), new_id(), "upscale", "bicubic", wanted, facts, 1.0)), data


@pytest.mark.parametrize("fault, seconds", [(STALLED, 2 * STALLED_S), (STUCK, STUCK_S)], ids=["stalled", "stuck"])
def test_a_worker_that_takes_nothing_is_not_counted_and_starts_itself_again(
    tmp_path: Path, fault: str, seconds: float
) -> None:
    with private_redis(tmp_path / "r") as (url, _), worker_alone(tmp_path, url, fault) as process:
        store = Store.at(url)
        wait_until(lambda: bool(store.children()), 60, "a child lives")
        wait_until(lambda: fault is STALLED or (tmp_path / "hangs").exists(), 30, "the loop hangs")
        job, data = small_job()
        store.put(job, data, result_bytes=10_000)
        app = celery_app.make_app(url, job_timeout_s=60)
        celery_app.send(app, Lane.BULK)
        start = time.monotonic()
        wait_until(lambda: not store.children(), STALLED_S + 15, "no child is counted")
        print(f"not counted after {time.monotonic() - start:.1f} s")
        wait_until(lambda: store.status(job.id).ended, seconds + 90, "the job ends")
        print(f"ended after {time.monotonic() - start:.1f} s")
        assert store.status(job.id).state == "succeeded"
        assert process.poll() is None
        assert "starts again" in (tmp_path / "worker.log").read_text()
        app.close()
        store.close()


def test_a_child_that_is_stopped_in_the_middle_is_replaced_and_its_job_ends_well(lutra: Lutra) -> None:
    job = start_long(lutra)
    (child,) = lutra.children()
    os.kill(child, signal.SIGSTOP)
    start = time.monotonic()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 30, "the child is gone")
    print(f"noticed after {time.monotonic() - start:.1f} s")
    wait_until(lambda: runs_as(lutra, job, 2), 60, "the job runs again")
    assert ends_well(lutra, job)["attempts"] == 2


def test_an_idle_child_that_is_stopped_is_replaced_and_the_next_picture_arrives(lutra: Lutra) -> None:
    (child,) = lutra.children()
    os.kill(child, signal.SIGSTOP)
    start = time.monotonic()
    answer = lutra.post(SHORT, as_file(photo()))
    print(f"picture after {time.monotonic() - start:.1f} s")
    assert answer.status_code == 200
    assert not Path(f"/proc/{child}").exists()


def halt_new_child(parent: int, seconds: float) -> None:
    """Stops the next child as soon as it is there, for so long: a fork has its models within milliseconds."""
    before = children_of(parent)
    while not (new := children_of(parent) - before):
        time.sleep(0.0005)
    for child in new:
        os.kill(child, signal.SIGSTOP)
    time.sleep(seconds)
    for child in new:
        os.kill(child, signal.SIGCONT)


def children_of(parent: int) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()}


def test_jobs_are_taken_in_while_the_only_child_loads_again(lutra: Lutra) -> None:
    (child,) = lutra.children()
    (parent,) = set(lutra.pids("service.cli", "worker")) - {child}
    jobs: list[str] = []
    reasons: set[str] = set()

    def is_back() -> bool:
        answer = lutra.post(SHORT, as_file(photo(seed=len(jobs))), headers=ASYNC)
        assert answer.status_code == 202, answer.text
        jobs.append(answer.json()["id"])
        time.sleep(0.1)
        health = lutra.client.get("/readyz?verbose=1").json()
        reasons.add(health.get("reason", ""))
        return halted.done() and any(not name.endswith(f":{child}") for name in health.get("workers", {}))

    with ThreadPoolExecutor(1) as beside:
        halted = beside.submit(halt_new_child, parent, 5)
        os.kill(child, signal.SIGKILL)
        seconds = wait_until(is_back, 60, "another child is loaded")
        halted.result()
    print(f"loaded again after {seconds:.1f} s, {len(jobs)} jobs taken in")
    assert "no worker is alive; one is loading its models, and jobs are taken in for it" in reasons
    for job in jobs:
        ends_well(lutra, job)
    assert job_json(lutra, jobs[0])["attempts"] == 1
