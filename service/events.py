"""A job's events as Server-Sent Events (WHATWG HTML, 9.2): replay from Last-Event-ID, a comment meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

from service.gateway import Gateway
from workers.errors import JobGone, JobUnknown, StoreUnavailable
from workers.jobs.records import Event
from workers.log import Log

COMMENT_EVERY_S = 10.0
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


async def stream(job_id: str, after: str, gateway: Gateway) -> AsyncIterator[str]:
    """Text of the event stream, until the job's `end` (or until it is gone, or the gateway stops)."""
    store, threads = gateway.store, gateway.store_threads
    yield f"retry: {RETRY_MS}\n\n"
    spoke = time.monotonic()
    async with gateway.wakeups.wait_for(job_id, every_event=True) as waiter:
        while not gateway.is_closing:
            try:
                events = await threads.run(store.events, job_id, after)
                for event in events:
                    after, spoke = event.id, time.monotonic()
                    yield as_text(event)
                    if event.kind == "end":
                        return
                if not events and (await threads.run(store.status, job_id)).ended:
                    return
            except StoreUnavailable:
                log.debug("the event stream waits for the store")
            except (JobUnknown, JobGone):
                return
            if time.monotonic() - spoke >= COMMENT_EVERY_S:
                spoke = time.monotonic()
                yield ": still here\n\n"
            await waiter.wait(COMMENT_EVERY_S)
