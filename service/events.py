"""A job's events as Server-Sent Events (WHATWG HTML, 9.2): replay from Last-Event-ID, a comment meanwhile."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress

from service.gateway import Gateway
from service.waiting import Waiter
from workers.errors import JobGone, JobUnknown, StoreUnavailable
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


async def stream(job_id: str, after: str, gateway: Gateway) -> AsyncIterator[str]:
    """Text of the event stream, until the job's `end` (or until it is gone, or the gateway stops)."""
    yield f"retry: {RETRY_MS}\n\n"
    with suppress(JobUnknown, JobGone):
        async with gateway.wakeups.wait_for(job_id, after) as waiter:
            has_news = True
            while not gateway.is_closing:
                for event in await _read(waiter, gateway) if has_news else ():
                    waiter.seen = event.id
                    yield as_text(event)
                    if event.kind == "end":
                        return
                has_news = await waiter.wait()
                if not has_news:
                    yield COMMENT


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
