"""The allotment of a job from the express lane: who leaves that lane when one takes longer than estimated, and when."""

from __future__ import annotations

import time

import pytest

from models.cards import BY_NAME
from tests.living import as_file, photo
from tests.workers.enlarging import Counting
from tests.workers.running import put as put_picture
from tests.workers.stored import messages, put
from workers.engine import memory
from workers.engine.engine import Engine
from workers.errors import JobTimeout, Preempted
from workers.jobs import allotment as allotment_module
from workers.jobs import lease as lease_module
from workers.jobs.allotment import Allotment
from workers.jobs.job import Job, Lane, new_id
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.operations.speeds import SEEN, Speed, key_of
from workers.runner import Runner

BORDER_S = 2.0


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look asks the store."""
    monkeypatch.setattr(allotment_module, "LOOK_EVERY_S", 0.0)


def taken(store: Store, lane: Lane = Lane.EXPRESS) -> Claim:
    """The next of the lane, by a child that holds nothing else."""
    claim = store.claim(lane, f"test:{new_id()}", lease_s=30, timeout_s=60)
    assert claim is not None
    return claim


def begun(store: Store, seconds_ago: float, done: int = 0, total: int = 10, lane: Lane = Lane.EXPRESS) -> Allotment:
    """Of the next job of the lane, which has computed for so long and so many tiles."""
    allotment = Allotment(store, taken(store, lane), BORDER_S)
    allotment.tick(0, total)
    allotment._began_at -= seconds_ago
    allotment.tick(done, total)
    return allotment


def lane_of(store: Store, job: Job) -> str:
    return store.status(job.id).lane


def test_one_job_that_takes_too_long_has_its_like_leave_the_lane_and_others_stay(store: Store) -> None:
    put(store, lane=Lane.EXPRESS, estimate_s=1.0)
    like, small = (put(store, lane=Lane.EXPRESS, estimate_s=seconds) for seconds in (0.9, 0.1))
    other = put(store, lane=Lane.EXPRESS, estimate_s=0.9)
    store.client.hset(f"lutra:comp:{other.computation.id}", "model", "another")
    begun(store, 5.0).look()
    assert [lane_of(store, job) for job in (like, small, other)] == ["bulk", "express", "express"]
    assert store.status(like.id).estimate_s == pytest.approx(4.5, abs=0.4)
    assert messages(store, Lane.BULK) == 1
    assert store.client.zrange("lutra:active:bulk", 0, -1) == [like.computation.id.encode()]
    assert [taken(store).job_id for _ in range(2)] == [small.id, other.id]
    assert taken(store, Lane.BULK).job_id == like.id


def test_whoever_is_within_its_allotment_or_a_bulk_job_moves_nobody(store: Store) -> None:
    for lane, seconds_ago in ((Lane.EXPRESS, 1.0), (Lane.BULK, 100.0)):
        put(store, lane=lane)
        waits = put(store, lane=lane)
        begun(store, seconds_ago, done=1, lane=lane).look()
        assert lane_of(store, waits) == lane
        store.cancel(waits.id)


def test_a_job_gives_way_at_its_next_tile_where_another_waits_and_much_is_left(store: Store) -> None:
    put(store, lane=Lane.EXPRESS, estimate_s=1.0)
    allotment = begun(store, 5.0, done=1)
    allotment.look()
    allotment.tick(2, 10)  # nobody waits
    put(store, lane=Lane.EXPRESS, estimate_s=0.01)
    allotment.look()
    assert allotment.expected_s == pytest.approx(25, abs=2)
    allotment.tick(9, 10)  # what is left of it is express
    allotment.tick(10, 10)
    allotment.tick(0, 10)
    allotment._began_at -= 5.0
    with pytest.raises(Preempted):
        allotment.tick(1, 10)


def test_time_in_which_the_store_was_away_or_the_process_stopped_does_not_count(store: Store) -> None:
    put(store, lane=Lane.EXPRESS)
    waits = put(store, lane=Lane.EXPRESS)
    allotment = begun(store, 100.0, done=3)
    allotment.begin_anew()
    allotment.look()
    assert lane_of(store, waits) == "express"
    assert allotment.expected_s < 2
    nowhere = Store.at("redis://127.0.0.1:1/0")
    away = Allotment(nowhere, taken(store), BORDER_S)
    away.tick(0, 10)
    away._began_at -= 100.0
    away.look()
    assert away.expected_s < 50, "it has begun anew"
    nowhere.close()


def test_a_tile_that_takes_as_long_again_ends_with_its_process_where_another_job_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    job = put(store, lane=Lane.EXPRESS)
    monkeypatch.setattr(allotment_module, "end_process", lambda: ended.append(store.status(job.id).lane))
    allotment = begun(store, 100.0)
    allotment.look()
    assert not ended, "nobody waits"
    put(store, lane=Lane.EXPRESS, estimate_s=0.001)
    allotment.look()
    assert ended == ["bulk"]
    assert (store.status(job.id).state, messages(store, Lane.BULK)) == ("queued", 1)


def test_a_process_goes_on_where_its_job_has_ended_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the question who waits and the answer the last tile may be done, and the next job be claimed."""
    ended: list[str] = []
    put(store, lane=Lane.EXPRESS)
    allotment = begun(store, 100.0)
    put(store, lane=Lane.EXPRESS, estimate_s=0.001)
    monkeypatch.setattr(allotment_module, "end_process", lambda: ended.append("it ended"))
    tell = allotment._tell

    def told_and_done() -> None:
        tell()
        assert store.fail(allotment._claim, JobTimeout("over"), {})

    monkeypatch.setattr(allotment, "_tell", told_and_done)
    allotment.look()
    assert not ended


