"""The answers that several endpoints share: the picture of a job, the job, when to ask again, what went wrong."""

from __future__ import annotations

import math

from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from service import problems
from service.gateway import Gateway
from service.results import result_headers, result_response
from service.schemas import eta_s, job_json, job_path
from workers.errors import JobCancelled, LutraError, ShareReached, StoreFull, Unavailable
from workers.jobs.job import JobState, JobStatus
from workers.jobs.records import QueueFacts


async def picture_of(request: Request, gateway: Gateway, status: JobStatus, extra: dict[str, str]) -> Response:
    headers = {**result_headers(status, gateway.settings), **extra}
    return await result_response(request, status, gateway.store, gateway.store_threads, gateway.deliveries, headers)


async def accepted(gateway: Gateway, status: JobStatus, headers: dict[str, str]) -> Response:
    queue = await gateway.queue_or_none(status)
    prefix = gateway.settings.public_path
    body, later = job_json(status, queue, prefix), {"Retry-After": retry_after(queue, status)}
    told = {"Location": job_path(status.id, prefix), "Cache-Control": "no-store"}
    return JSONResponse(body.model_dump(), 202, {**headers, **told, **later})


def retry_after(queue: QueueFacts | None, status: JobStatus | None = None) -> str:
    """Whole seconds, from the measured speed of the models and what is before it in its lane: until this job is done,
    or until a place is free.
    """
    if queue is None:
        return "5"
    seconds = (eta_s(status, queue) or 0.0) if status else queue.place_s
    return whole_seconds(seconds)


def whole_seconds(seconds: float) -> str:
    """For Retry-After: at least 1, at most five minutes."""
    return str(min(300, max(1, math.ceil(seconds))))


def retry_refused(error: Unavailable, queue: QueueFacts | None) -> str:
    """When to try again what was refused: a full store has room when the next result expires, a full lane when one of
    its jobs is done, and a client whose share is reached when one of its own is.
    """
    lane = queue.lanes.get(error.members.get("lane", "")) if queue else None
    if isinstance(error, StoreFull) and queue is not None and queue.room_s is not None:
        return whole_seconds(queue.room_s)
    if lane is not None:
        return whole_seconds(lane.turn_s if isinstance(error, ShareReached) else lane.place_s)
    return retry_after(queue)


def refusal_headers(error: Unavailable, queue: QueueFacts | None) -> dict[str, str]:
    """When to try again; of a share that is reached also how large it is (draft-ietf-httpapi-ratelimit-headers)."""
    seconds = retry_refused(error, queue)
    if not isinstance(error, ShareReached):
        return {"Retry-After": seconds}
    policy = f'"share";q={error.members["limit"]};qu="{error.members["unit"]}"'
    return {"Retry-After": seconds, "RateLimit-Policy": policy, "RateLimit": f'"share";r=0;t={seconds}'}


def ended_badly(status: JobStatus) -> LutraError:
    """The error of a job that has ended without a picture."""
    if status.state is JobState.FAILED and status.error:
        return problems.stored_error(status.error)
    return JobCancelled("the job was cancelled")
