"""The API keys that count now: read at the start, and anew whenever their file changes, without a restart."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.clients import Client
from service.keys import hash_of, read_keys
from workers.errors import ParameterError
from workers.log import Log

LOOK_EVERY_S = 1.0

Stamp = tuple[int, int, int]

log = Log(__name__)


class KeyRing:
    """Which client a key is of. The file is looked at in a thread, so that a slow disk holds up no request."""

    def __init__(self, path: Path) -> None:
        """Raises ParameterError for a file that is not as it should be."""
        self._path = path
        self._stamp = self._read_stamp()  # before the file: what is written between the two is seen at the next look
        self._keys = read_keys(path)

    def find(self, key: str) -> Client | None:
        """The client of this key; None where nobody has it."""
        hashed = hash_of(key)
        known = self._keys.get(hashed)
        return known.client if known and hmac.compare_digest(known.hash, hashed) else None

    def look(self) -> None:
        """Read the file if it has changed; one that is not as it should be leaves the keys as they are."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
        except ParameterError as error:
            log.warning("the API keys cannot be read anew; those of before stay", reason=error.message)
        else:
            log.info("API keys read anew", keys=len(self._keys))

    def _read_stamp(self) -> Stamp | None:
        try:
            facts = self._path.stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Inside, a change of the file counts within a second or two."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)
