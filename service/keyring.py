"""The API keys that count now: read at the start, and anew whenever their file changes, without a restart."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.clients import Client
from service.keys import hash_of, read_keys
from workers.errors import ParameterError
from workers.log import Log

LOOK_EVERY_S = 1.0
SETTLED_NS = 2 * 10**9

Stamp = tuple[int, int, int]

log = Log(__name__)


class KeyRing:
    """Which client a key is of. The file is looked at in a thread, so that a slow disk holds up no request."""

    def __init__(self, path: Path) -> None:
        """Raises ParameterError for a file that is not as it should be."""
        self._path = path
        self._stamp = self._read_stamp()  # before the file: what is written between the two is seen at the next look
        self._read_at_ns = time.time_ns()
        self._keys = read_keys(path)

    def find(self, key: str) -> Client | None:
        """The client of this key; None where nobody has it."""
        hashed = hash_of(key)
        known = self._keys.get(hashed)
        return known.client if known and hmac.compare_digest(known.hash, hashed) else None

    def look(self) -> bool:
        """Read the file if it has changed; one that is not as it should be leaves the keys as they are.

        True where others count now.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp and self._is_settled():
            return False
        is_new, self._stamp, self._read_at_ns = stamp != self._stamp, stamp, time.time_ns()
        try:
            keys = read_keys(self._path)
        except ParameterError as error:
            if is_new:
                log.warning("the API keys cannot be read anew; those of before stay", reason=error.message)
            return False
        if is_new or keys != self._keys:
            log.info("API keys read anew", keys=len(keys))
        before, self._keys = self._keys, keys
        return before != keys

    def _is_settled(self) -> bool:
        """Whether the file was read some time after it was written; two writes in a moment can leave one stamp."""
        return self._stamp is None or self._read_at_ns - self._stamp[0] > SETTLED_NS

    def _read_stamp(self) -> Stamp | None:
        try:
            facts = self._path.stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino

    @asynccontextmanager
    async def watched(self, on_change: Callable[[], None]) -> AsyncIterator[None]:
        """Inside, a change of the file counts within a second or two, and `on_change` is called."""
        watch = asyncio.create_task(self._watch(on_change))
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self, on_change: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if await asyncio.to_thread(self.look):
                on_change()
