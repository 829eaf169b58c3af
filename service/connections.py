"""One connection of the gateway: how long it may say nothing, how large the head of a request may be, how it ends.

uvicorn bounds none of that. Long requests are none of this file's business: who waits for a picture or reads events
keeps the connection for as long as that takes; slow bodies are `service.upload`'s.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import problems
from service.addresses import neighbourhood
from service.crowd import Crowd
from service.proxies import Trusted, as_address
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
MAX_HEAD_BYTES = 32 * 1024  # also of trailers, and of what stands around the pieces of a chunked body
CHUNK_LINES_BYTES = 8  # around one piece
PIECE_BYTES = 64  # pieces of a chunked body may be smaller now and then, not on and on: each costs a call
MAX_PIPELINED = 32
HEAD_S = 15.0  # from the first byte of a head, or from the beginning of the connection
BYTES_ACKED = slice(120, 128)  # of struct tcp_info
STALLED_S = 60.0  # in which a client takes nothing of an answer
LINGER_S, LINGER_BYTES = 120.0, 128 * 1024**2  # how long a refused client may send on, and how much
LINGER_SILENCE_S, LINGER_STEP_BYTES = 5.0, 4096  # less in that time is silence
SMALL_PIECES = "the body comes with trailers, extensions or in pieces too small; send it in larger ones"

log = Log(__name__)


class Connection(HttpToolsProtocol):
    """One connection, with bounds around uvicorn's protocol."""

    def __init__(self, crowd: Crowd, proxies: Trusted, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.address, self.is_proxy = "", False
        self._crowd, self._proxies = crowd, proxies
        self._refusal: LutraError | None = None
        self._reads_head = True
        self._head_since: float | None = time.monotonic()
        self._said_something = False
        self._head_bytes = self._fields = 0
        self._overhead = 0  # bytes of which nothing has come but a part of a head, or more pieces than body
        self._unsent, self._confirmed, self._moved_at = 0, 0, time.monotonic()
        self._lingers_since: float | None = None
        self._heard_at, self._heard_bytes, self._thrown_away = 0.0, 0, 0

    @property
    def _is_at_work(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    # ---- what uvicorn's event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client:
            self.address = neighbourhood(self.client[0])
            self.is_proxy = self._proxies.trusts(as_address(self.client[0]))
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
            self._refuse(_head_too_large() if self._reads_head else BadRequest(SMALL_PIECES))

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
        super().on_header(name, value.rstrip(b" \t"))  # white space around a value is none of it (RFC 9110, 5.5)

    def on_headers_complete(self) -> None:
        self._reads_head, self._head_since, self._overhead = False, None, 0
        if len(self.pipeline) >= MAX_PIPELINED:
            self._give_up(BadRequest(f"more than {MAX_PIPELINED} requests before the first is answered"))
        self._crowd.is_at_work(self)
        self._believe_the_target()
        super().on_headers_complete()

    def _believe_the_target(self) -> None:
        """Where the target is a whole address, its host counts and `Host` does not (RFC 9112, 3.2.2)."""
        if b"://" in self.url and not self.url.startswith(b"/"):
            host = self.url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
            self.headers[:] = [(b"host", host), *(field for field in self.headers if field[0] != b"host")]

    def on_body(self, body: bytes) -> None:
        self._overhead = max(0, self._overhead - len(body) - len(body) * CHUNK_LINES_BYTES // PIECE_BYTES)
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
        self._crowd.is_idle(self)

    def _linger(self) -> None:
        """Say that this was all, and throw away what the client still sends, within bounds.

        Closed at once, the kernel would answer what is still on its way with a reset, which can overtake the answer.
        """
        self._unset_keepalive_if_required()
        self._lingers_since = self._heard_at = time.monotonic()
        self.flow.resume_reading()
        self.transport.write_eof()

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away - self._heard_bytes >= LINGER_STEP_BYTES:
            self._heard_at, self._heard_bytes = time.monotonic(), self._thrown_away
        if self._thrown_away > LINGER_BYTES:
            self.drop()

    # ---- time

    def look(self, now: float) -> None:
        """Close what has been silent, half open or stuck for too long."""
        if self._is_stuck(now):
            log.info("connection closed: the client takes nothing of its answer", address=self.address)
            self.transport.abort()
        elif self._lingers_since is not None:
            self._look_at_lingering(now, self._lingers_since)
        elif self._head_since is not None and now - self._head_since > HEAD_S and not self._is_at_work:
            if self._said_something:
                self._refuse(RequestTimeout(f"the request's head did not come within {HEAD_S:g} s", limit=HEAD_S))
            else:
                self.drop()
        else:
            self._note_idle()

    def _look_at_lingering(self, now: float, since: float) -> None:
        """Time counts from when the client has all of the answer; from then on it makes room for others, too."""
        if self._unsent:
            self._lingers_since = self._heard_at = now
        elif now - since > LINGER_S or now - self._heard_at > LINGER_SILENCE_S:
            self.drop()
        else:
            self._crowd.is_idle(self)

    def _is_stuck(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        confirmed = confirmed_bytes(self.transport) if unsent else 0
        if unsent == 0 or unsent < self._unsent or confirmed > self._confirmed:
            self._moved_at = now
        self._unsent, self._confirmed = unsent, confirmed
        return now - self._moved_at > STALLED_S

    def _note_idle(self) -> None:
        """Idle once the client has all of the last answer."""
        if not self._is_at_work and not self.transport.get_write_buffer_size():
            self._crowd.is_idle(self)

    def drop(self) -> None:
        """Close without a word."""
        self._crowd.leave(self)
        self.transport.abort()


def confirmed_bytes(transport: asyncio.BaseTransport) -> int:
    """How many bytes the other end's machine has confirmed to have; 0 where the system does not say.

    `tcpi_bytes_acked` of Linux' `struct tcp_info`. What lies in our own buffer does not tell: it is filled anew as soon
    as the kernel, which takes megabytes at a time, has room.
    """
    with suppress(OSError, AttributeError):  # not TCP, not Linux
        line: socket.socket = transport.get_extra_info("socket")
        info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.stop)
        return int.from_bytes(info[BYTES_ACKED], sys.byteorder)
    return 0


async def _answer_early(app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application. An answer that begins before the request's body has come closes the connection behind it.

    uvicorn would close at once after the last byte; it is kept from that here, and `on_response_complete` lingers. An
    answer that breaks off ends the connection, without uvicorn's word of a fault: whoever broke it off has told why.
    """

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start" and cycle.more_body:
            MutableHeaders(scope=message)["Connection"] = "close"
        elif message["type"] == "http.response.body" and not message.get("more_body", False) and cycle.more_body:
            cycle.keep_alive = True
        await send(message)

    await app(scope, receive, answer)
    if cycle.response_started and not cycle.response_complete and not cycle.disconnected:
        cycle.disconnected = True
        cycle.transport.close()


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"the headers are larger than {MAX_HEAD_BYTES} bytes", limit=MAX_HEAD_BYTES)


def _as_bytes(error: LutraError, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The problem as a whole answer."""
    request_id = secrets.token_hex(16)
    fields = {"X-Request-ID": request_id, "Connection": "close"}
    if isinstance(error, Unavailable):
        fields["Retry-After"] = "5"
    answer = problems.answer(problems.body_of(error, f"urn:lutra:request:{request_id}"), fields)
    lines = [name + b": " + value for name, value in (*headers, *answer.raw_headers)]
    return STATUS_LINE[status] + b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body)
