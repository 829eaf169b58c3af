"""The endpoints, each a short story: read, probe, make job, submit, wait, answer."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from models.cards import Card
from service import events as sse
from service import problems
from service.estimate import refuse_too_long
from service.house import House
from service.preferences import Wait, choose_format, read_prefer
from service.results import result_response
from service.schemas import HealthJson, JobJson, ModelsJson, Problem, job_json, job_path, model_json
from service.scrape import registry_of
from service.upload import read_picture
from workers import geometry, imageio
from workers.errors import JobCancelled, JobNotFinished, LutraError, NoWorker, StoreUnavailable, TooManyPixels
from workers.job import CANCELLED, FAILED, SUCCEEDED, JobStatus, choose_model
from workers.store import QueueFacts

router = APIRouter()

Format = Literal["auto", "jpeg", "png", "webp", "avif", "tiff"]
Quality = Annotated[int | None, Query(ge=1, le=100, description="The encoder's; lossless formats ignore it.")]
Metadata = Annotated[Literal["keep", "strip"], Query(description="EXIF and ICC of the input.")]
Model = Annotated[str | None, Query(description="A name from GET /models.")]
JobId = Annotated[str, Path(min_length=1, max_length=64)]

PICTURE: dict[str, Any] = {media_type: {} for media_type in imageio.MEDIA_TYPE.values()}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "content": {problems.MEDIA_TYPE: {}}} for status in statuses}


POST_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The better picture.", "content": PICTURE},
    202: {"description": "Not ready yet; Location names the job.", "model": JobJson},
    **_problems(400, 406, 413, 415, 422, 500, 503),
}


def house_of(request: Request) -> House:
    house: House = request.app.state.house
    return house


# -- pictures --------------------------------------------------------------------------------------------------------


@router.post(
    "/enhance",
    operation_id="enhance",
    tags=["enhance"],
    summary="Colour and tone",
    responses=POST_ANSWERS,
    openapi_extra=BODY,
    response_class=Response,
)
async def enhance(
    request: Request,
    model: Model = None,
    strength: Annotated[float, Query(ge=0, le=1, description="0: unchanged, 1: as the model says.")] = 1.0,
    format: Format | Literal["cube"] = "auto",  # noqa: A002
    quality: Quality = None,
    metadata: Metadata = "keep",
) -> Response:
    """Colour and tone by the image-adaptive 3D LUT; `format=cube` answers with its table as a `.cube` file."""
    house, wait = house_of(request), _wait(request)
    card = choose_model("enhance", model, house.models)
    data, header = await _read(request, house)
    parameters = {
        "strength": strength,
        "format": _format(request, format, header, wait),
        "quality": quality,
        "metadata": metadata,
    }
    return await _answer(request, house, data, header, "enhance", card, parameters, header.width * header.height, wait)


@router.post(
    "/upscale",
    operation_id="upscale",
    tags=["upscale"],
    summary="Super-resolution at any scale",
    responses=POST_ANSWERS,
    openapi_extra=BODY,
    response_class=Response,
)
async def upscale(
    request: Request,
    scale: Annotated[str | None, Query(description="More than 1, for instance 3.7 or 7/2.", examples=["3.7"])] = None,
    width: Annotated[str | None, Query(description="Pixels; with height: fit inside.")] = None,
    height: Annotated[str | None, Query(description="Pixels; with width: fit inside.")] = None,
    fit: Literal["inside", "fill"] = "inside",
    max_pixels: Annotated[str | None, Query(description="The largest size of at most so many pixels.")] = None,
    model: Model = None,
    effort: Literal["fast", "best"] = "best",
    format: Format = "auto",  # noqa: A002
    quality: Quality = None,
    metadata: Metadata = "keep",
) -> Response:
    """Enlarge by `scale`, or to `width` and/or `height`, or to `max_pixels`; by a network or a classical filter."""
    house, wait = house_of(request), _wait(request)
    card = choose_model("upscale", model, house.models)
    data, header = await _read(request, house)
    out_height, out_width = geometry.target_size(
        header.height,
        header.width,
        scale=scale,
        out_height=height,
        out_width=width,
        fit=fit,
        max_pixels=max_pixels,
        model=card.name,
        min_scale=Fraction(card.min_scale),
        max_scale=Fraction(min(card.max_scale, house.settings.max_scale)),
        max_output_pixels=house.settings.max_output_pixels,
    )
    parameters = {
        "scale": scale,
        "height": out_height,
        "width": out_width,
        "effort": effort,
        "format": _format(request, format, header, wait),
        "quality": quality,
        "metadata": metadata,
    }
    return await _answer(request, house, data, header, "upscale", card, parameters, out_height * out_width, wait)


def _wait(request: Request) -> Wait:
    return read_prefer(request.headers.getlist("prefer"), house_of(request).settings.sync_wait_seconds)


def _format(request: Request, asked: str, header: imageio.Header, wait: Wait) -> str:
    return choose_format(asked, request.headers.get("accept"), header.format, detached=wait.detached)


async def _read(request: Request, house: House) -> tuple[bytes, imageio.Header]:
    """The upload and what its header says; too many pixels are refused here, before anything is decoded."""
    data = await read_picture(request, house.settings.max_upload_bytes)
    header = await house.probe(data)
    pixels, limit = header.width * header.height, house.settings.max_input_pixels
    if pixels > limit:
        seen = f"{header.width}x{header.height} is {pixels} pixels, more than the {limit} allowed here"
        raise TooManyPixels(seen, pixels=pixels, limit=limit)
    return data, header


async def _answer(
    request: Request,
    house: House,
    data: bytes,
    header: imageio.Header,
    operation: str,
    card: Card,
    parameters: dict[str, Any],
    output_pixels: int,
    wait: Wait,
) -> Response:
    """Make the job, submit it, wait as the client prefers, and answer with the picture, the job or the problem."""
    await refuse_too_long(house, card, header, output_pixels)
    told = {"detached": wait.detached, "request_id": request.state.request_id}
    job = await house.make_job(data, header, operation, card, parameters, **told)
    await house.submit(job, data, output_pixels)
    status = await house.wait_for_end(job.id, wait.seconds, lambda: _client_left(request))
    if status is None:
        return Response(status_code=499)
    headers = {"Vary": "Accept", **({"Preference-Applied": wait.applied} if wait.applied else {})}
    if status.state == SUCCEEDED:
        return await _picture(request, house, status, headers)
    if status.ended:
        raise ended_badly(status)
    await house.status(job.id, detach=True)
    return await _accepted(house, status, headers)


async def _client_left(request: Request) -> None:
    """Returns when the connection is gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _picture(request: Request, house: House, status: JobStatus, extra: dict[str, str]) -> Response:
    ttl_s = house.settings.result_ttl_seconds
    return await result_response(request, status, house.store, house.store_threads, ttl_s, extra)


