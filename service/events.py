"""A job's events as Server-Sent Events (WHATWG HTML, 9.2): replay from Last-Event-ID, a comment meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service import problems
from service.gateway import Gateway
from service.schemas import job_path
from service.waiting import Waiter
from workers.errors import JobGone, JobUnknown, KeyNeeded, StoreUnavailable
from workers.jobs.records import Event
from workers.log import Log

COMMENT = ": still here\n\n"
RETRY_MS = 2000

log = Log(__name__)
_STREAM_ID = re.compile(r"\d{1,20}(-\d{1,20})?")


def start_after(last_event_id: str | None) -> str:
    """The stream id to go on from; the beginning for none or nonsense."""
    if not last_event_id or not _STREAM_ID.fullmatch(last_event_id):
        return "0"
    return last_event_id if all(int(part) < 2**63 for part in last_event_id.split("-")) else "0"


def as_text(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.kind}\ndata: {event.data}\n\n"


def as_texts(waiter: Waiter, events: Iterable[Event]) -> str:
    """The text of these events, which the waiter has seen then."""
    text = ""
    for event in events:
        waiter.seen = event.id
        text += as_text(event)
    return text


class EventStream(Response):
    """The events of a job, until its `end` (or until it is gone, the client leaves, its key is taken back or the
    gateway stops). `told`: what the store had when it was asked; `is_over`: that there will be no more.

    Starlette's StreamingResponse would do; this one has a task and a few messages less for each of thousands.
    """

    media_type = "text/event-stream"

    def __init__(
        self, gateway: Gateway, waiter: Waiter, waits: AsyncExitStack, told: Sequence[Event], *, is_over: bool
    ) -> None:
        self.status_code, self.background = 200, None  # and no `body`, which would have a length
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._gateway, self._waiter, self._waits, self._told = gateway, waiter, waits, told
        self._is_over = is_over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._waits:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            left = asyncio.create_task(self._left(receive))
            try:
                async with aclosing(self._texts()) as texts:
                    async for text in texts:
                        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                        if left.done():
                            return
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                left.cancel()

    async def _left(self, receive: Receive) -> None:
        """Returns when the client has left, and lets the stream find that out."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._waiter.stir()

    async def _texts(self) -> AsyncGenerator[str, None]:
        waiter, told = self._waiter, self._told
        yield f"retry: {RETRY_MS}\n\n" + as_texts(waiter, told)
        with suppress(JobUnknown, JobGone):
            while not (self._is_over or self._gateway.is_closing or (told and told[-1].kind == "end")):
                has_news = await waiter.wait()
                if not waiter.may_wait():
                    yield revoked(job_path(waiter.job_id, self._gateway.settings.public_path))
                    return
                told = await _read(waiter, self._gateway) if has_news else ()
                yield as_texts(waiter, told) if has_news else COMMENT


def revoked(path: str) -> str:
    """The last event of a stream whose key counts no longer: the problem that its client would be answered with at the
    job's path."""
    body = problems.body_of(KeyNeeded("this API key was taken back"), path)
    return f"event: revoked\ndata: {json.dumps(body)}\n\n"


async def _read(waiter: Waiter, gateway: Gateway) -> list[Event]:
    """The events that are new; none where the store does not answer, and then the waiter is woken again.

    Raises JobUnknown or JobGone where none can come.
    """
    try:
        events = await gateway.store_threads.run(gateway.store.events, waiter.job_id, waiter.seen)
        if not events and (await gateway.status(waiter.job_id)).ended:
            raise JobGone("this job has ended")
    except StoreUnavailable:
        log.debug("the event stream waits for the store")
        waiter.set_again()
        return []
    return events
