"""An upgrade, or its undoing: records of other versions of the service are finished, or answered with a problem."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import httpx
import pytest

from tests.living import as_file, hash_of, opened, photo
from tests.service.gateway import running_gateway
from workers.engine.engine import Engine
from workers.errors import RecordUnreadable
from workers.jobs.job import new_id
from workers.jobs.records import READABLE_VERSIONS, RECORD_VERSION
from workers.jobs.store import Store
from workers.jobs.store_base import flat_pairs
from workers.runner import Runner

Fields = dict[str, str | int | float]

DATA = as_file(photo(48, 64), "PNG")


def record_of_version_1(created_at: float) -> Fields:
    """A queued computation as it lay in Redis before records named their version."""
    return {
        "key": "c57b8b989e55caa51e8760f21b8f0f1b3748513553c02e924b10d2d11758d65a",
        "operation": "upscale",
        "model": "bicubic",
        "parameters": '{"scale": "2", "height": 96, "width": 128, "effort": "best", "quality": null, '
        '"metadata": "keep", "format": "png", "lossless": false}',
        "input": json.dumps({"format": "png", "width": 64, "height": 48, "bytes": len(DATA)}),
        "input_chunks": 1,
        "estimate_s": 0.25,
        "request_id": "r1",
        "state": "queued",
        "attempt": 0,
        "losses": 0,
        "created_at": f"{created_at:.6f}",
        "sent_at": f"{created_at:.6f}",
    }


def written(store: Store, **changed: str | int | float) -> tuple[str, str]:
    """A queued job and its computation, by id, written key by key; `changed` are fields of the computation's record."""
    job, computation, now = new_id(), new_id(), time.time()
    store.client.hset(f"lutra:comp:{computation}", items=flat_pairs({**record_of_version_1(now), **changed}))
    store.client.sadd(f"lutra:comp:{computation}:jobs", job)
    facts = {"detached": "1", "request_id": "r1", "computation": computation, "created_at": f"{now:.6f}"}
    store.client.hset(f"lutra:job:{job}", items=flat_pairs(facts))
    store.client.set(f"lutra:in:{computation}:0", DATA)
    store.client.xadd(f"lutra:events:{job}", {"kind": "state", "data": '{"state":"queued"}'})
    store.client.set(f"lutra:gone:{job}", "1")
    store.client.zadd("lutra:active", {computation: 1e13})
    store.client.zadd("lutra:queued", {computation: now})
    return job, computation


@pytest.fixture
def runner(store: Store) -> Runner:
    return Runner(store, Engine(device="cpu"), owner="test:1", job_timeout_s=60, max_pixels=1_000_000)


def test_a_record_names_the_version_it_is_written_in() -> None:
    assert str(RECORD_VERSION) == READABLE_VERSIONS[-1]


def test_a_job_queued_by_the_version_before_is_computed(store: Store, runner: Runner) -> None:
    job, computation = written(store)
    assert (store.status(job).state, store.status(job).parameters["height"]) == ("queued", 96)
    runner.run(computation)
    status = store.status(job)
    assert status.state == "succeeded", status.error
    assert opened(b"".join(store.read_result(status))).size == (128, 96)
    runner.close()


def test_a_job_that_a_worker_of_the_version_before_left_is_computed(store: Store, runner: Runner) -> None:
    now = time.time()
    running: Fields = {
        "state": "running",
        "attempt": 1,
        "owner": "old:1",
        "claim": "cbb51ca25598d005",
        "done": 1,
        "total": 4,
    }
    job, computation = written(store, **running, started_at=now, deadline=now + 900)
    store.client.zrem("lutra:queued", computation)
    store.client.zadd("lutra:running", {computation: now - 1})
    lost = RecordUnreadable("not reached")
    reclaimed = store.reclaim(computation, "old:1", lost, lost)
    assert reclaimed is not None and reclaimed.state == "queued"
    runner.run(computation)
    assert (store.status(job).state, store.status(job).attempts) == ("succeeded", 2)
    runner.close()