def test_what_gives_way_teaches_what_it_would_have_taken_before_it_is_queued(store: Store) -> None:
    put(store, lane=Lane.EXPRESS)
    allotment, taught = begun(store, 5.0, done=1), []
    allotment.teach = lambda seconds: taught.append((seconds, store.queue().running))
    allotment.give_back()
    ((seconds, running),) = taught
    assert seconds == pytest.approx(50, abs=5) and running == 1


def test_what_gives_way_waits_in_the_bulk_lane_at_its_place_and_has_lost_nothing(store: Store) -> None:
    job, later = put(store, lane=Lane.EXPRESS), put(store, lane=Lane.BULK)
    claim = taken(store)
    assert store.preempt(claim, 12.0, b"a message") == 1
    assert store.preempt(claim, 12.0, b"a message") == 1, "its answer was lost"
    status = store.status(job.id)
    assert (status.state, status.lane, status.estimate_s, status.attempts) == ("queued", "bulk", 12.0, 1)
    assert messages(store, Lane.BULK) == 1
    assert store.queue(later.computation.id).standing.position == 2
    assert not store.client.exists("lutra:active:express", "lutra:round:express")
    again = taken(store, Lane.BULK)
    assert (again.job_id, again.attempt, again.lane) == (job.id, 2, Lane.BULK)
    assert store.preempt(claim, 12.0, b"") == 0, "another attempt has it"
    store.cancel(job.id)
    assert store.preempt(again, 12.0, b"") == 2
    assert store.status(job.id).state == "running"


def test_a_runner_gives_a_long_job_back_with_its_tiles_and_goes_on_from_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly nothing is allotted: the job gives way at its first tile after the look, and keeps what it has done."""
    monkeypatch.setattr(lease_module, "PULSE_S", 0.001)
    monkeypatch.setattr(lease_module, "STOPPED_S", float("inf"))
    monkeypatch.setattr(allotment_module, "LAST", float("inf"))  # this process is to stay
    engine = Engine(device="cpu", tile="16")
    engine.load("bicubic")
    data, changed = as_file(photo(900, 1200), "PNG"), {"format": "png"}
    job = put_picture(store, data, 1200, 900, lane=Lane.EXPRESS, changed=changed)
    whole = put_picture(store, data, 1200, 900, lane=Lane.BULK, changed=changed)
    put_picture(store, as_file(photo()), model="nearest", lane=Lane.EXPRESS)
    runner = Runner(store, engine, owner="test:1", job_timeout_s=600, max_pixels=10_000_000, express_s=1e-6)
    runner.run(job.computation.id)
    status = store.status(job.id)
    assert (status.state, status.lane) == ("queued", "bulk")
    assert store.client.exists(f"lutra:checkpoint:{job.computation.id}")
    assert messages(store, Lane.BULK) == 1
    assert Speed.of(next(iter(store.rates().values()))), "the next is not estimated so"
    for _ in range(2):
        runner.run(Lane.BULK)
    results = [b"".join(store.read_result(store.status(one.id))) for one in (job, whole)]
    assert store.status(job.id).attempts == 2
    assert results[0] == results[1]
    runner.close()


def test_what_has_learnt_that_its_model_is_slow_goes_on_in_its_own_tiles_and_the_next_job_is_in_finer_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives way where the card's speed is known, and goes on where a sixteenth of it is."""
    monkeypatch.setattr(lease_module, "PULSE_S", 0.001)
    monkeypatch.setattr(lease_module, "STOPPED_S", float("inf"))
    monkeypatch.setattr(allotment_module, "LAST", float("inf"))
    card = BY_NAME["lmliif"]
    monkeypatch.setattr(memory, "CPU_TILE_S", card.cpu_s_per_mp * 0.1)
    data, now = as_file(photo(256, 256), "PNG"), time.time()

    def runs(wanted: str, slower: float) -> int:
        """In a child of its own, where the model is known to be so many times slower: how many tiles that computes."""
        seconds = slower * card.cpu_s_per_mp
        store.keep_rate(key_of(card), Speed(seconds, now, ((now, seconds),) * SEEN).to_json())
        engine = Engine(device="cpu", observe=(observe := Counting()))
        engine.load(card.name)
        runner = Runner(store, engine, owner="test:1", job_timeout_s=600, max_pixels=10_000_000, express_s=1e-6)
        runner.run(wanted)
        runner.close()
        return observe.seen["tiles"]

    alike = [put_picture(store, data, 256, 256, model=card.name, lane=Lane.BULK) for _ in range(2)]
    job = put_picture(store, data, 256, 256, model=card.name, lane=Lane.EXPRESS)
    put_picture(store, as_file(photo()), model="nearest", lane=Lane.EXPRESS)
    first = runs(job.computation.id, 1)
    assert store.status(job.id).state == "queued"
    rest = runs(job.computation.id, 16)
    whole, finer = (runs(one.computation.id, slower) for one, slower in zip(alike, (1, 16), strict=True))
    assert first + rest == whole < finer
    results = [b"".join(store.read_result(store.status(one.id))) for one in (job, alike[0])]
    assert results[0] == results[1]
