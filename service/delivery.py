"""A result on its way to a client, piece by piece, and the note that it arrived.

Arrived means: all of it was handed to the connection, and the client was still there when only the last bytes were
left. What the network lost after that, HTTP does not tell. It chooses no range and sets no header.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.offload import Threads

LAST_BYTES = 64 * 1024


class Delivery(Response):
    """The pieces as one body; `arrived` is called once all of it was sent to a client that had not left.

    `first` is at hand already, so that what is missing is found before the answer begins. The next piece is fetched
    when the one before it has been taken: a client that reads slowly holds one of them, however large the result.
    """

    def __init__(
        self,
        first: bytes,
        rest: Iterator[bytes],
        size_bytes: int,
        threads: Threads,
        arrived: Callable[[], Awaitable[None]],
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
        async def write(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece, left_bytes = self._first, self._size_bytes
        while (left_bytes := left_bytes - len(piece)) > 0:
            await write(piece)
            await write(b"")  # returns when little is left of what was written before
            piece = await self._threads.run(next, self._rest)
        if len(piece) > LAST_BYTES:
            await write(piece[:-LAST_BYTES])
            await write(b"")
        left = await Request(scope, receive).is_disconnected()
        await write(piece[-LAST_BYTES:], more=False)
        if not left:
            await self._arrived()