def test_a_result_of_the_version_before_is_delivered(store: Store) -> None:
    output = {"format": "png", "width": 128, "height": 96, "pixels": 12288, "media_type": "image/png"}
    output |= {"bytes": 6, "etag": hashlib.sha256(b"better").hexdigest()}
    ended: Fields = {"state": "succeeded", "attempt": 1, "done": 1, "total": 1, "result_attempt": 1, "result_chunks": 1}
    timings = '{"queue": 0.1, "infer": 0.2}'
    job, computation = written(
        store, **ended, output=json.dumps(output), timings_s=timings, finished_at=time.time(), started_at=time.time()
    )
    store.client.set(f"lutra:out:{computation}:1:0", b"better")
    status = store.status(job)
    assert (status.output, status.timings_s["infer"], status.progress) == (output, 0.2, 1.0)
    assert b"".join(store.read_result(status)) == b"better"
    assert store.cancel(job) == "removed"


CHANGES: list[Fields] = [{"version": 99}, {"version": "2b"}, {"version": 99, "parameters": "\x00", "input": ""}]


@pytest.mark.parametrize("changed", CHANGES, ids=["newer", "no number", "newer, of another form"])
def test_a_record_of_an_unknown_version_is_a_problem_to_readers_and_to_its_worker(
    store: Store, runner: Runner, changed: Fields
) -> None:
    job, computation = written(store, **changed)
    sentence = f"recorded by another version of this service .record version {changed['version']}, known here: 1, 2"
    with pytest.raises(RecordUnreadable, match=sentence) as refusal:
        store.status(job)
    assert refusal.value.retryable
    runner.run(computation)
    record = hash_of(store, f"lutra:comp:{computation}")
    assert record[b"state"] == b"failed"
    error = json.loads(record[b"error"])
    assert (error["code"], error["retryable"], error["detail"]) == ("record_unreadable", True, refusal.value.message)
    assert [event.kind for event in store.events(job)][-1] == "end"
    assert store.queue().active == 0 and not store.client.keys("lutra:in:*")
    runner.close()


def test_a_gateway_serves_the_jobs_of_the_version_before_and_has_a_problem_for_others(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    old, new = written(store)[0], written(store, version=99)[0]
    with running_gateway(tmp_path, LUTRA_REDIS_URL=redis_url) as gateway, httpx.Client(base_url=gateway.url) as client:
        assert client.get(f"/jobs/{old}").json()["state"] == "queued"
        assert client.delete(f"/jobs/{old}").json()["state"] == "cancelled"
        paths = [f"/jobs/{new}{below}" for below in ("", "/result", "/events")]
        answers = [*map(client.get, paths), client.delete(paths[0])]
        log = gateway.log.read_text()
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["type"] for answer in answers} == {"urn:lutra:problem:record-unreadable"}
    assert all("record version 99" in answer.json()["detail"] and "retry-after" in answer.headers for answer in answers)
    assert "Traceback" not in log and "traceback" not in log


@pytest.mark.parametrize("name", ["parameters", "input", "input_chunks"])
def test_a_record_that_lacks_what_every_known_version_has_ends_as_a_problem_too(
    store: Store, runner: Runner, name: str
) -> None:
    _, computation = written(store)
    store.client.hdel(f"lutra:comp:{computation}", name)
    runner.run(computation)
    record = hash_of(store, f"lutra:comp:{computation}")
    assert (record[b"state"], json.loads(record[b"error"])["code"]) == (b"failed", "record_unreadable")
    runner.close()


UNKNOWN: list[Fields] = [
    {"operation": "mirror"},
    {"parameters": '{"height": 96, "width": 128, "effort": "best", "format": "png", "added_later": 1}'},
    {"parameters": '{"height": "not a number", "width": 128, "effort": "best", "format": "png"}'},
]


@pytest.mark.parametrize("changed", UNKNOWN, ids=["operation", "parameter", "value"])
def test_a_record_that_asks_for_what_is_not_known_here_is_a_problem_that_says_so(
    store: Store, runner: Runner, changed: Fields
) -> None:
    job, computation = written(store, **changed, version=RECORD_VERSION)
    runner.run(computation)
    status = store.status(job)
    assert (status.state, (status.error or {})["code"]) == ("failed", "record_unreadable")
    runner.close()


def test_a_worker_goes_on_after_a_record_it_cannot_read(store: Store, runner: Runner) -> None:
    _, unreadable = written(store, version=99)
    job, computation = written(store, version=RECORD_VERSION)
    runner.run(unreadable)
    runner.run(computation)
    assert store.status(job).state == "succeeded"
    runner.close()
