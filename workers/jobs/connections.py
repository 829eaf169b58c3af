"""What every connection to Redis has: time limits, and probes that find out when the other side has dropped it.

A firewall, a NAT table or a fail-over can drop a connection without a word to either end. The kernel's probes notice an
idle one, TCP_USER_TIMEOUT one that has something unanswered under way; both in about ten seconds.
"""

from __future__ import annotations

import socket
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

KEEPALIVE_IDLE_S = 4
KEEPALIVE_EVERY_S = 2
KEEPALIVE_PROBES = 3
UNANSWERED_MS = 10_000
HEALTH_CHECK_S = 5

_OPTIONS = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,  # Linux
    "TCP_KEEPALIVE": KEEPALIVE_IDLE_S,  # the same on macOS
    "TCP_KEEPINTVL": KEEPALIVE_EVERY_S,
    "TCP_KEEPCNT": KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": UNANSWERED_MS,
}


def keepalive_options() -> dict[int, int]:
    """Options of the level IPPROTO_TCP, as redis-py takes them: those that this system has."""
    return {getattr(socket, name): value for name, value in _OPTIONS.items() if hasattr(socket, name)}


def connect(url: str, *, timeout_s: float, max_connections: int = 64) -> redis.Redis:
    """A client whose calls fail after `timeout_s` instead of hanging; `url` is redis://, rediss:// or unix://.

    What fails on one connection is tried once more on a fresh one: each script and command here may run twice.
    """
    options: dict[str, Any] = {
        **_options(url, timeout_s),
        "health_check_interval": HEALTH_CHECK_S,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [redis.ConnectionError],
        "max_connections": max_connections,
    }
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, timeout=timeout_s, **options))


def connection_for_loop(url: str, *, timeout_s: float) -> redis.asyncio.Connection:
    """One connection for an event loop, not made yet: `connect` does that, once, and says who we are."""
    pool = redis.asyncio.ConnectionPool.from_url(url, **_options(url, timeout_s))
    connection: redis.asyncio.Connection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def _options(url: str, timeout_s: float) -> dict[str, Any]:
    """Those of every connection, as redis-py names them."""
    options = {"socket_timeout": timeout_s, "protocol": 2}
    if url.startswith("unix:"):
        return options
    keepalive = {"socket_keepalive": True, "socket_keepalive_options": keepalive_options()}
    return {**options, "socket_connect_timeout": timeout_s, **keepalive}
