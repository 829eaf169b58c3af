"""The runner with a real engine, store and files: from a claim to every kind of end."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.cards import BY_NAME
from models.cube import read_cube
from tests.living import as_file, opened, photo
from tests.workers.running import put
from workers.engine.engine import Engine
from workers.errors import StoreUnavailable
from workers.jobs.job import Computation, Job, PictureFacts, new_id
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.operations import speeds
from workers.operations.speeds import Speed, key_of
from workers.operations.upscale import Upscale
from workers.pictures import decoder as decoder_module
from workers.pictures.picture import Picture
from workers.runner import Runner


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

    monkeypatch.setattr("workers.jobs.store_execution.CARRIED_BYTES", 0)  # as of a large picture
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
        job = Job(new_id(), Computation(new_id(), new_id(), "enhance", "lut3d", wanted, facts))
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


def test_a_store_that_does_not_tell_the_speeds_fails_no_job(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered() -> dict[str, str]:
        raise StoreUnavailable("the job store does not answer")

    monkeypatch.setattr(store, "rates", unanswered)
    job = put(store, as_file(photo()))
    runner.run(job.computation.id)
    assert store.status(job.id).state == "succeeded"


@pytest.mark.parametrize(("every_s", "taught"), [(3600.0, 1), (0.0, 3)])
def test_of_many_short_jobs_in_a_row_few_teach(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch, every_s: float, taught: int
) -> None:
    monkeypatch.setattr("workers.runner.LEARN_EVERY_S", every_s)
    for _ in range(3):
        runner.run(put(store, as_file(photo(300, 400)), 400, 300).computation.id)
    (stored,) = store.rates().values()
    speed = Speed.of(stored)
    assert speed is not None and len(speed.seen) == taught


def test_a_small_picture_teaches_where_a_model_is_slower_than_was_known(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speeds, "LEAST_S", 0.0)  # this one is short
    monkeypatch.setattr("workers.runner.LEARN_EVERY_S", 0.0)
    key, now = key_of(BY_NAME["bicubic"]), time.time()

    def learnt(known: float) -> float:
        store.keep_rate(key, Speed(known, now, ((now, known),)).to_json())
        runner.run(put(store, as_file(photo())).computation.id)
        speed = Speed.of(store.rates()[key])
        assert speed is not None
        return speed.s_per_mp

    assert learnt(1e-6) == pytest.approx(2e-6, rel=0.1)
    assert learnt(1e6) == pytest.approx(5e5, rel=0.1)


def test_jobs_that_say_nothing_of_their_model_teach_nothing(
    store: Store, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speeds, "LEAST_S", 60.0)  # however busy this machine is, they are short
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


def test_a_table_of_the_user_is_applied_and_its_cost_is_learnt(store: Store, runner: Runner) -> None:
    cube = read_cube(b"LUT_1D_SIZE 2\n1 1 1\n0 0 0\n")
    pixels = photo(400, 300)
    data = as_file(pixels, "PNG")
    wanted = {"strength": 1.0, "format": "png", "quality": None, "metadata": "keep", "lut": cube.facts()}
    facts = PictureFacts("png", 300, 400, len(data))
    job = Job(new_id(), Computation(new_id(), new_id(), "enhance", "lut", wanted, facts))
    store.put(job, data, result_bytes=0, table=cube.numbers)
    runner.run(job.computation.id)
    status = store.status(job.id)
    assert status.state == "succeeded", status.error
    assert np.array_equal(np.asarray(opened(b"".join(store.read_result(status)))), 255 - pixels)
    assert set(store.rates()) == {key_of(BY_NAME["lut"])}
    assert not store.client.keys("lutra:in:*")