async def _accepted(house: House, status: JobStatus, headers: dict[str, str]) -> Response:
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


# -- jobs ------------------------------------------------------------------------------------------------------------


@router.get(
    "/jobs/{id}", operation_id="readJob", tags=["jobs"], response_model=JobJson, responses=_problems(404, 410, 503)
)
async def read_job(request: Request, id: JobId) -> Response:  # noqa: A002
    """The job as it stands."""
    house = house_of(request)
    status = await house.status(id, detach=True)
    queue = None if status.ended else await house.queue_or_none()
    headers = {"Cache-Control": "no-store"}
    if not status.ended:
        headers["Retry-After"] = retry_after(queue, status)
    return JSONResponse(job_json(status, queue).model_dump(), headers=headers)


@router.api_route(
    "/jobs/{id}/result",
    methods=["GET", "HEAD"],
    operation_id="readResult",
    tags=["jobs"],
    response_class=Response,
    responses={200: {"content": PICTURE}, **_problems(404, 409, 410, 422, 500, 503)},
)
async def read_result(request: Request, id: JobId) -> Response:  # noqa: A002
    """The picture of a job that succeeded; the problem of one that failed."""
    house = house_of(request)
    status = await house.status(id, detach=True)
    if status.state == SUCCEEDED:
        return await _picture(request, house, status, {})
    if status.state in (FAILED, CANCELLED):
        raise ended_badly(status)
    raise JobNotFinished(f"the job is {status.state}", state=status.state, progress=status.progress)


