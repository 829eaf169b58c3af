"""The Celery application: one queue, messages that carry a computation's id and nothing else, no result backend.

State, input, result and events live in `workers.store`. This module knows neither torch nor pictures, so that the
gateway can send with it.
"""

from __future__ import annotations

import base64
import json
from typing import Any, cast
from urllib.parse import urlsplit

import kombu.exceptions
import redis
from celery import Celery
from kombu import Queue  # type: ignore[attr-defined]

from workers.errors import StoreUnavailable

QUEUE = "lutra"
TASK = "lutra.compute"
HARD_LIMIT_GRACE_S = 60


def broker_url(redis_url: str) -> str:
    """The same Redis in kombu's spelling; redis-py says unix://PATH where kombu says redis+socket://PATH."""
    if redis_url.startswith("unix:"):
        return "redis+socket://" + urlsplit(redis_url).path
    return redis_url


def make_app(redis_url: str, *, job_timeout_s: float, send_timeout_s: float | None = None) -> Celery:
    """The application on one Redis. `send_timeout_s` is for the gateway: kombu has no socket timeout of its own."""
    hard_limit_s = job_timeout_s + HARD_LIMIT_GRACE_S
    visibility_s = int(2 * hard_limit_s + 600)
    transport: dict[str, Any] = {"visibility_timeout": visibility_s, "socket_keepalive": True}
    if send_timeout_s is not None:
        transport |= {"socket_timeout": send_timeout_s, "socket_connect_timeout": send_timeout_s}
    app = Celery("lutra", broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_queues=[Queue(QUEUE)],  # type: ignore[no-untyped-call]
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=hard_limit_s,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=180,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport,
        result_backend_transport_options={"visibility_timeout": visibility_s},
        visibility_timeout=visibility_s,
    )
    return app


def send(app: Celery, computation_id: str) -> None:
    """Put a computation's id into the queue, once, without retry. Raises StoreUnavailable."""
    try:
        app.send_task(TASK, args=[computation_id], queue=QUEUE, ignore_result=True, retry=False)
    except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
        raise StoreUnavailable("the job queue does not answer") from error


def queued_ids(client: redis.Redis, *, unacked_grace_s: float, now: float) -> set[str]:
    """Computations whose message waits in the queue, or was handed to a worker less than `unacked_grace_s` ago."""
    waiting = cast("list[bytes]", client.lrange(QUEUE, 0, -1))
    fresh = cast("list[bytes]", client.zrangebyscore("unacked_index", now - unacked_grace_s, "+inf"))
    held = cast("list[bytes | None]", client.hmget("unacked", fresh)) if fresh else []
    found = [_computation_id(raw, in_hand=False) for raw in waiting]
    found += [_computation_id(raw, in_hand=True) for raw in held if raw is not None]
    return {name for name in found if name}


def _computation_id(raw: bytes, *, in_hand: bool) -> str:
    """The one argument of a Celery message (protocol 2: args, kwargs, embed, JSON in base64); empty for garbage."""
    try:
        message = json.loads(raw)[0] if in_hand else json.loads(raw)
        encoded = message["properties"]["body_encoding"] == "base64"
        body = base64.b64decode(message["body"]) if encoded else message["body"]
        return str(json.loads(body)[0][0])
    except (ValueError, LookupError, TypeError):
        return ""
