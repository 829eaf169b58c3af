"""A result on its way to a client, piece by piece, and the report that it arrived.

Arrived means: all of it was handed to the connection, and the client was still there when only the last bytes were
left. What the network lost after that, HTTP does not tell. It chooses no range and sets no header.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.offload import Threads
from workers.errors import LutraError, Unavailable
from workers.log import Log

LAST_BYTES = 64 * 1024
REPORT_AFTER_S = 0.1

log = Log(__name__)


class Delivery(Response):
    """The pieces as one body; `arrived` is called once all of it was sent to a client that had not left.

    `first` is at hand already, so that what is missing is found before the answer begins. The next piece is fetched
    when the one before it has been taken: a client that reads slowly holds one of them, however large the result. One
    that is gone by then (its job was deleted, or the store does not answer) ends the answer, and so the connection.
    """

    def __init__(
        self,
        first: bytes,
        rest: Iterator[bytes],
        size_bytes: int,
        threads: Threads,
        arrived: Callable[[], None],
        status_code: int,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.body = b""
        self.init_headers(headers)
        self._first, self._rest, self._size_bytes = first, rest, size_bytes
        self._threads, self._arrived = threads, arrived

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(body: bytes | memoryview, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece, left_bytes = self._first, self._size_bytes
        while (left_bytes := left_bytes - len(piece)) > 0:
            await write(piece)
            await write(b"")  # returns when little is left of what was written before
            try:
                piece = await self._threads.run(next, self._rest)
            except LutraError as error:  # its status is out: that the answer breaks off is all that can be said
                log.warning("a result broke off on its way", reason=error.message, left_bytes=left_bytes)
                return
        last = memoryview(piece)  # parts of it are no copies
        if len(last) > LAST_BYTES:
            await write(last[:-LAST_BYTES])
            await write(b"")
        left = has_left(receive)
        await write(last[-LAST_BYTES:], more=False)
        if not left:
            self._arrived()


def has_left(receive: Receive) -> bool:
    """Whether the client is known to be gone, of a request whose body was read: looks, and waits for nothing."""
    waiting = receive().__await__()
    try:
        next(waiting)
    except StopIteration as told:
        return bool(told.value["type"] == "http.disconnect")
    waiting.close()
    return False


class Deliveries:
    """Jobs whose clients have what they asked for: reported to the store together, a moment later, or when room is
    needed.

    A report that is lost with the gateway costs room and no picture: the result stays until it expires.
    """

    def __init__(self, note: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._note = note
        self._waiting: list[str] = []
        self._reporting = asyncio.Lock()
        self._later: asyncio.Task[None] | None = None

    def add(self, job_id: str) -> None:
        """The whole result, or the problem, was sent to the client of this job."""
        self._waiting.append(job_id)
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._report_later())

    async def _report_later(self) -> None:
        await asyncio.sleep(REPORT_AFTER_S)
        await self.report()

    async def report(self) -> None:
        """Returns when the store knows of all that were added before, or does not answer."""
        async with self._reporting:
            arrived, self._waiting = self._waiting, []
            if arrived:
                with suppress(Unavailable):
                    await self._note(arrived)
