"""Real processes killed and stopped in the middle of work: nothing is lost, nothing sticks, everything goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.living import Lutra, as_file, descendants, opened, photo, running_lutra, wait_until
from workers import embedded

pytestmark = pytest.mark.chaos

ASYNC = {"Prefer": "respond-async"}
LONG = "/upscale?scale=4&model=liif&format=png"


def long_photo(side: int = 144, seed: int = 0) -> bytes:
    return as_file(photo(side, side, seed), quality=95)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """With a single child for all jobs; what these tests break of it comes back."""
    settings = {"LUTRA_QUEUE_SIZE": "20", "LUTRA_SYNC_WAIT_SECONDS": "5", "LUTRA_EXPRESS_SECONDS": "0"}
    with running_lutra(tmp_path_factory.mktemp("lutra"), **settings) as running:
        yield running


@pytest.fixture
def lutra(service: Lutra) -> Lutra:
    """Whole again after the test before."""
    wait_until(lambda: is_whole(service, 1), 60, "the service is whole")
    return service


def start_long(lutra: Lutra, side: int = 144) -> str:
    """A job that runs for seconds, and runs now."""
    job = str(lutra.post(LONG, long_photo(side), headers=ASYNC).json()["id"])
    wait_until(lambda: job_json(lutra, job)["state"] == "running", 30, "the job runs")
    return job


def job_json(lutra: Lutra, job: str) -> dict[str, object]:
    return dict(lutra.client.get(f"/jobs/{job}").json())


def ends_well(lutra: Lutra, job: str, seconds: float = 240) -> dict[str, object]:
    wait_until(lambda: job_json(lutra, job)["state"] not in ("queued", "running"), seconds, "the job ends", 0.1)
    after = job_json(lutra, job)
    assert after["state"] == "succeeded", after["error"]
    picture = opened(lutra.client.get(f"/jobs/{job}/result").content)
    assert picture.width == after["output"]["width"]  # type: ignore[index]
    return after


def is_whole(lutra: Lutra, children: int) -> bool:
    """Whether it is ready, so many worker children, all living, have loaded their models, and none computes."""
    loaded = lutra.children() if lutra.ready() else []
    if len(loaded) != children or not all(map(alive, loaded)):
        return False
    return not any(lutra.samples("lutra_jobs_in_progress").values())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_killed_in_the_middle_has_its_job_end_well(lutra: Lutra) -> None:
    job = start_long(lutra)
    (child,) = lutra.children()
    os.kill(child, signal.SIGKILL)
    start = time.monotonic()
    wait_until(lambda: job_json(lutra, job)["attempts"] == 2, 40, "the job runs again")
    print(f"running again after {time.monotonic() - start:.1f} s")
    assert ends_well(lutra, job)["attempts"] == 2


def test_the_whole_worker_group_killed_is_restarted_and_the_job_ends_well(lutra: Lutra) -> None:
    job = start_long(lutra)
    queued = str(lutra.post("/upscale?scale=2&model=bicubic", long_photo(64), headers=ASYNC).json()["id"])
    (parent,) = [pid for pid in lutra.pids("service.cli worker") if pid in descendants_of_one(lutra)]
    for pid in [parent, *descendants(parent)]:
        os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    wait_until(lambda: job_json(lutra, job)["attempts"] == 2, 60, "the job runs again")
    print(f"running again after {time.monotonic() - start:.1f} s")
    ends_well(lutra, job)
    ends_well(lutra, queued)


def descendants_of_one(lutra: Lutra) -> set[int]:
    """The supervisor's own children."""
    return {
        pid
        for pid in descendants(lutra.process.pid)
        if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == lutra.process.pid
    }


