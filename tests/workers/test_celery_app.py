"""The queues on a real Redis: what a message carries, and a queue that does not answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.living import free_port
from workers.errors import StoreUnavailable
from workers.jobs.celery_app import TASK, broker_url, make_app, message, send
from workers.jobs.job import Lane
from workers.jobs.lanes import QUEUES
from workers.jobs.store import Store


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    made = make_app(redis_url, job_timeout_s=30)
    yield made
    made.close()


@pytest.mark.parametrize("lane", Lane)
def test_a_message_lies_in_its_lane_s_queue_and_names_the_lane_alone(store: Store, app: Celery, lane: Lane) -> None:
    send(app, lane)
    (raw,) = store.client.lrange(QUEUES[lane], 0, -1)
    sent = json.loads(raw)
    arguments, options, _ = json.loads(base64.b64decode(sent["body"]))
    assert (arguments, options, sent["headers"]["task"]) == ([str(lane)], {}, TASK)
    assert sent["content-type"] == "application/json"


@pytest.mark.parametrize("lane", Lane)
def test_messages_that_are_not_sent_are_as_celery_sends_them_and_no_two_are_equal(
    store: Store, app: Celery, lane: Lane
) -> None:
    send(app, lane)
    sent, ours, next_one = (
        json.loads(raw) for raw in (*store.client.lrange(QUEUES[lane], 0, -1), message(lane), message(lane))
    )
    for text in (sent, ours, next_one):
        text["headers"].pop("origin")
        text["properties"].pop("reply_to")
    ids = [
        (text["headers"].pop("id"), text["headers"].pop("root_id"), text["properties"].pop("correlation_id"))
        for text in (sent, ours, next_one)
    ]
    tags = [text["properties"].pop("delivery_tag") for text in (sent, ours, next_one)]
    assert sent == ours == next_one
    assert all(len(set(of_one)) == 1 for of_one in ids) and len({of_one[0] for of_one in ids}) == len(set(tags)) == 3


@pytest.mark.slow
def test_a_queue_that_does_not_answer_is_a_store_that_does_not() -> None:
    app = make_app(f"redis://127.0.0.1:{free_port()}/0", job_timeout_s=30, send_timeout_s=1)
    with pytest.raises(StoreUnavailable, match="queue"):
        send(app, Lane.BULK)
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
