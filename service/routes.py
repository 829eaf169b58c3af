"""The endpoints that take a picture, each a short story: read, probe, make job, submit, wait, answer."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from models.cards import Card
from service.answers import accepted, ended_badly, picture_of
from service.estimate import refuse_too_long
from service.house import House, house_of
from service.openapi import BODY, POST_ANSWERS
from service.preferences import Wait, choose_format, read_prefer
from service.upload import read_picture
from workers import geometry, imageio
from workers.errors import ParameterError, TooManyPixels
from workers.job import SUCCEEDED, choose_model

router = APIRouter()

Format = Literal["auto", "jpeg", "png", "webp", "avif", "tiff"]
Quality = Annotated[int | None, Query(ge=1, le=100, description="The encoder's; lossless formats ignore it.")]
Metadata = Annotated[Literal["keep", "strip"], Query(description="EXIF and ICC of the input.")]
Model = Annotated[str | None, Query(description="A name from GET /models.")]


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
    _refuse_sides(parameters["format"], parameters.get("height", header.height), parameters.get("width", header.width))
    await refuse_too_long(house, card, header, output_pixels)
    told = {"detached": wait.detached, "request_id": request.state.request_id}
    job = await house.make_job(data, header, operation, card, parameters, **told)
    await house.submit(job, data, output_pixels)
    headers = {"Vary": "Accept", **({"Preference-Applied": wait.applied} if wait.applied else {})}
    if wait.detached and not wait.seconds:
        return await accepted(house, await house.status(job.id), headers)
    status = await house.wait_for_end(job.id, wait.seconds, lambda: _client_left(request))
    if status is None:
        return Response(status_code=499)
    if status.state == SUCCEEDED:
        return await picture_of(request, house, status, headers)
    if status.ended:
        raise ended_badly(status)
    await house.status(job.id, detach=True)
    return await accepted(house, status, headers)


def _refuse_sides(format: str, height: int, width: int) -> None:  # noqa: A002
    """Raises ParameterError where the format cannot hold a picture of this size."""
    limit = imageio.MAX_SIDE.get(format)
    if limit is not None and max(height, width) > limit:
        seen = f"{width}x{height} does not fit into {format}, which holds at most {limit} pixels a side"
        raise ParameterError(f"{seen}; ask for format=png or format=tiff", limit=limit)


async def _client_left(request: Request) -> None:
    """Returns when the connection is gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
