"""A worker child, started in this process on a real store: what it loads and reports, and one that cannot load."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from tests.living import as_file, hash_of, opened, photo
from tests.workers.running import put
from tests.workers.stored import messages, queued_ids
from workers import devices
from workers.child import (
    Child,
    bulk_children,
    express_children,
    facts_file,
    lane_of_child,
    load_child,
    make_engine,
    report_facts,
    reported_facts,
    store_limits,
)
from workers.jobs import place
from workers.jobs.celery_app import message
from workers.jobs.job import Lane
from workers.jobs.lanes import QUEUES
from workers.jobs.store import Store
from workers.liveness import Pulses
from workers.settings import Settings, read_settings

pytestmark = pytest.mark.usefixtures("one_thread")

PARENT = 12


@pytest.fixture(autouse=True)
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder in which children and their parent meet."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))


def settings(**more: object) -> Settings:
    return read_settings(device="cpu", models=("bicubic", "nearest"), **more)


@pytest.fixture
def child(make_store: Callable[..., Store], redis_url: str) -> Iterator[Child]:
    make_store()
    made = load_child(settings(result_ttl_seconds=77), redis_url, PARENT, Pulses(1))
    yield made
    made.close()


def test_a_child_reports_what_it_has_loaded_to_its_parent_and_to_the_store(
    child: Child, make_store: Callable[..., Store]
) -> None:
    facts = reported_facts(os.getpid())
    assert facts is not None
    assert (facts["device"], set(facts["models"]), facts["lane"]) == ("cpu", {"bicubic", "nearest"}, "bulk")
    store = Store(child._store.client)
    assert store.children() == {place.name_of(PARENT, os.getpid()): facts}
    assert store.client.zscore("lutra:served", place.this_place()) is not None
    for model in ("bicubic", "nearest"):
        assert REGISTRY.get_sample_value("lutra_model_loaded", {"model": model}) == 1


def test_it_brings_computations_to_their_end_under_the_limits_of_its_settings(child: Child) -> None:
    store = Store(child._store.client)
    job = put(store, as_file(photo()))
    child.run(job.computation.id)
    status = store.status(job.id)
    assert status.state == "succeeded", status.error
    assert opened(b"".join(store.read_result(status))).size == (128, 96)
    assert hash_of(store, f"lutra:comp:{job.computation.id}")[b"owner"].decode() == place.name_of(PARENT, os.getpid())
    assert 70 < store.client.ttl(f"lutra:job:{job.id}") <= 77
    assert not child._pulses.is_at_work(child._index)


def lined_up(child: Child, lane: Lane, count: int) -> Store:
    """So many jobs of a lane in the child's store, each with its message, of which the child is given the first."""
    store = Store(child._store.client)
    for _ in range(count):
        put(store, as_file(photo()), lane=lane, message=message(lane))
    store.client.rpop(QUEUES[lane])
    return store


@pytest.mark.parametrize("lane", Lane)
def test_one_message_serves_for_all_that_wait_in_its_lane_and_takes_their_messages(
    child: Child, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.child.GO_ON_S", 3600.0)
    store = lined_up(child, lane, 3)
    other = put(store, as_file(photo()), lane=next(one for one in Lane if one is not lane))
    child.run(lane)
    assert queued_ids(store) == {other.computation.id}
    assert messages(store, lane) == 0


def test_it_goes_on_for_a_while_alone_and_leaves_the_rest_to_their_messages(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.child.GO_ON_S", 0.0)
    store = lined_up(child, Lane.EXPRESS, 3)
    child.run(Lane.EXPRESS)
    assert (len(queued_ids(store)), messages(store, Lane.EXPRESS)) == (2, 2)


def test_it_begins_no_other_job_where_its_worker_stops(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.child.GO_ON_S", 3600.0)
    store = lined_up(child, Lane.EXPRESS, 2)
    child._pulses.stop()
    child.run(Lane.EXPRESS)
    assert (len(queued_ids(store)), messages(store, Lane.EXPRESS)) == (1, 1)


def test_facts_are_there_once_they_are_whole_and_never_by_half() -> None:
    assert reported_facts(os.getpid()) is None
    facts_file(os.getpid()).with_suffix(".new").write_text('{"device": ')
    assert reported_facts(os.getpid()) is None
    for facts in ({"device": "cpu"}, {"device": "cuda:0", "models": {"liif": {"sha256": "0"}}}):
        report_facts(facts)
        assert reported_facts(os.getpid()) == facts
    assert [path.name for path in facts_file(os.getpid()).parent.iterdir()] == [f"child-{os.getpid()}.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_bulk_jobs_stand_back_and_express_jobs_do_not(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen: dict[str, int] = {}
    monkeypatch.setattr(child._runner, "run", lambda wanted, _: seen.update({wanted: nice()}))
    before = nice()
    for wanted in (Lane.EXPRESS, Lane.BULK, "0123"):
        child.run(wanted)
    assert seen == {"express": before, "bulk": devices.NICE, "0123": devices.NICE}
    assert nice() == before


def test_what_goes_wrong_in_a_bulk_job_reaches_celery(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(wanted: str, _: object) -> None:
        raise ZeroDivisionError(wanted)

    monkeypatch.setattr(child._runner, "run", fail)
    for lane in Lane:
        with pytest.raises(ZeroDivisionError, match=lane):
            child.run(lane)


def test_one_child_more_than_for_bulk_jobs_counts_for_express_jobs() -> None:
    counted = [lane_of_child(settings(worker_concurrency=2), index) for index in range(3)]
    assert counted == [Lane.BULK, Lane.BULK, Lane.EXPRESS]
    assert bulk_children(settings(worker_concurrency=2)) == 2
    assert bulk_children(settings()) == devices.default_concurrency("cpu")


def test_as_many_children_are_kept_for_express_jobs_as_are_asked_for_or_the_device_wants() -> None:
    assert express_children(settings(express_concurrency=7)) == 7
    assert express_children(settings()) == devices.default_express_concurrency("cpu")


def test_children_share_the_cores() -> None:
    for children in (1, 2, 10_000):
        facts = make_engine(settings(worker_concurrency=children), 0).facts()
        assert facts["threads"] == max(1, devices.usable_cores() // children)


def test_the_store_s_limits_are_those_of_the_settings() -> None:
    limits = store_limits(settings(queue_size=3, store_bytes=10**6, result_ttl_seconds=5))
    assert (limits.queue_size, limits.store_bytes, limits.result_ttl_s) == (3, 10**6, 5)


def test_a_process_that_has_not_loaded_is_no_child() -> None:
    with pytest.raises(RuntimeError, match="has not loaded"):
        Child.current()


CANNOT_LOAD = """
import sys
from workers import child, log
from workers.liveness import Pulses
from workers.settings import read_settings
child.RELOAD_PAUSE_S = 0.0
settings = read_settings(models=("nearest",), device="cpu")
log.configure("info", as_text=False)
child.Child.start(settings, "redis://127.0.0.1:1/0", 12, Pulses(1))
print("it goes on")
"""


def test_one_that_cannot_load_says_why_and_ends_at_once() -> None:
    """Whatever swallows exceptions between it and its end: nothing is left that counts as a child."""
    done = subprocess.run([sys.executable, "-c", CANNOT_LOAD], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "it goes on" not in done.stdout
    assert "a worker child could not load" in done.stderr + done.stdout
    assert "the job store does not answer" in done.stderr + done.stdout
