"""The gateway's connections: how many there are, how long one may say nothing, how large the head of a request may be.

uvicorn bounds none of that. Long requests are none of this file's business: who waits for a picture or reads events
keeps the connection for as long as that takes; slow bodies are `service.upload`'s.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
import time
from collections import Counter
from functools import partial
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import problems
from service.addresses import neighbourhood
from workers import metrics
from workers.errors import (
    BadRequest,
    HeadersTooLarge,
    LutraError,
    RequestTimeout,
    TooManyConnections,
    Unavailable,
    UrlTooLong,
)
from workers.log import Log

MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024  # also of trailers, and of what stands around the pieces of a chunked body
MAX_PIPELINED = 32
HEAD_S = 15.0  # from the first byte of a head, or from the beginning of the connection
STALLED_S = 60.0  # in which a client takes nothing of an answer
LINGER_S, LINGER_SILENCE_S, LINGER_BYTES = 30.0, 5.0, 128 * 1024**2
LOOK_EVERY_S = 1.0
WARN_EVERY_S = 60.0
SPARE_DESCRIPTORS = 128  # for Redis, files, and connections that are accepted only to be refused
DEAD_PEER_S = 60

log = Log(__name__)


def raise_descriptor_limit(wanted: int) -> int:
    """How many descriptors this process may have, the soft limit raised to `wanted` as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


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
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._idle: dict[Connection, None] = {}  # the longest first
        self._looking = False
        self._warned_at = -WARN_EVERY_S

    @classmethod
    def within_descriptors(cls, most: int, most_per_address: int) -> Crowd:
        """As asked for, or in the same proportion as many as this process may have descriptors for."""
        room = raise_descriptor_limit(most + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS
        if room >= most:
            return cls(most, most_per_address)
        room = max(1, room)
        log.warning("fewer connections than asked for: the limit of open files is low", most=room, asked=most)
        return cls(room, max(1, most_per_address * room // most))

    def protocol(self, **uvicorn: Any) -> Connection:
        """What uvicorn calls for each connection that it accepts."""
        return Connection(self, **uvicorn)

    def enter(self, connection: Connection) -> bool:
        """Count it; False where it has to be refused."""
        self._open.add(connection)
        self._by_address[connection.address] += 1
        self._keep_looking()
        while self._too_many(connection.address):
            eldest = self._eldest_idle(connection.address)
            if eldest is None:
                return False
            eldest.drop()
        self._idle[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._idle.pop(connection, None)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def is_idle(self, connection: Connection) -> None:
        if connection in self._open:
            self._idle.setdefault(connection)

    def is_at_work(self, connection: Connection) -> None:
        self._idle.pop(connection, None)

    def _too_many(self, address: str) -> bool:
        full = len(self._open) > self._most
        crowded = self._by_address[address] > self._most_per_address
        if (full or crowded) and time.monotonic() - self._warned_at > WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning("too many connections: idle ones are closed", open=len(self._open), address=address)
        return full or crowded

    def _eldest_idle(self, address: str) -> Connection | None:
        """Of this address where it has too many, else of all."""
        if self._by_address[address] > self._most_per_address:
            return next((one for one in self._idle if one.address == address), None)
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


class Connection(HttpToolsProtocol):
    """One connection, with bounds around uvicorn's protocol."""

    def __init__(self, crowd: Crowd, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.address = ""
        self._crowd = crowd
        self._refusal: LutraError | None = None
        self._reads_head = True
        self._head_since: float | None = time.monotonic()
        self._said_something = False
        self._head_bytes = self._fields = 0
        self._overhead = 0  # bytes since anything but a part of a head came of them
        self._unsent, self._moved_at = 0, time.monotonic()
        self._lingers_since: float | None = None
        self._heard_at, self._thrown_away = 0.0, 0

    @property
    def _is_at_work(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    # ---- what uvicorn's event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = neighbourhood(self.client[0]) if self.client else ""
        if not self._crowd.enter(self):
            self._refuse(TooManyConnections("too many connections, try again soon"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingers_since is not None:
            self._throw_away(data)
            return
        self._said_something = True
        self._overhead += len(data)
        if self._reads_head and self._head_since is None:
            self._head_since = time.monotonic()
        super().data_received(data)
        if self._overhead > MAX_HEAD_BYTES and self._lingers_since is None:
            self._refuse(_head_too_large())

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = self._fields = 0
        if self._head_since is None:
            self._head_since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._give_up(UrlTooLong(f"the address is longer than {MAX_URL_BYTES} bytes", limit=MAX_URL_BYTES))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._reads_head:
            return  # a trailer, which nobody reads
        self._fields += 1
        self._head_bytes += len(name) + len(value)
        if self._fields > MAX_HEADERS:
            self._give_up(HeadersTooLarge(f"more than {MAX_HEADERS} headers", limit=MAX_HEADERS))
        if self._head_bytes > MAX_HEAD_BYTES:
            self._give_up(_head_too_large())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._reads_head, self._head_since, self._overhead = False, None, 0
        if len(self.pipeline) >= MAX_PIPELINED:
            self._give_up(BadRequest(f"more than {MAX_PIPELINED} requests before the first is answered"))
        self._crowd.is_at_work(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reads_head, self._overhead = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where the parser gave up."""
        self._refuse(self._refusal or BadRequest("the request is no HTTP/1.1"))

    def _unsupported_upgrade_warning(self) -> None:
        """No other protocol is spoken here; a server may pass over the wish (RFC 9110, 7.8)."""

    def _give_up(self, error: LutraError) -> None:
        """Stop the parser; `send_400_response` answers."""
        self._refusal = error
        raise error

    # ---- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, partial(_answer_early, app, cycle))

    def on_response_complete(self) -> None:
        if not self.pipeline and self.cycle.more_body and not self.transport.is_closing():
            self.server_state.total_requests += 1
            self.cycle.body = bytearray()
            self._linger()
            return
        super().on_response_complete()
        self._note_idle()

    def _refuse(self, error: LutraError) -> None:
        """Answer with a problem and close; where another answer is under way, only close."""
        if self.transport.is_closing():
            return
        status, _ = problems.status_and_title(type(error))
        log.info("request refused", reason=error.message, status=status, address=self.address)
        metrics.HTTP_REQUESTS.labels("none", "other", str(status)).inc()
        if self._is_at_work and (self._reads_head or self.pipeline or self.cycle.response_started):
            self.transport.abort()
            return
        if self._is_at_work:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_as_bytes(error, status, self.server_state.default_headers))
        self._linger()

    def _linger(self) -> None:
        """Say that this was all, and throw away what the client still sends, within bounds.

        Closed at once, the kernel would answer what is still on its way with a reset, which can overtake the answer.
        """
        self._unset_keepalive_if_required()
        self._lingers_since = self._heard_at = time.monotonic()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._crowd.is_idle(self)

    def _throw_away(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._thrown_away += len(data)
        if self._thrown_away > LINGER_BYTES:
            self.drop()

    # ---- time

    def look(self, now: float) -> None:
        """Close what has been silent, half open or stuck for too long."""
        if self._lingers_since is not None:
            if now - self._lingers_since > LINGER_S or now - self._heard_at > LINGER_SILENCE_S:
                self.drop()
        elif self._is_stuck(now):
            log.info("connection closed: the client takes nothing of its answer", address=self.address)
            self.transport.abort()
        elif self._head_since is not None and now - self._head_since > HEAD_S and not self._is_at_work:
            if self._said_something:
                self._refuse(RequestTimeout(f"the request's head did not come within {HEAD_S:g} s", limit=HEAD_S))
            else:
                self.drop()
        else:
            self._note_idle()

    def _is_stuck(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._moved_at = now
        self._unsent = unsent
        return now - self._moved_at > STALLED_S

    def _note_idle(self) -> None:
        """Idle once the client has all of the last answer."""
        if not self._is_at_work and not self.transport.get_write_buffer_size():
            self._crowd.is_idle(self)

    def drop(self) -> None:
        """Close without a word."""
        self._crowd.leave(self)
        self.transport.abort()


async def _answer_early(app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application. An answer that begins before the request's body has come closes the connection behind it.

    uvicorn would close at once after the last byte; it is told otherwise then, and `on_response_complete` lingers.
    """

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start" and cycle.more_body:
            MutableHeaders(scope=message)["Connection"] = "close"
        elif message["type"] == "http.response.body" and not message.get("more_body", False) and cycle.more_body:
            cycle.keep_alive = True
        await send(message)

    await app(scope, receive, answer)


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"the headers are larger than {MAX_HEAD_BYTES} bytes", limit=MAX_HEAD_BYTES)


def _as_bytes(error: LutraError, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The problem as a whole answer."""
    request_id = secrets.token_hex(16)
    told = {"X-Request-ID": request_id, "Connection": "close"}
    if isinstance(error, Unavailable):
        told["Retry-After"] = "5"
    answer = problems.answer(problems.body_of(error, f"urn:lutra:request:{request_id}"), told)
    lines = [name + b": " + value for name, value in (*headers, *answer.raw_headers)]
    return STATUS_LINE[status] + b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body)
