"""What every connection to Redis has: time limits, and probes that find out when the other side has forgotten it.

A firewall, a NAT table or a fail-over can drop a connection without a word to either end. The kernel's probes notice an
idle one, TCP_USER_TIMEOUT one that has something unanswered under way; both in about ten seconds.
"""

from __future__ import annotations

import socket

KEEPALIVE_IDLE_S = 4
KEEPALIVE_EVERY_S = 2
KEEPALIVE_PROBES = 3
UNANSWERED_MS = 10_000

_WANTED = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,  # Linux
    "TCP_KEEPALIVE": KEEPALIVE_IDLE_S,  # the same on macOS
    "TCP_KEEPINTVL": KEEPALIVE_EVERY_S,
    "TCP_KEEPCNT": KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": UNANSWERED_MS,
}


def keepalive_options() -> dict[int, int]:
    """Options of the level IPPROTO_TCP, as redis-py takes them: those that this system has."""
    return {getattr(socket, name): value for name, value in _WANTED.items() if hasattr(socket, name)}
