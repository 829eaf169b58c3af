"""The runner with a real engine, store and files: from a claim to every kind of end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from models.cards import BY_NAME
from models.cube import read_cube
from tests.living import as_file, opened, pass_time, photo, wait_until
from workers.engine.engine import Engine
from workers.errors import JobCancelled, JobTimeout, StoreFull, StoreUnavailable
from workers.jobs import lease as lease_module
from workers.jobs.job import Computation, Job, PictureFacts, new_id
from workers.jobs.lease import Lease, LeaseLost
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.operations.speeds import key_of
from workers.operations.upscale import Upscale
from workers.pictures import decoder as decoder_module
from workers.pictures.picture import Picture
from workers.runner import Runner


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = Engine(device="cpu")
    engine.load("bicubic")
    return engine


@pytest.fixture
def runner(store: Store, engine: Engine) -> Runner:
    return Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000)


def put(
    store: Store,
    data: bytes,
    width: int = 64,
    height: int = 48,
    model: str = "bicubic",
    scale: int = 2,
    changed: Mapping[str, Any] | None = None,
) -> Job:
    parameters: dict[str, Any] = {
        "metadata": "keep",
        "height": scale * height,
        "width": scale * width,
        "effort": "best",
        "format": "png",
        "quality": None,
        **(changed or {}),
    }
    facts = PictureFacts("jpeg", width, height, len(data))
    computation = Computation(new_id(), "key", "upscale", model, parameters, facts)
    job = Job(new_id(), computation)
    store.put(job, data, result_bytes=0)
    return job


def test_a_picture_comes_back_in_the_size_and_format_that_were_asked(store: Store, runner: Runner) -> None:
    job = put(store, as_file(photo()), changed={"format": "webp"})
    runner.run(job.computation.id)
    status = store.status(job.id)
    assert status.state == "succeeded", status.error
    picture = opened(b"".join(store.read_result(status)))
    assert (picture.format, picture.size) == ("WEBP", (128, 96))
    assert status.output["etag"] and status.output["media_type"] == "image/webp"  # type: ignore[index]
    assert set(status.timings_s) == {"queue", "decode", "infer", "encode"}


def test_a_corrupt_picture_fails_with_its_problem_and_the_next_job_is_fine(store: Store, runner: Runner) -> None:
    bad, good = put(store, as_file(photo())[:-700]), put(store, as_file(photo()))
    runner.run(bad.computation.id)
    runner.run(good.computation.id)
    assert store.status(bad.id).error["code"] == "corrupt_picture"  # type: ignore[index]
    assert store.status(good.id).state == "succeeded"


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_decoder_that_never_ends_is_ended_by_cancel_and_by_the_deadline(
    store: Store, engine: Engine, cancelled: bool
) -> None:
    """It stands still, as C code does that heeds nobody; the child goes on to the next job."""
    runner = Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000)
    warm, stuck, after = (put(store, as_file(photo(seed=i))) for i in range(3))
    runner.run(warm.computation.id)
    os.kill(runner._decoder.pid, signal.SIGSTOP)
    runner._job_timeout_s = 60 if cancelled else 1
    asked = threading.Timer(0.5, store.cancel, (stuck.id,))
    if cancelled:
        asked.start()
    runner.run(stuck.computation.id)
    asked.cancel()
    status = store.status(stuck.id)
    assert status.state == ("cancelled" if cancelled else "failed")
    assert cancelled or status.error["code"] == "job_timeout"  # type: ignore[index]
    runner._job_timeout_s = 60
    runner.run(after.computation.id)
    assert store.status(after.id).state == "succeeded"
    runner.close()


def test_a_picture_that_takes_too_long_is_a_problem_that_says_so(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second try: it would only hold the next worker."""
    warm, slow, good = (put(store, as_file(photo(seed=i))) for i in range(3))
    runner.run(warm.computation.id)
    os.kill(runner._decoder.pid, signal.SIGSTOP)
    monkeypatch.setattr(decoder_module, "WALL_FACTOR", 0.0)
    monkeypatch.setattr(decoder_module, "WALL_EXTRA_S", 0.2)
    runner.run(slow.computation.id)
    monkeypatch.undo()
    status = store.status(slow.id)
    assert (status.state, status.error["code"], status.attempts) == ("failed", "costly_picture", 1)  # type: ignore[index]
    runner.run(good.computation.id)
    assert store.status(good.id).state == "succeeded"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells how much is taken already")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_picture_for_which_there_is_no_memory_says_so_and_the_next_job_is_fine(
    store: Store, engine: Engine, kind: str
) -> None:
    width, height = 20_000, 5_000
    large = put(store, as_file(np.zeros((height, width, 3), np.uint8), kind), width, height, changed={"format": "jpeg"})
    small = put(store, as_file(photo()))
    runner = Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=width * height)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + 128 * 1024**2, before[1]))
    try:
        runner.run(large.computation.id)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    runner.run(small.computation.id)
    assert store.status(large.id).error["code"] == "out_of_memory"  # type: ignore[index]
    assert store.status(small.id).state == "succeeded"


