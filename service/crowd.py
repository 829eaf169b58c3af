"""How many connections there are, in all and of one address, and who makes room when there are too many."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Protocol

from workers.log import Log

LOOK_EVERY_S = 1.0
WARN_EVERY_S = 60.0
SPARE_DESCRIPTORS = 128  # for Redis, files, and connections that are accepted only to be refused
DEAD_PEER_S = 60

log = Log(__name__)


class Member(Protocol):
    """What a crowd asks of a connection."""

    @property
    def address(self) -> str:
        """Under which it is counted; stays what it is."""

    @property
    def is_proxy(self) -> bool:
        """Whether it is a trusted proxy's, who asks for many: it counts among all, not for its address. Stays, too."""

    def look(self, now: float) -> None:
        """Close if something has taken too long at `now` (time.monotonic)."""

    def drop(self) -> None:
        """Leave and close without a word."""


def raise_descriptor_limit(wanted: int = sys.maxsize) -> int:
    """How many descriptors this process may have, the soft limit raised to `wanted` as far as the hard one allows.

    The processes that it starts may have as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(ValueError, OSError):  # a system may have a bound of its own below an infinite limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_allowed(most: int) -> int:
    """How many connections there may be, of `most` that are asked for: as far as descriptors reach."""
    return max(1, min(most, raise_descriptor_limit(most + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS))


def notice_dead_peers(server: socket.socket) -> None:
    """Have the kernel end accepted connections whose other end has been gone without a word for DEAD_PEER_S."""
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            server.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_S * 1000)


class Crowd:
    """All connections of this process. Where there are too many, the one that has been idle longest makes room.

    Idle are those without a request in work, whether they have said nothing yet, half a head, or are kept alive. Where
    all are at work a new one is refused.
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._open: set[Member] = set()
        self._by_address: Counter[str] = Counter()
        self._idle: dict[Member, None] = {}  # the longest first
        self._looking = False
        self._warned_at = -WARN_EVERY_S

    @classmethod
    def within_descriptors(cls, most: int, most_per_address: int) -> Crowd:
        """As asked for, or in the same proportion as many as this process may have descriptors for."""
        room = connections_allowed(most)
        if room == most:
            return cls(most, most_per_address)
        log.warning("fewer connections than asked for: the limit of open files is low", most=room, asked=most)
        return cls(room, max(1, most_per_address * room // most))

    def enter(self, connection: Member) -> bool:
        """Count it; False where it has to be refused."""
        self._open.add(connection)
        self._by_address[connection.address] += not connection.is_proxy
        self._keep_looking()
        while self._too_many(connection):
            eldest = self._eldest_idle(connection)
            if eldest is None:
                return False
            eldest.drop()
        self._idle[connection] = None
        return True

    def leave(self, connection: Member) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._idle.pop(connection, None)
            self._by_address[connection.address] -= not connection.is_proxy
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def is_idle(self, connection: Member) -> None:
        if connection in self._open:
            self._idle.setdefault(connection)

    def is_at_work(self, connection: Member) -> None:
        self._idle.pop(connection, None)

    def _too_many(self, connection: Member) -> bool:
        full, crowded = len(self._open) > self._most, self._is_crowded(connection)
        if (full or crowded) and time.monotonic() - self._warned_at > WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning("too many connections: idle ones are closed", open=len(self._open), address=connection.address)
        return full or crowded

    def _is_crowded(self, connection: Member) -> bool:
        return not connection.is_proxy and self._by_address[connection.address] > self._most_per_address

    def _eldest_idle(self, connection: Member) -> Member | None:
        """Of its address where that has too many, else of all."""
        if self._is_crowded(connection):
            return next((one for one in self._idle if one.address == connection.address and not one.is_proxy), None)
        return next(iter(self._idle), None)

    def _keep_looking(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for connection in list(self._open):
            connection.look(now)
        self._looking = False
        if self._open:
            self._keep_looking()