@router.get(
    "/jobs/{id}/events",
    operation_id="readEvents",
    tags=["jobs"],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **_problems(404, 410, 503)},
)
async def read_events(request: Request, id: JobId) -> Response:  # noqa: A002
    """Server-Sent Events `state`, `progress` and `end`, replayed from `Last-Event-ID` on."""
    house = house_of(request)
    await house.status(id, detach=True)
    after = sse.start_after(request.headers.get("last-event-id"))
    text = sse.stream(id, after, house.bell, house.store, house.store_threads)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(text, headers=headers, media_type="text/event-stream")


@router.delete(
    "/jobs/{id}",
    operation_id="cancelJob",
    tags=["jobs"],
    response_model=JobJson,
    responses={202: {"model": JobJson, "description": "It stops at the next tile."}, **_problems(404, 410, 503)},
)
async def cancel_job(request: Request, id: JobId) -> Response:  # noqa: A002
    """Cancel; 202 while the worker still has to notice, 200 once the job has ended."""
    house = house_of(request)
    await house.cancel(id)
    status = await house.status(id)
    body = job_json(status, None).model_dump()
    return JSONResponse(body, 200 if status.ended else 202, {"Cache-Control": "no-store"})


# -- models and health -----------------------------------------------------------------------------------------------


@router.get("/models", operation_id="listModels", tags=["models"], response_model=ModelsJson)
async def list_models(request: Request) -> ModelsJson:
    """Every model that is served: facts, scores, and the devices that hold it now."""
    house = house_of(request)
    try:
        children = await house.store_threads.run(house.store.children)
    except StoreUnavailable:
        children = {}
    devices: dict[str, list[str]] = {name: [] for name in house.models}
    for facts in children.values():
        for name in facts.get("models", {}):
            if name in devices and facts["device"] not in devices[name]:
                devices[name].append(facts["device"])
    return ModelsJson(models=[model_json(card, devices[name]) for name, card in house.models.items()])


@router.get("/livez", operation_id="livez", tags=["ops"], response_model=HealthJson, response_model_exclude_none=True)
async def livez() -> HealthJson:
    """The process is alive; nothing else is asked."""
    return HealthJson(status="ok")


@router.get(
    "/readyz",
    operation_id="readyz",
    tags=["ops"],
    response_model=HealthJson,
    responses={503: {"model": HealthJson}},
)
async def readyz(request: Request, verbose: Annotated[str | None, Query()] = None) -> Response:
    """Redis answers and at least one worker child with its models loaded has a live heartbeat."""
    house = house_of(request)
    try:
        queue = await house.queue()
        if not queue.workers_alive:
            raise NoWorker("no worker is alive")
    except LutraError as error:
        headers = {"Retry-After": "5", "Cache-Control": "no-store"}
        return JSONResponse({"status": "unavailable", "reason": error.message}, 503, headers)
    body: dict[str, Any] = {"status": "ok"}
    if verbose is not None and verbose.lower() not in ("0", "false", "no"):
        body["queue"] = {"queued": queue.queued, "running": queue.running, "capacity": house.settings.queue_size}
        body["workers"] = await house.store_threads.run(house.store.children)
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


@router.get("/metrics", operation_id="metrics", tags=["ops"], response_class=PlainTextResponse)
async def read_metrics(request: Request) -> Response:
    """Prometheus text format."""
    house = house_of(request)
    queue = await house.queue_or_none()
    text = await house.picture_threads.run(generate_latest, registry_of(queue, house.settings.queue_size))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
