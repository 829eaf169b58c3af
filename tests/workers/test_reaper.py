"""The reaper on a real Redis and a real Celery queue: what it queues again, what it leaves, what it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.workers.stored import claim, messages, put
from workers.jobs import celery_app
from workers.jobs.job import Lane
from workers.jobs.reaper import MESSAGE_GRACE_S, Reaper
from workers.jobs.store import Store


@pytest.fixture
def celery(redis_url: str) -> Iterator[Celery]:
    app = celery_app.make_app(redis_url, job_timeout_s=900, send_timeout_s=2)
    yield app
    app.close()


@pytest.fixture
def reaper(store: Store, celery: Celery) -> Reaper:
    return Reaper(store, lambda lane: celery_app.send(celery, lane), name="parent", lease_s=12)


def make_old(store: Store, computation_id: str) -> None:
    """As if its message had been sent long ago."""
    store.client.hset(f"lutra:comp:{computation_id}", "sent_at", time.time() - 2 * MESSAGE_GRACE_S)


def test_an_ended_lease_is_queued_again_and_one_that_holds_is_not(store: Store, reaper: Reaper) -> None:
    lost, held = put(store, lane=Lane.EXPRESS), put(store)
    claim(store, lost, lease_s=0)
    claim(store, held)
    reaper.look()
    assert store.status(lost.id).state == "queued"
    assert store.status(held.id).state == "running"
    assert (messages(store, Lane.EXPRESS), messages(store, Lane.BULK)) == (1, 0)


def test_after_a_pause_leases_get_time_to_be_renewed_first(store: Store, reaper: Reaper) -> None:
    job = put(store)
    claim(store, job, lease_s=0)
    reaper._last_look -= 60
    reaper.look()
    assert store.status(job.id).state == "running"


def test_what_a_dead_child_held_is_queued_again_at_once(store: Store, reaper: Reaper) -> None:
    job, other = put(store), put(store)
    claim(store, job, "parent:7")
    claim(store, other, "parent:8")
    reaper.reclaim({"parent:7"})
    assert store.status(job.id).state == "queued"
    assert store.status(other.id).state == "running"


@pytest.mark.parametrize("lane", Lane)
def test_a_message_that_no_queue_holds_is_sent_again_once(store: Store, reaper: Reaper, lane: Lane) -> None:
    job = put(store, lane=lane)
    reaper.look()
    assert messages(store, lane) == 0
    make_old(store, job.computation.id)
    for _ in range(3):
        reaper.look()
    assert {each: messages(store, each) for each in Lane} == {**dict.fromkeys(Lane, 0), lane: 1}


def test_of_several_lost_messages_as_many_are_sent_as_the_lane_lacks(
    store: Store, celery: Celery, reaper: Reaper
) -> None:
    jobs = [put(store) for _ in range(5)]
    put(store, lane=Lane.EXPRESS)
    for _ in range(2):
        celery_app.send(celery, Lane.BULK)
    for job in jobs:
        make_old(store, job.computation.id)
    for _ in range(3):
        reaper.look()
    assert (messages(store), messages(store, Lane.EXPRESS)) == (5, 0)


def test_messages_of_a_version_without_lanes_count_for_the_jobs_that_it_queued(store: Store, reaper: Reaper) -> None:
    job = put(store)
    store.client.lpush("lutra", b"a message")
    make_old(store, job.computation.id)
    for _ in range(3):
        reaper.look()
    assert messages(store) == 0


def test_what_a_version_without_lanes_has_queued_is_lined_up_as_bulk(store: Store, reaper: Reaper) -> None:
    job = put(store)
    for key in ("lutra:holders", "lutra:line:bulk:", "lutra:round:bulk"):
        store.client.delete(key)
    store.client.hdel(f"lutra:comp:{job.computation.id}", "lane", "share")
    assert store.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60) is None
    reaper.look()
    taken = store.claim(Lane.BULK, "test:1", lease_s=30, timeout_s=60)
    assert taken is not None and taken.computation_id == job.computation.id


def test_a_message_on_its_way_from_queue_to_claim_is_not_sent_again(store: Store, reaper: Reaper) -> None:
    job = put(store)
    make_old(store, job.computation.id)
    reaper.look()
    claim(store, job)
    reaper.look()
    assert messages(store) == 0


def test_a_message_that_waits_in_the_queue_is_left_alone(store: Store, celery: Celery, reaper: Reaper) -> None:
    job = put(store)
    celery_app.send(celery, Lane.BULK)
    make_old(store, job.computation.id)
    reaper.look()
    assert messages(store) == 1


def test_only_one_of_two_reapers_looks(store: Store, celery: Celery, reaper: Reaper) -> None:
    reaper.look()
    job = put(store)
    claim(store, job, lease_s=0)
    other = Reaper(store, lambda lane: celery_app.send(celery, lane), name="other", lease_s=12)
    other.look()
    assert store.status(job.id).state == "running"
    reaper.look()
    assert store.status(job.id).state == "queued"