def test_fifty_pictures_at_once_while_the_worker_is_held_are_taken_or_refused_and_none_is_lost(lutra: Lutra) -> None:
    held = start_long(lutra, 512)
    reached = '{reason="share_reached"}'
    before = lutra.samples("lutra_admission_rejected_total")[reached]
    answers: list[httpx.Response] = []

    def post(seed: int) -> None:
        url = f"http://127.0.0.1:{lutra.port}/upscale?scale=2&model=bicubic"
        answers.append(httpx.post(url, content=as_file(photo(seed=seed)), timeout=120))

    threads = [threading.Thread(target=post, args=(seed,)) for seed in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = {status: [answer.status_code for answer in answers].count(status) for status in (200, 202, 429)}
    print(counts)
    assert sum(counts.values()) == len(answers) == 50
    assert counts[200] + counts[202] == 15, "an address may hold four fifths of the places"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code != 200)
    lutra.client.delete(f"/jobs/{held}")
    for answer in answers:
        if answer.status_code == 202:
            ends_well(lutra, answer.json()["id"])
    assert set(lutra.samples("lutra_queue_depth").values()) == {0.0}
    assert lutra.samples("lutra_admission_rejected_total")[reached] - before == counts[429]


def test_a_computation_that_kills_every_worker_fails_instead_of_coming_back_for_ever(lutra: Lutra) -> None:
    job = start_long(lutra, 512)
    for attempt in (1, 2):
        wait_until(partial(runs_as, lutra, job, attempt), 60, "the job runs")
        wait_until(lambda: len(lutra.children()) >= 1, 60, "a child lives")
        for child in lutra.children():
            if Path(f"/proc/{child}").exists():
                os.kill(child, signal.SIGKILL)
    wait_until(lambda: job_json(lutra, job)["state"] == "failed", 60, "the job fails")
    assert job_json(lutra, job)["error"]["type"] == "urn:lutra:problem:worker-lost"  # type: ignore[index]
    wait_until(lutra.ready, 60, "the service is ready again")
    assert lutra.post("/upscale?scale=2&model=nearest", long_photo(32)).status_code == 200


def runs_as(lutra: Lutra, job: str, attempt: int) -> bool:
    now = job_json(lutra, job)
    return (now["state"], now["attempts"]) == ("running", attempt)


def test_a_redis_that_stands_still_is_reported_at_once_and_all_goes_on_after_it(lutra: Lutra) -> None:
    (redis,) = lutra.pids(embedded.find_server().name)
    job = start_long(lutra)
    os.kill(redis, signal.SIGSTOP)
    try:
        time.sleep(0.2)
        assert lutra.client.get("/livez").status_code == 200
        answers: list[httpx.Response] = []
        path = f"http://127.0.0.1:{lutra.port}/upscale?scale=2&model=nearest"

        def post() -> None:
            answers.append(httpx.post(path, content=long_photo(32), timeout=60))

        threads = [threading.Thread(target=post) for _ in range(40)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert lutra.client.get("/livez").status_code == 200
        assert len(answers) < len(threads), "answered while others wait for Redis"
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {503}
        assert all("retry-after" in answer.headers for answer in answers)
        assert lutra.client.get("/readyz").status_code == 503
        time.sleep(4)
    finally:
        os.kill(redis, signal.SIGCONT)
    wait_until(lutra.ready, 30, "the service is ready again")
    ends_well(lutra, job)
    assert lutra.post("/upscale?scale=2&model=nearest", long_photo(32)).status_code == 200


def test_a_redis_that_dies_is_restarted_and_the_service_goes_on(lutra: Lutra) -> None:
    (redis,) = lutra.pids(embedded.find_server().name)
    os.kill(redis, signal.SIGKILL)
    wait_until(
        lambda: redis not in lutra.pids(embedded.find_server().name) and lutra.ready(), 60, "the service is ready again"
    )
    assert lutra.post("/upscale?scale=2&model=nearest", long_photo(32)).status_code == 200


def test_a_gateway_that_dies_is_restarted_and_its_jobs_are_still_there(lutra: Lutra) -> None:
    job = start_long(lutra)
    (gateway,) = lutra.pids("service.cli", "gateway")
    os.kill(gateway, signal.SIGKILL)
    wait_until(lutra.ready, 30, "the service is ready again")
    ends_well(lutra, job)


def test_the_supervisor_killed_leaves_no_orphan(tmp_path: Path) -> None:
    with running_lutra(tmp_path) as lutra:
        below = descendants(lutra.process.pid)
        assert len(below) >= 4
        lutra.process.kill()
        wait_until(lambda: not any(alive(pid) for pid in below), 60, "all children are gone")


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "LUTRA_PORT": str(port), "LUTRA_DATA_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", "up"], env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_that_runs_while_the_service_is_asked_to_stop_is_finished_first(tmp_path: Path) -> None:
    with running_lutra(tmp_path, LUTRA_SYNC_WAIT_SECONDS="60") as lutra:
        answers: list[int] = []

        def post() -> None:
            url = f"http://127.0.0.1:{lutra.port}{LONG}"
            answers.append(httpx.post(url, content=long_photo(96), timeout=120).status_code)

        thread = threading.Thread(target=post)
        thread.start()
        wait_until(
            lambda: lutra.samples("lutra_jobs_in_progress").get('{operation="upscale"}') == 1, 30, "the job runs"
        )
        lutra.process.terminate()
        thread.join()
        assert answers == [200]
        wait_until(lambda: lutra.process.poll() is not None, 20, "the service ends with its last job")


