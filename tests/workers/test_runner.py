"""The runner with a real engine, store and files: from a claim to every kind of end."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from models.cube import read_cube
from tests.living import as_file, opened, photo
from workers import runner as runner_module
from workers.engine import Engine
from workers.errors import JobCancelled, JobTimeout, StoreUnavailable
from workers.job import Computation, Job, PictureFacts, new_id
from workers.records import Claim
from workers.runner import LeaseLost, Runner, Watch
from workers.store import Store


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = Engine(device="cpu")
    engine.load("bicubic")
    return engine


@pytest.fixture
def runner(store: Store, engine: Engine) -> Runner:
    return Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000)


def put(store: Store, data: bytes, width: int = 64, height: int = 48, model: str = "bicubic", **changed: Any) -> Job:
    parameters = {
        "height": 2 * height,
        "width": 2 * width,
        "effort": "best",
        "format": "png",
        "quality": None,
    } | changed
    facts = PictureFacts("jpeg", width, height, len(data))
    computation = Computation(new_id(), "key", "upscale", model, {"metadata": "keep", **parameters}, facts)
    job = Job(new_id(), computation)
    store.put(job, data, result_bytes=0)
    return job


def test_a_picture_comes_back_in_the_size_and_format_that_were_asked(store: Store, runner: Runner) -> None:
    job = put(store, as_file(photo()), format="webp")
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


def test_our_own_fault_is_internal_and_tells_nothing(store: Store, runner: Runner) -> None:
    job = put(store, as_file(photo()), height="not a number")
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


def test_the_tick_stops_a_cancelled_a_late_and_a_lost_computation(store: Store) -> None:
    cancelled, late, lost = (put(store, b"x") for _ in range(3))
    claims = [store.claim(job.computation.id, "test:1", lease_s=30, timeout_s=60) for job in (cancelled, lost)]
    assert claims[0] and claims[1]
    store.cancel(cancelled.id)
    with pytest.raises(JobCancelled), Watch(store, claims[0]) as watch:
        time.sleep(runner_module.TELL_EVERY_S)
        watch.tick(1, 2)
    store.client.hincrby(f"lutra:comp:{lost.computation.id}", "attempt", 1)
    with pytest.raises(LeaseLost), Watch(store, claims[1]) as watch:
        time.sleep(runner_module.TELL_EVERY_S)
        watch.tick(1, 2)
    overdue = store.claim(late.computation.id, "test:1", lease_s=30, timeout_s=0.01)
    assert overdue
    with pytest.raises(JobTimeout), Watch(store, overdue) as watch:
        time.sleep(0.02)
        watch.tick(1, 2)


def test_the_lease_is_renewed_while_a_computation_takes_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "RENEW_S", 0.05)
    monkeypatch.setattr(runner_module, "LEASE_S", 0.5)
    job = put(store, b"x")
    taken = store.claim(job.computation.id, "test:1", lease_s=0.5, timeout_s=60)
    assert taken
    with Watch(store, taken):
        time.sleep(1.0)
        assert store.reclaim(job.computation.id, "", JobTimeout(""), JobTimeout("")).verdict == "kept"


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
    assert store.seconds_per_megapixel("lut")
    assert not store.client.keys("lutra:in:*")
