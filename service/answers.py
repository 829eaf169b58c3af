"""The answers that several endpoints share: the picture of a job, the job, when to ask again, what went wrong."""

from __future__ import annotations

import math

from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from service import problems
from service.house import House
from service.results import result_response
from service.schemas import job_json, job_path
from workers.errors import JobCancelled, LutraError
from workers.job import FAILED, JobStatus
from workers.records import QueueFacts


async def picture_of(request: Request, house: House, status: JobStatus, extra: dict[str, str]) -> Response:
    ttl_s = house.settings.result_ttl_seconds
    return await result_response(request, status, house.store, house.store_threads, ttl_s, extra)


async def accepted(house: House, status: JobStatus, headers: dict[str, str]) -> Response:
    queue = await house.queue_or_none()
    body = job_json(status, queue)
    later = {"Location": job_path(status.id), "Retry-After": retry_after(queue, status), "Cache-Control": "no-store"}
    return JSONResponse(body.model_dump(), 202, {**headers, **later})


def retry_after(queue: QueueFacts | None, status: JobStatus | None = None) -> str:
    """Whole seconds, from the measured duration of jobs: until this job is done, or until a place is free."""
    if queue is None:
        return "5"
    seconds = queue.wait_s(status.place or 0) if status else (queue.job_s or 1.0) / max(1, queue.workers_alive)
    return str(min(300, max(1, math.ceil(seconds))))


def ended_badly(status: JobStatus) -> LutraError:
    """The error of a job that has ended without a picture."""
    if status.state == FAILED and status.error:
        return problems.stored_error(status.error)
    return JobCancelled("the job was cancelled")
