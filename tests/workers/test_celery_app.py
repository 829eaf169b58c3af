"""The queue on a real Redis: what a message carries, how it is found again, and a queue that does not answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.living import free_port
from workers.errors import StoreUnavailable
from workers.jobs.celery_app import QUEUE, TASK, broker_url, make_app, queued_ids, send
from workers.jobs.store import Store


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    made = make_app(redis_url, job_timeout_s=30)
    yield made
    made.close()


def test_a_message_carries_the_id_and_nothing_else(store: Store, app: Celery) -> None:
    send(app, "first")
    (raw,) = store.client.lrange(QUEUE, 0, -1)
    message = json.loads(raw)
    arguments, options, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, options, message["headers"]["task"]) == (["first"], {}, TASK)
    assert message["content-type"] == "application/json"


def test_what_waits_in_the_queue_is_told_and_garbage_is_nobody(store: Store, app: Celery) -> None:
    assert queued_ids(store.client) == set()
    for name in ("first", "second", "second"):
        send(app, name)
    for garbage in (b"", b"{}", b"no json", b'{"properties": {"body_encoding": "base64"}, "body": "%%%"}', b"[1]"):
        store.client.lpush(QUEUE, garbage)
    assert queued_ids(store.client) == {"first", "second"}


@pytest.mark.slow
def test_a_queue_that_does_not_answer_is_a_store_that_does_not() -> None:
    app = make_app(f"redis://127.0.0.1:{free_port()}/0", job_timeout_s=30, send_timeout_s=1)
    with pytest.raises(StoreUnavailable, match="queue"):
        send(app, "first")
    app.close()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("redis://:word@host:6379/1", "redis://:word@host:6379/1"),
        ("rediss://host/0", "rediss://host/0"),
        ("unix:///run/lutra/redis.sock", "redis+socket:///run/lutra/redis.sock"),
    ],
)
def test_urls_are_spelt_as_kombu_wants_them(ours: str, theirs: str) -> None:
    assert broker_url(ours) == theirs


def test_a_message_is_kept_until_its_job_has_ended_and_pickles_are_never_read(app: Celery) -> None:
    assert app.conf.task_acks_late and app.conf.task_reject_on_worker_lost
    assert list(app.conf.accept_content) == ["json"]
    assert app.conf.task_time_limit == 90
    assert app.conf.worker_prefetch_multiplier == 1