def test_a_hundred_jobs_over_two_children_are_counted_as_a_hundred(tmp_path: Path) -> None:
    with running_lutra(tmp_path, LUTRA_WORKER_CONCURRENCY="2", LUTRA_EXPRESS_SECONDS="0") as lutra:
        wait_until(lambda: len(lutra.children()) == 2, 60, "both children live")

        def post(seeds: range) -> None:
            with httpx.Client(base_url=f"http://127.0.0.1:{lutra.port}", timeout=60) as client:
                for seed in seeds:
                    answer = client.post("/upscale?scale=2&model=bilinear", content=as_file(photo(seed=seed)))
                    assert answer.status_code == 200

        threads = [threading.Thread(target=post, args=(range(first, first + 25),)) for first in range(0, 100, 25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        key = '{model="bilinear",operation="upscale",outcome="succeeded"}'
        assert lutra.samples("lutra_jobs_finished_total")[key] == 100
        assert lutra.samples("lutra_jobs_submitted_total")['{operation="upscale"}'] == 100


def test_an_event_stream_does_not_hold_the_gateway_when_it_is_asked_to_stop(lutra: Lutra) -> None:
    job = start_long(lutra, 512)
    ended = threading.Event()

    def follow() -> None:
        httpx.get(f"http://127.0.0.1:{lutra.port}/jobs/{job}/events", timeout=120)
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    time.sleep(1)
    lutra.client.delete(f"/jobs/{job}")
    (gateway,) = lutra.pids("service.cli", "gateway")
    os.kill(gateway, signal.SIGTERM)
    assert ended.wait(15)
    wait_until(lambda: not alive(gateway), 60, "the gateway has ended")


def test_a_client_that_waits_while_redis_loses_its_data_is_asked_to_come_again(lutra: Lutra) -> None:
    answers: list[httpx.Response] = []

    def post() -> None:
        url = f"http://127.0.0.1:{lutra.port}{LONG}"
        answers.append(httpx.post(url, content=long_photo(512), timeout=120, headers={"Prefer": "wait=100"}))

    thread = threading.Thread(target=post)
    thread.start()
    wait_until(lambda: lutra.samples("lutra_jobs_in_progress").get('{operation="upscale"}') == 1, 30, "the job runs")
    (redis,) = lutra.pids(embedded.find_server().name)
    os.kill(redis, signal.SIGKILL)
    thread.join(60)
    assert [answer.status_code for answer in answers] == [503]
    assert "retry-after" in answers[0].headers
    wait_until(lutra.ready, 60, "the service is ready again")
