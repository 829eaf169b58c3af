"""A small TCP proxy before a real Redis that can lose the connections it has, as a firewall, NAT or fail-over does.

`forget()`: connections that exist now carry nothing any more, in either direction, and neither end is notified (no
FIN); what is written on them is swallowed, or answered by a reset (`reset=True`). New connections work. It runs in a
thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

PIECE_BYTES = 65536


class _Link:
    """One connection of a client and the one to Redis that belongs to it."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.forgotten = False
        self.resets = False

    def reset(self) -> None:
        """Close the client's side with RST instead of FIN."""
        near = self.near.get_extra_info("socket")
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.near.transport.abort()


class Proxy:
    """`url` is Redis through the proxy."""

    def __init__(self, redis_url: str) -> None:
        self._upstream = urlsplit(redis_url)
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self.url = ""

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def forget(self, *, reset: bool = False) -> int:
        """Forget the connections there are now; how many those were."""

        async def forget() -> int:
            known = [link for link in self._links if not link.forgotten]
            for link in known:
                link.forgotten, link.resets = True, reset
            return len(known)

        return asyncio.run_coroutine_threadsafe(forget(), self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        access = f":{self._upstream.password}@" if self._upstream.password else ""
        self.url = urlunsplit(("redis", f"{access}127.0.0.1:{port}", "/0", "", ""))

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.scheme == "unix":
            return await asyncio.open_unix_connection(self._upstream.path)
        return await asyncio.open_connection(self._upstream.hostname, self._upstream.port)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            answers, far = await self._dial()
        except OSError:
            near.close()
            return
        link = _Link(near, far)
        self._links.add(link)
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(self._pump(link, reader, far, outward=True), self._pump(link, answers, near))
        finally:
            self._links.discard(link)
            for side in (near, far):
                side.close()

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                if not link.forgotten:
                    writer.write(data)
                    await writer.drain()
                elif outward and link.resets:
                    link.reset()
                    return
        if not link.forgotten:
            writer.close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def proxied(redis_url: str) -> Iterator[Proxy]:
    """A running proxy before the Redis at `redis_url`."""
    proxy = Proxy(redis_url)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
