"""The Celery application: a queue a lane, messages that ask for the next of it and say nothing else, no result backend.

State, input, result and events live in `workers.jobs.store`, and which job is the next of a lane. A job is queued and
its message is sent by one script of the store, so the gateway only writes messages (`message`), as Celery would. This
module knows neither torch nor pictures. A message may be lost or come twice: the reaper sends what a lane lacks for the
jobs that wait in it, and who finds none drops the message. So Celery keeps no second record of messages in hand in
Redis (`ack_emulation`): an acknowledgement writes nothing, and cannot fail.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import kombu.exceptions
import redis
from celery import Celery
from kombu import Queue  # type: ignore[attr-defined]

from workers.errors import StoreUnavailable
from workers.jobs.connections import keepalive_options
from workers.jobs.job import Lane, new_id
from workers.jobs.lanes import FORMER_QUEUE, QUEUES

TASK = "lutra.compute"
HARD_LIMIT_GRACE_S = 60
BROKER_TIMEOUT_S = 4.0
BROKER_PING_S = 4  # a poll without an answer for so long beyond its own second is given up: a lost one in 5 to 9 s
SEND_ERRORS = (kombu.exceptions.OperationalError, redis.RedisError, OSError)


def broker_url(redis_url: str) -> str:
    """The same Redis in kombu's spelling; redis-py says unix://PATH where kombu says redis+socket://PATH."""
    if redis_url.startswith("unix:"):
        return "redis+socket://" + urlsplit(redis_url).path
    return redis_url


def make_app(redis_url: str, *, job_timeout_s: float, send_timeout_s: float | None = None) -> Celery:
    """The application on one Redis. kombu has no socket timeout of its own; `send_timeout_s`: for less patience."""
    timeout_s = send_timeout_s or BROKER_TIMEOUT_S
    transport: dict[str, Any] = {
        "ack_emulation": False,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "socket_keepalive_options": keepalive_options(),
        "health_check_interval": BROKER_PING_S,
    }
    app = Celery("lutra", broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        task_default_queue=FORMER_QUEUE,
        task_queues=[Queue(name) for name in (*QUEUES.values(), FORMER_QUEUE)],  # type: ignore[no-untyped-call]
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=job_timeout_s + HARD_LIMIT_GRACE_S,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=180,
        worker_consumer="workers.consumer:Consumer",
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=timeout_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options=transport,
    )
    return app


def message(lane: Lane) -> bytes:
    """A new message for the lane, as it lies in its queue."""
    text, task_id, tag = _template(lane)
    return text.replace(task_id, new_id()).replace(tag, new_id()).encode()


@cache
def _template(lane: Lane) -> tuple[str, str, str]:
    """A message that Celery has sent, to a queue in this process's memory; and what is another one in each: the task's
    id and the tag of its delivery.
    """
    app, task_id = make_app("memory://", job_timeout_s=0), new_id()
    with app.connection_for_write() as memory:
        _send(app, lane, connection=memory, task_id=task_id)
        sent = memory.default_channel._get(QUEUES[lane])
    app.close()
    return json.dumps(sent), task_id, sent["properties"]["delivery_tag"]


def send(app: Celery, lane: Lane) -> None:
    """Put a message into the lane; where that fails once more, on a connection that nobody has used before.

    One message too many does no harm. Raises StoreUnavailable.
    """
    try:
        _send(app, lane)
    except SEND_ERRORS:
        try:
            with app.connection_for_write() as fresh:
                _send(app, lane, connection=fresh)
        except SEND_ERRORS as error:
            raise StoreUnavailable("the job queue does not answer") from error


def _send(app: Celery, lane: Lane, **options: Any) -> None:
    """Without kombu's own retry: where it cannot reconnect at once it leaves a closed channel in the pool."""
    app.send_task(TASK, args=[str(lane)], queue=QUEUES[lane], ignore_result=True, retry=False, **options)
