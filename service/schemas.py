"""The JSON that the service answers with, as pydantic models: what OpenAPI shows is what is sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from models.cards import Card
from service import problems
from workers.jobs.job import JobState, JobStatus, rfc3339
from workers.jobs.records import QueueFacts

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Address = Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
StateName = Literal["queued", "running", "succeeded", "failed", "cancelled"]

A_PROBLEM: JsonDict = {
    "type": "urn:lutra:problem:too-many-pixels",
    "title": "Too many pixels",
    "status": 422,
    "detail": "9000x9000 is 81000000 pixels, more than the 50000000 allowed here",
    "instance": "urn:lutra:request:4bf92f3577b34da6a3ce929d0e0e4736",
    "pixels": 81000000,
    "limit": 50000000,
}
A_JOB: JsonDict = {
    "id": "5f1d7a84c3b14f0c9b7e0d1f2a3b4c5d",
    "operation": "upscale",
    "model": "lmliif",
    "parameters": {"format": "png", "scale": "3.7", "height": 1894, "width": 2842, "effort": "best"},
    "state": "running",
    "progress": 0.25,
    "created_at": "2026-11-29T11:40:00.000Z",
    "started_at": "2026-11-29T11:40:00.120Z",
    "finished_at": None,
    "expires_at": None,
    "attempts": 1,
    "input": {"format": "png", "width": 768, "height": 512, "bytes": 502888},
    "output": None,
    "found": None,
    "timings_s": {"queue": 0.12},
    "lane": "bulk",
    "queue_position": None,
    "eta_s": 14.2,
    "error": None,
    "links": {"self": "/jobs/ID", "result": "/jobs/ID/result", "events": "/jobs/ID/events"},
}


class Problem(BaseModel):
    """RFC 9457; `type` is a stable name, and further members name the limit that was hit."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [A_PROBLEM]})

    type: Address
    title: str
    status: int = Field(ge=400, le=599)
    detail: str | None = None
    instance: Address


class PictureJson(BaseModel):
    format: str
    width: int
    height: int
    bytes: int


class Links(BaseModel):
    self: Address
    result: Address
    events: Address


class JobJson(BaseModel):
    """One job. Times are RFC 3339; `progress` is 0 to 1.

    `expires_at`: when the job and its result go at the latest; null until it has ended.
    `found`: how sure a restorer is of each kind of damage that it tells apart, 0 to 1; null where none looked.
    `queue_position`: its place among those that wait in its `lane`, 1 for the next, while it waits; others that come
    later may be before it (shares).
    """

    model_config = ConfigDict(json_schema_extra={"examples": [A_JOB]})

    id: str
    operation: str
    model: str
    parameters: dict[str, Any]
    state: StateName
    progress: float = Field(ge=0, le=1)
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Time | None
    attempts: int
    input: PictureJson
    output: PictureJson | None
    found: dict[str, float] | None
    timings_s: dict[str, float]
    lane: Literal["express", "bulk"]
    queue_position: int | None
    eta_s: float | None
    error: Problem | None
    links: Links


class JobsJson(BaseModel):
    """Some of a client's jobs; `next`: the cursor of the next page, null on the last one."""

    jobs: list[JobJson]
    next: str | None


class DayJson(BaseModel):
    """The jobs of one day (UTC) that succeeded, and the megapixels of the pictures that came in and went out."""

    day: Annotated[str, Field(json_schema_extra={"format": "date"})]
    jobs: int
    megapixels_in: float
    megapixels_out: float


class UsageJson(BaseModel):
    days: list[DayJson]