class Faulty(Upscale):
    def run(self, *_: object) -> Picture:
        raise ZeroDivisionError("a secret")


def test_our_own_fault_is_internal_and_reveals_nothing(store: Store, engine: Engine) -> None:
    operations = {"upscale": Faulty()}
    runner = Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000, operations=operations)
    job = put(store, as_file(photo()))
    runner.run(job.computation.id)
    error = store.status(job.id).error
    assert error is not None
    assert (error["code"], error["detail"]) == ("internal", "something went wrong on our side")


def test_a_message_for_an_ended_computation_is_dropped(store: Store, runner: Runner) -> None:
    job = put(store, as_file(photo()))
    runner.run(job.computation.id)
    before = store.status(job.id)
    runner.run(job.computation.id)
    runner.run("never")
    assert store.status(job.id) == before


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


def test_a_store_that_hangs_at_the_end_is_waited_for(store: Store, runner: Runner) -> None:
    job = put(store, as_file(photo()))
    thread = threading.Thread(target=runner.run, args=(job.computation.id,))
    store.client.client_pause(1500, all=True)
    thread.start()
    thread.join(20)
    assert store.status(job.id).state == "succeeded"


def test_a_store_that_hangs_before_the_picture_is_read_is_waited_for(
    store: Store, redis_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than a reading waits: that fails, and the job does not."""
    impatient = Store.at(redis_url, timeout_s=0.3)
    runner = Runner(impatient, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000)
    job, claim = put(store, as_file(photo())), impatient.claim
    failed: list[Exception] = []
    read = impatient.read_input

    def claim_and_hang(*given: Any, **named: Any) -> Claim | None:
        taken = claim(*given, **named)
        store.client.client_pause(1500, all=True)
        return taken

    def read_input(taken: Claim) -> bytes:
        try:
            return read(taken)
        except StoreUnavailable as error:
            failed.append(error)
            raise

    monkeypatch.setattr(impatient, "claim", claim_and_hang)
    monkeypatch.setattr(impatient, "read_input", read_input)
    runner.run(job.computation.id)
    impatient.close()
    assert failed
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


def test_an_enhanced_picture_and_its_table_come_out_of_the_same_job_kind(store: Store) -> None:
    engine = Engine(device="cpu")
    runner = Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000)
    data = as_file(photo())
    for format_out, first in (("jpeg", b"\xff\xd8"), ("cube", b"")):
        facts = PictureFacts("jpeg", 64, 48, len(data))
        wanted = {"strength": 1.0, "format": format_out, "quality": None, "metadata": "keep"}
        job = Job(new_id(), Computation(new_id(), "key", "enhance", "lut3d", wanted, facts))
        store.put(job, data, result_bytes=0)
        runner.run(job.computation.id)
        status = store.status(job.id)
        assert status.state == "succeeded", status.error
        result = b"".join(store.read_result(status))
        assert result.startswith(first)
    assert "LUT_3D_SIZE 33" in result.decode()


def test_a_photo_teaches_what_its_model_costs(store: Store, runner: Runner) -> None:
    runner.run(put(store, as_file(photo(300, 400)), 400, 300).computation.id)
    assert set(store.rates()) == {key_of(BY_NAME["bicubic"])}


def test_jobs_that_say_nothing_of_their_model_teach_nothing(store: Store, runner: Runner) -> None:
    thin = as_file(photo(8, 9000), "PNG")
    deep = cv2.imencode(".png", photo(300, 400).astype(np.uint16) * 257)[1].tobytes()
    plain = as_file(photo(300, 400), "PNG")
    jobs = [
        put(store, thin, 9000, 8),
        put(store, deep, 400, 300),
        put(store, plain, 400, 300, scale=1),  # has its size already
        put(store, as_file(photo()), 64, 48),
    ]
    for job in jobs:
        runner.run(job.computation.id)
        assert store.status(job.id).state == "succeeded", store.status(job.id).error
    assert store.rates() == {}


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


def test_a_lease_notices_that_its_process_was_stopped(store: Store) -> None:
    """In a process of its own, which is stopped and goes on; beside one that only works."""
    program = """
import sys, time
from tests.workers.test_runner import was_stopped_during
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


def test_a_table_of_the_user_is_applied_and_its_cost_is_learnt(store: Store, runner: Runner) -> None:
    cube = read_cube(b"LUT_1D_SIZE 2\n1 1 1\n0 0 0\n")
    pixels = photo(400, 300)
    data = as_file(pixels, "PNG")
    wanted = {"strength": 1.0, "format": "png", "quality": None, "metadata": "keep", "lut": cube.facts()}
    facts = PictureFacts("png", 300, 400, len(data))
    job = Job(new_id(), Computation(new_id(), "key", "enhance", "lut", wanted, facts))
    store.put(job, data, result_bytes=0, table=cube.numbers)
    runner.run(job.computation.id)
    status = store.status(job.id)
    assert status.state == "succeeded", status.error
    assert np.array_equal(np.asarray(opened(b"".join(store.read_result(status)))), 255 - pixels)
    assert set(store.rates()) == {key_of(BY_NAME["lut"])}
    assert not store.client.keys("lutra:in:*")
