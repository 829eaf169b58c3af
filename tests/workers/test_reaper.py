"""The reaper on a real Redis and a real Celery queue: what it queues again, what it leaves, what it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.workers.stored import claim, put
from workers.jobs import celery_app
from workers.jobs.reaper import MESSAGE_GRACE_S, Reaper
from workers.jobs.store import Store


@pytest.fixture
def celery(redis_url: str) -> Iterator[Celery]:
    app = celery_app.make_app(redis_url, job_timeout_s=900, send_timeout_s=2)
    yield app
    app.close()


@pytest.fixture
def reaper(store: Store, celery: Celery) -> Reaper:
    return Reaper(store, lambda computation: celery_app.send(celery, computation), name="parent", lease_s=12)


def queued(store: Store) -> set[str]:
    return celery_app.queued_ids(store.client)


def make_old(store: Store, computation_id: str) -> None:
    """As if its message had been sent long ago."""
    store.client.hset(f"lutra:comp:{computation_id}", "sent_at", time.time() - 2 * MESSAGE_GRACE_S)


def test_a_message_carries_the_id_and_nothing_else(store: Store, celery: Celery) -> None:
    celery_app.send(celery, "abc")
    assert queued(store) == {"abc"}


def test_an_ended_lease_is_queued_again_and_one_that_holds_is_not(store: Store, reaper: Reaper) -> None:
    lost, held = put(store), put(store)
    claim(store, lost, lease_s=0)
    claim(store, held)
    reaper.look()
    assert store.status(lost.id).state == "queued"
    assert store.status(held.id).state == "running"
    assert queued(store) == {lost.computation.id}


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


def test_a_message_that_no_queue_holds_is_sent_again_once(store: Store, reaper: Reaper) -> None:
    job = put(store)
    reaper.look()
    assert queued(store) == set()
    make_old(store, job.computation.id)
    reaper.look()
    reaper.look()
    assert store.client.llen(celery_app.QUEUE) == 1
    assert queued(store) == {job.computation.id}


def test_a_message_on_its_way_from_queue_to_claim_is_not_sent_again(store: Store, reaper: Reaper) -> None:
    job = put(store)
    make_old(store, job.computation.id)
    reaper.look()
    claim(store, job)
    reaper.look()
    assert store.client.llen(celery_app.QUEUE) == 0


def test_a_message_that_waits_in_the_queue_is_left_alone(store: Store, celery: Celery, reaper: Reaper) -> None:
    job = put(store)
    celery_app.send(celery, job.computation.id)
    make_old(store, job.computation.id)
    reaper.look()
    assert store.client.llen(celery_app.QUEUE) == 1


def test_only_one_of_two_reapers_looks(store: Store, celery: Celery, reaper: Reaper) -> None:
    reaper.look()
    job = put(store)
    claim(store, job, lease_s=0)
    other = Reaper(store, lambda computation: celery_app.send(celery, computation), name="other", lease_s=12)
    other.look()
    assert store.status(job.id).state == "running"
    reaper.look()
    assert store.status(job.id).state == "queued"


def test_garbage_in_the_queue_is_passed_over(store: Store, celery: Celery, reaper: Reaper) -> None:
    for garbage in (b"garbage", b"{}", b"[]", b'{"properties": {"body_encoding": "base64"}, "body": "!"}'):
        store.client.lpush(celery_app.QUEUE, garbage)
    celery_app.send(celery, "abc")
    assert queued(store) == {"abc"}
    job = put(store)
    claim(store, job, lease_s=0)
    reaper.look()
    assert store.status(job.id).state == "queued"
