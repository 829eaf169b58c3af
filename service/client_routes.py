"""The endpoints of a client: its own jobs, and what they came to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from service.clients import client_of, is_alone
from service.gateway import gateway_of
from service.openapi import headers_of, problems_of
from service.router import Router
from service.schemas import DayJson, JobsJson, StateName, UsageJson, job_json
from workers.errors import NotAllowed
from workers.jobs.job import JobState
from workers.jobs.store_clients import DayUsage, JobPage

router = Router()


class JobsQuery(BaseModel):
    """Which of a client's jobs; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="Jobs on a page.")
    cursor: str = Field("", max_length=100, description="Where the page begins: as `next` of the page before says.")
    state: StateName | None = Field(None, description="Jobs in this state alone.")


@router.get(
    "/jobs",
    operation_id="listJobs",
    tags=["jobs"],
    response_model=JobsJson,
    responses={
        200: {"headers": headers_of("Link", "Cache-Control")},
        **problems_of(422),
    },
)
async def list_jobs(request: Request, query: Annotated[JobsQuery, Query()]) -> Response:
    """The jobs of the client that asks, the newest first.

    `eta_s` is left to each job's own address. A page may hold fewer than `limit` although others follow. Where no keys
    are kept only clients on the service's own machine are told: others may share their address, and an id is all that
    a result needs.
    """
    if not is_alone(client_of(request)):
        raise NotAllowed("jobs are listed by API key; without a keys file they are told to this machine alone")
    gateway = gateway_of(request)
    state = None if query.state is None else JobState(query.state)
    page = await gateway.store_threads.run(
        gateway.store.jobs_of, client_of(request).id, limit=query.limit, cursor=query.cursor, state=state
    )
    prefix = gateway.settings.public_path
    body = JobsJson(jobs=[job_json(status, None, prefix) for status in page.jobs], next=page.cursor or None)
    return JSONResponse(body.model_dump(), headers={"Cache-Control": "no-store", **_link(query, page, prefix)})


def _link(query: JobsQuery, page: JobPage, prefix: str) -> dict[str, str]:
    """The next page's address (RFC 8288)."""
    if not page.cursor:
        return {}
    asked = query.model_dump(exclude_unset=True, exclude_none=True) | {"cursor": page.cursor}
    return {"Link": f'<{prefix}/jobs?{urlencode(asked)}>; rel="next"'}


@router.get("/usage", operation_id="readUsage", tags=["jobs"], response_model=UsageJson)
async def read_usage(request: Request) -> Response:
    """What the jobs that succeeded came to, by day (UTC), the newest first: of the client that asks, 35 days back."""
    gateway = gateway_of(request)
    days = await gateway.store_threads.run(gateway.store.usage_of, client_of(request).id)
    body = UsageJson(days=[_day_json(day) for day in days])
    return JSONResponse(body.model_dump(), headers={"Cache-Control": "no-store"})


def _day_json(day: DayUsage) -> DayJson:
    return DayJson(
        day=datetime.fromtimestamp(day.day * 86400, UTC).date().isoformat(),
        jobs=day.jobs,
        megapixels_in=day.pixels_in / 1e6,
        megapixels_out=day.pixels_out / 1e6,
    )
