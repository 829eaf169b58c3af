"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a request that is sent again has the job of the first.

A key is held from the door on, before the body is read, so that of two requests under way one goes on. Its fingerprint
is what was asked: the operation, its parameters, the bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request

from service.clients import client_of
from service.gateway import Gateway
from service.upload import Upload
from workers.errors import BadRequest, IdempotencyKeyInUse, IdempotencyKeyReused, Unavailable
from workers.jobs.job import new_id
from workers.jobs.store_clients import KEY_HOLD_S
from workers.operations.operation import Query

LONGEST_KEY = 255
RENEW_S = KEY_HOLD_S / 3
_QUOTED = re.compile(r'"(.*)"')
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True)
class Reservation:
    """The job of a request: of its own, or the one that its key names already, whose request had this `fingerprint`.

    `key`: the name under which the store keeps the key, empty for a request without one.
    """

    gateway: Gateway
    job_id: str
    key: str = ""
    fingerprint: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the job is there already."""
        return bool(self.fingerprint)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside, the request is taken in and its key stays held; it is free again where no job came of it."""
        if not self.key or self.is_known:
            yield
            return
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(Unavailable):
                await self.gateway.ask(self.gateway.store.free_key_call(self.key, self.job_id))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(Unavailable):
                await self.gateway.ask(self.gateway.store.hold_key_call(self.key, self.job_id))

    async def fingerprint_of(self, operation: str, query: Query, upload: Upload) -> str:
        """What the job keeps of this request; empty without a key. Raises IdempotencyKeyReused."""
        if not self.key:
            return ""
        found = await self.gateway.picture_threads.run(fingerprint_of, operation, query, upload)
        if self.is_known and found != self.fingerprint:
            raise IdempotencyKeyReused(
                "this Idempotency-Key came with another request before (operation, parameters or bytes differ); "
                "a new request needs a new key"
            )
        return found


async def reserve(request: Request, gateway: Gateway) -> Reservation:
    """What the request's key stands for. Raises BadRequest, or IdempotencyKeyInUse while its job is being taken in."""
    job_id, key = new_id(), key_of(request.headers)
    if key is None:
        return Reservation(gateway, job_id)
    name = hashlib.sha256(f"{client_of(request).id} {key}".encode()).hexdigest()
    holder, fingerprint = await gateway.ask(gateway.store.hold_key_call(name, job_id))
    if holder != job_id and not fingerprint:
        raise IdempotencyKeyInUse("the first request with this Idempotency-Key is still being taken in, try again soon")
    return Reservation(gateway, holder, name, fingerprint)


def key_of(headers: Headers) -> str | None:
    """The key, whether quoted (as the draft has it) or not. Raises BadRequest for one that cannot be."""
    lines = headers.getlist("idempotency-key")
    if not lines:
        return None
    if len(lines) > 1:
        raise BadRequest(f"Idempotency-Key came {len(lines)} times; a request has one")
    key = lines[0].strip()
    if quoted := _QUOTED.fullmatch(key):
        key = _ESCAPED.sub(r"\1", quoted[1])
    if not 1 <= len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        seen = f"Idempotency-Key has {len(key)} characters"
        raise BadRequest(f"{seen}; allowed are 1 to {LONGEST_KEY}, printable and of ASCII", limit=LONGEST_KEY)
    return key


def fingerprint_of(operation: str, query: Query, upload: Upload) -> str:
    """Equal for two requests that ask for the same; what is at its default counts as not sent."""
    asked = [operation, query.model_dump(mode="json", exclude_defaults=True)]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for part in (upload.picture, upload.lut or b""):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
