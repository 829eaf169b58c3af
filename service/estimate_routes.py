"""What a request would come to, asked before a byte is sent: model, size, seconds, or the very problem it would have.

The plan is that of the request itself (`service.routes.plan_for`), made for a picture of which only the size and format
are told. What the file alone can say (that a WebP is lossless, that it is damaged) is found when it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Query as InQuery
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, create_model

from service.clients import client_of
from service.gateway import gateway_of
from service.openapi import problems_of
from service.presets import Presets
from service.router import Router
from service.routes import PresetName, plan_for, refuse_pixels
from workers.jobs.lanes import lane_of
from workers.jobs.records import LaneFacts
from workers.operations.operation import Operation, Query
from workers.pictures import imageio
from workers.settings import Settings

LOSSY = frozenset({"jpeg", "webp", "avif", "heic"})

FormatIn = Literal["jpeg", "png", "webp", "avif", "tiff", "bmp", "gif", "heic"]
Side = Annotated[int, Field(ge=1, le=10**6, description="Pixels of the picture as it is, upright.")]
OfFormat = Annotated[FormatIn, Field(description="The picture's own format.")]


class LimitsJson(BaseModel):
    """What is allowed here."""

    max_upload_bytes: int
    max_input_pixels: int
    max_output_pixels: int
    max_scale: float
    job_timeout_seconds: float


class EstimateJson(BaseModel):
    """What comes out, and when: `seconds` from its start on, `wait_s` before that; `queued` jobs wait in its `lane`."""

    operation: str
    model: str
    format: str
    width: int
    height: int
    seconds: float
    wait_s: float | None
    queued: int | None
    lane: Literal["express", "bulk"]
    limits: LimitsJson


def make_estimate_router(operations: Mapping[str, Operation[Any, Any]]) -> Router:
    """`GET /NAME/estimate` for each operation, with its own parameters."""
    router = Router()
    for operation in operations.values():
        router.add_api_route(
            f"/{operation.name}/estimate",
            _make_endpoint(operation),
            operation_id=f"estimate{operation.name.capitalize()}",
            tags=[operation.name],
            summary=f"{operation.title}: what it would come to",
            description="Model, size and seconds of a picture of this size, or the problem that it would be refused "
            "with. Nothing is sent and nothing computed.",
            response_model=EstimateJson,
            responses=problems_of(406, 422),
        )
    return router


def _make_endpoint(operation: Operation[Any, Any]) -> Any:
    async def endpoint(request: Request, query: Query) -> Response:
        presets: Presets = request.app.state.presets
        asked = presets.apply(operation, query, getattr(query, "preset", None))
        answer = await _estimate(request, operation, asked, _header_of(query))
        return JSONResponse(answer.model_dump(), headers={"Cache-Control": "no-store"})

    told: dict[str, Any] = {"of_width": (Side, ...), "of_height": (Side, ...), "of_format": (OfFormat, "png")}
    base = operation.query
    asked = create_model(f"{base.__name__}Estimated", __base__=base, preset=(PresetName, None), **told)
    endpoint.__annotations__["query"] = Annotated[asked, InQuery()]  # by which FastAPI reads and refuses
    endpoint.__annotations__["request"] = Request
    return endpoint


def _header_of(query: Any) -> imageio.Header:
    lossy = query.of_format in LOSSY
    return imageio.Header(
        query.of_format, query.of_width, query.of_height, 8, has_alpha=False, is_grey=False, lossy=lossy
    )


async def _estimate(
    request: Request, operation: Operation[Any, Any], query: Query, header: imageio.Header
) -> EstimateJson:
    """Raises what the request itself would."""
    gateway = gateway_of(request)
    refuse_pixels(header, gateway.settings.max_input_pixels)
    plan, seconds = await plan_for(request, operation, query, header, None, detached=True)
    lane = lane_of(seconds, gateway.settings.express_seconds, client_of(request).lanes)
    queue = await gateway.queue_or_none()
    before = queue.lanes.get(lane, LaneFacts()) if queue else None
    height, width = plan.size
    return EstimateJson(
        operation=operation.name,
        model=plan.card.name,
        format=plan.parameters.format,
        width=width,
        height=height,
        seconds=round(seconds, 2),
        wait_s=round(before.work_s / max(1, before.children), 2) if before else None,
        queued=before.queued if before else None,
        lane=lane.value,  # type: ignore[arg-type]
        limits=_limits(gateway.settings),
    )


def _limits(settings: Settings) -> LimitsJson:
    return LimitsJson(
        max_upload_bytes=settings.max_upload_bytes,
        max_input_pixels=settings.max_input_pixels,
        max_output_pixels=settings.max_output_pixels,
        max_scale=settings.max_scale,
        job_timeout_seconds=settings.job_timeout_seconds,
    )