class ModelJson(BaseModel):
    """One model's card, and where it is loaded now; `scores` are PSNR in dB (or as named) on the sets named.

    `fixed_scales`: the only ones that it computes (empty: any); others are resized from the next. `blends_with`: what
    `strength` 0 is. `by_name_only`: `auto` never takes it. `kinds`: of damage, which a restorer tells apart and of
    which it takes off one alone where `only` asks for it; empty: none.
    """

    name: str
    task: str
    title: str
    paper: str
    parameters: int
    licence: str
    weights_licence: str | None
    trained_on: list[str]
    distilled_from: str | None
    good_at: list[str]
    bad_at: list[str]
    min_scale: float
    max_scale: float
    fixed_scales: list[int]
    blends_with: str | None
    by_name_only: bool
    kinds: list[str]
    scores: dict[str, float]
    source: str
    sha256: str | None
    loaded: bool
    devices: list[str]


class ModelsJson(BaseModel):
    models: list[ModelJson]


class PresetJson(BaseModel):
    """`operations`: those that it can be asked with, and its parameters for each."""

    name: str
    operations: dict[str, dict[str, Any]]


class PresetsJson(BaseModel):
    presets: list[PresetJson]


class HealthJson(BaseModel):
    """`status` is ok or unavailable; the rest with `?verbose`."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "unavailable"]
    reason: str | None = None


def job_path(job_id: str, prefix: str) -> str:
    """`prefix`: the settings' `public_path`."""
    return f"{prefix}/jobs/{job_id}"


def job_json(status: JobStatus, queue: QueueFacts | None, prefix: str) -> JobJson:
    """A job as users see it; `queue`, asked about this job, says where it stands and when it will be done.

    `prefix`: see `job_path`.
    """
    path = job_path(status.id, prefix)
    error = problems.body_of(problems.stored_error(status.error), path) if status.error else None
    return JobJson(
        id=status.id,
        operation=status.operation,
        model=status.model,
        parameters=dict(status.parameters),
        state=status.state.value,  # type: ignore[arg-type]
        progress=status.progress,
        created_at=rfc3339(status.created_at) or "",
        started_at=rfc3339(status.started_at),
        finished_at=rfc3339(status.finished_at),
        expires_at=rfc3339(status.expires_at),
        attempts=status.attempts,
        input=PictureJson(**status.input),
        output=PictureJson(**status.output) if status.output and status.state is JobState.SUCCEEDED else None,
        found=status.found,
        timings_s=dict(status.timings_s),
        lane=status.lane.value,  # type: ignore[arg-type]
        queue_position=queue.standing.position if queue and status.state is JobState.QUEUED else None,
        eta_s=eta_s(status, queue),
        error=Problem(**error) if error else None,
        links=Links(self=path, result=f"{path}/result", events=f"{path}/events"),
    )


def eta_s(status: JobStatus, queue: QueueFacts | None) -> float | None:
    """Seconds until the job is probably done, from the measured speed of the models; None once it has ended."""
    if queue is None or status.ended:
        return None
    if status.state is JobState.QUEUED:
        return round(queue.wait_s, 2)
    return round(status.estimate_s * (1 - status.progress), 2)


def model_json(card: Card, devices: list[str], sha256: str | None, max_scale: float) -> ModelJson:
    """A card as it holds here; of weights that are not ours (`sha256` as a worker reported it) no scores are known."""
    ours = sha256 in (None, card.sha256)
    return ModelJson(
        name=card.name,
        task=card.task,
        title=card.title,
        paper=card.paper,
        parameters=card.parameters,
        licence=card.licence,
        weights_licence=card.weights_licence if ours else None,
        trained_on=list(card.trained_on) if ours else [],
        distilled_from=card.distilled_from if ours else None,
        good_at=list(card.good_at) if ours else [],
        bad_at=list(card.bad_at) if ours else [],
        min_scale=card.min_scale,
        max_scale=min(card.max_scale, max_scale),
        fixed_scales=list(card.fixed_scales),
        blends_with=card.blends_with,
        by_name_only=card.by_name_only,
        kinds=list(card.kinds),
        scores=card.measured.scores if ours else {},
        source=card.measured.source if ours else "",
        sha256=card.sha256 if ours else sha256,
        loaded=bool(devices),
        devices=devices,
    )
