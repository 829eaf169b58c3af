"""The endpoints of a job: read it, its result and its events, cancel it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from service import events as sse
from service.answers import ended_badly, picture_of, retry_after
from service.clients import may_wait, owner_of
from service.gateway import gateway_of
from service.openapi import EVENTS, LAST_EVENT_ID, RANGE_HEADERS, RESULT_ANSWERS, headers_of, problems_of
from service.router import Router
from service.schemas import JobJson, job_json
from workers.errors import JobNotFinished
from workers.jobs.job import JobState

router = Router()

JobId = Annotated[str, Path()]


@router.get(
    "/jobs/{id}",
    operation_id="readJob",
    tags=["jobs"],
    response_model=JobJson,
    responses={200: {"headers": headers_of("Retry-After", "Cache-Control")}, **problems_of(404, 410)},
)
async def read_job(request: Request, id: JobId) -> Response:  # noqa: A002
    """The job as it stands."""
    gateway = gateway_of(request)
    status = await gateway.status(id, owner=owner_of(request), detach=True)
    queue = None if status.ended else await gateway.queue_or_none(status)
    headers = {"Cache-Control": "no-store"}
    if not status.ended:
        headers["Retry-After"] = retry_after(queue, status)
    return JSONResponse(job_json(status, queue, gateway.settings.public_path).model_dump(), headers=headers)


@router.get(
    "/jobs/{id}/result",
    operation_id="readResult",
    tags=["jobs"],
    response_class=Response,
    responses=RESULT_ANSWERS,
    openapi_extra={"parameters": RANGE_HEADERS},
)
async def read_result(request: Request, id: JobId) -> Response:  # noqa: A002
    """The picture of a job that succeeded; the problem of one that failed."""
    gateway = gateway_of(request)
    status = await gateway.status(id, owner=owner_of(request), detach=True)
    if status.state is JobState.SUCCEEDED:
        return await picture_of(request, gateway, status, {})
    if status.ended:
        if request.method == "GET":
            gateway.deliveries.add(id)
        raise ended_badly(status)
    raise JobNotFinished(f"the job is {status.state}", state=status.state, progress=status.progress)


@router.get(
    "/jobs/{id}/events",
    operation_id="readEvents",
    tags=["jobs"],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The events, until `end`.",
            "content": EVENTS,
            "headers": headers_of("Cache-Control"),
        },
        204: {"description": "All of them were read already, and the job has ended."},
        **problems_of(404, 410),
    },
    openapi_extra={"parameters": [LAST_EVENT_ID]},
)
async def read_events(request: Request, id: JobId) -> Response:  # noqa: A002
    """Server-Sent Events `state`, `progress` and `end`, replayed from `Last-Event-ID` on."""
    gateway = gateway_of(request)
    after = sse.start_after(request.headers.get("last-event-id"))
    async with AsyncExitStack() as waits:
        waiter = await waits.enter_async_context(gateway.wakeups.wait_for(id, after, may_wait(request)))
        status, told = await gateway.follow(id, after, owner=owner_of(request))
        is_over = status.ended and not told
        if is_over and after != "0":
            return Response(status_code=204)  # tells an EventSource that came back after `end` to stay away
        is_over |= request.method == "HEAD"
        return sse.EventStream(gateway, waiter, waits.pop_all(), told, is_over=is_over)


@router.delete(
    "/jobs/{id}",
    operation_id="cancelJob",
    tags=["jobs"],
    response_model=JobJson,
    responses={
        200: {"description": "It has ended, or is removed.", "headers": headers_of("Cache-Control")},
        202: {
            "description": "It stops at the next tile.",
            "model": JobJson,
            "headers": headers_of("Cache-Control"),
        },
        **problems_of(404, 410),
    },
)
async def cancel_job(request: Request, id: JobId) -> Response:  # noqa: A002
    """Cancel: 202 while the worker still has to notice, 200 once the job has ended.

    A job that has succeeded or failed is removed with its pictures at once: 200 and the job as it was, then 410.
    """
    gateway = gateway_of(request)
    status = await gateway.cancel(id, owner=owner_of(request))
    body = job_json(status, None, gateway.settings.public_path).model_dump()
    return JSONResponse(body, 200 if status.ended else 202, {"Cache-Control": "no-store"})
