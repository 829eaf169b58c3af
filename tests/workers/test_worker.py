"""The worker's parent: what it does beside Celery."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.living import as_file, photo, wait_until
from tests.workers.running import put
from tests.workers.stored import messages, queued_ids
from workers.jobs.celery_app import TASK, make_app, send
from workers.jobs.job import Job, Lane
from workers.jobs.lanes import FORMER_QUEUE
from workers.jobs.store import Store

FORCED = """
import sys
from pathlib import Path
from typing import Any
from types import SimpleNamespace
from workers.worker import Parent
marker = Path({marker!r})
if marker.exists():
    sys.exit(0)
marker.touch()
Parent._restart_by_force(SimpleNamespace(pool=SimpleNamespace(_pool=None)))
"""


def test_a_worker_that_hangs_after_its_pool_was_stopped_starts_again_all_the_same(tmp_path: Path) -> None:
    """An orderly stop lets go of the pool before it is over; what hangs after that is what force is for."""
    program = FORCED.format(marker=str(tmp_path / "second"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def worker_at(redis_url: str, folder: Path, models: str = "bicubic", express_s: str = "0") -> subprocess.Popen[str]:
    """`lutra worker` with one child for bulk jobs, which is the only one where nothing is express; else one more."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LUTRA_", "PROMETHEUS_"))}
    settings = {
        "LUTRA_REDIS_URL": redis_url,
        "LUTRA_DATA_DIR": str(folder),
        "LUTRA_DEVICE": "cpu",
        "LUTRA_MODELS": models,
        "LUTRA_WORKER_CONCURRENCY": "1",
        "LUTRA_EXPRESS_CONCURRENCY": "1",
        "LUTRA_METRICS_PORT": "0",
        "LUTRA_EXPRESS_SECONDS": express_s,
        "LUTRA_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "service.cli", "worker"]
    return subprocess.Popen(command, env={**inherited, **settings}, stderr=subprocess.PIPE, text=True)


def test_a_worker_beats_for_its_child_serves_the_queue_and_leaves_nothing_behind(
    make_store: Callable[..., Store], redis_url: str, tmp_path: Path
) -> None:
    store, app = make_store(), make_app(redis_url, job_timeout_s=60)
    with worker_at(redis_url, tmp_path) as worker:
        try:
            wait_until(lambda: bool(store.children()) or worker.poll() is not None, 90, "the child has loaded")
            ((name, facts),) = store.children().items()
            assert name.split(":")[-2] == str(worker.pid) and set(facts["models"]) == {"bicubic"}
            job = put(store, as_file(photo()))
            send(app, Lane.BULK)
            wait_until(lambda: store.status(job.id).ended, 60, "the job is done")
            assert store.status(job.id).state == "succeeded"
        finally:
            worker.terminate()
            _, logged = worker.communicate(timeout=60)
            app.close()
    assert worker.returncode == 0, logged
    assert store.children() == {} and queued_ids(store) == set()
    assert '"worker started"' in logged


def test_an_express_job_is_done_while_a_bulk_job_runs_and_no_bulk_job_takes_its_place(
    make_store: Callable[..., Store], redis_url: str, tmp_path: Path
) -> None:
    store, app = make_store(), make_app(redis_url, job_timeout_s=600)
    picture = as_file(photo(400, 400))

    def state(job: Job) -> str:
        return store.status(job.id).state

    def sent(lane: Lane, **more: Any) -> Job:
        job = put(store, lane=lane, **more)
        send(app, lane)
        return job

    def lanes() -> list[str]:
        return sorted(facts["lane"] for facts in store.children().values())

    with worker_at(redis_url, tmp_path, models="bicubic,liif", express_s="2") as worker:
        try:
            wait_until(lambda: lanes() == ["bulk", "express"] or worker.poll() is not None, 120, "both have loaded")
            long, waiting = (
                sent(Lane.BULK, data=picture, width=400, height=400, model="liif", scale=4) for _ in range(2)
            )
            wait_until(lambda: state(long) == "running", 60, "the bulk job runs")
            for seed in range(3):
                short = sent(Lane.EXPRESS, data=as_file(photo(seed=seed)))
                wait_until(lambda: store.status(short.id).ended, 60, "the express job is done")  # noqa: B023
                assert (state(short), state(long), state(waiting)) == ("succeeded", "running", "queued")
            store.cancel(long.id)
            wait_until(lambda: state(waiting) == "running", 120, "the next bulk job runs")
            assert state(long) == "cancelled"
            store.cancel(waiting.id)
            wait_until(lambda: store.status(waiting.id).ended, 120, "it has ended")
        finally:
            worker.terminate()
            _, logged = worker.communicate(timeout=60)
            app.close()
    assert worker.returncode == 0, logged


def test_a_message_of_a_version_without_lanes_has_its_computation_done(
    make_store: Callable[..., Store], redis_url: str, tmp_path: Path
) -> None:
    store, app = make_store(), make_app(redis_url, job_timeout_s=60)
    store.beat({"test:1": {}})
    job, other = put(store, as_file(photo())), put(store, as_file(photo(seed=1)))
    app.send_task(TASK, args=[other.computation.id], queue=FORMER_QUEUE, ignore_result=True)
    with worker_at(redis_url, tmp_path, express_s="2") as worker:
        try:
            wait_until(lambda: store.status(other.id).ended or worker.poll() is not None, 90, "the job is done")
            assert store.status(other.id).state == "succeeded"
            assert store.status(job.id).state == "queued"
        finally:
            worker.terminate()
            worker.communicate(timeout=60)
            app.close()


LEAVING = """
import sys
from workers.jobs import place
from workers.settings import read_settings
from workers.worker import Parent
parent, computation = Parent(read_settings(device="cpu"), sys.argv[1]), sys.argv[2]
child = place.name_of(parent.pid, 12)
parent.store.beat({child: {}}, place=place.this_place())
for _ in range(3):
    assert parent.store.claim(computation, child, lease_s=60, timeout_s=60)
    parent._children = {child}
    parent.leave()
"""


def test_a_worker_that_leaves_gives_back_what_its_children_held_and_nobody_is_to_blame(
    make_store: Callable[..., Store], redis_url: str
) -> None:
    """However often: a computation that only ever met orderly stops is tried again."""
    store = make_store()
    store.beat({"another:1:2": {}})
    job = put(store, as_file(photo()))
    program = [sys.executable, "-c", LEAVING, redis_url, job.computation.id]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (store.status(job.id).state, store.status(job.id).attempts) == ("queued", 3)
    assert queued_ids(store) == {job.computation.id} and messages(store) == 3
    assert set(store.children()) == {"another:1:2"}
