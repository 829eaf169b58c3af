"""The endpoints that take a picture, each a short story: read, probe, make job, submit, wait, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import BeforeValidator

from models.cards import OWN_LUT, Card, Size
from models.cube import Cube
from service.answers import accepted, ended_badly, picture_of
from service.estimate import Upscaling, estimate_s
from service.house import House, house_of
from service.openapi import BODY, BODY_WITH_LUT, POST_ANSWERS
from service.preferences import Wait, choose_format, listed, read_prefer
from service.router import Router
from service.upload import read_upload
from workers.errors import NotImplementedYet, ParameterError, TooManyPixels
from workers.jobs.job import SUCCEEDED, check_strength, choose_model, new_id
from workers.operations import choice
from workers.pictures import imageio

router = Router()

ALIASES = {"jpg": "jpeg", "tif": "tiff"}


def _plain_format(value: object) -> object:
    """`JPG` is `jpeg`, `tif` is `tiff`."""
    lower = value.lower() if isinstance(value, str) else value
    return ALIASES.get(lower, lower) if isinstance(lower, str) else lower


Format = Annotated[Literal["auto", "jpeg", "png", "webp", "avif", "tiff"], BeforeValidator(_plain_format)]
FormatOrCube = Annotated[Literal["auto", "jpeg", "png", "webp", "avif", "tiff", "cube"], BeforeValidator(_plain_format)]
Quality = Annotated[int | None, Query(ge=1, le=100, description="The encoder's; lossless formats ignore it.")]
Metadata = Annotated[Literal["keep", "strip"], Query(description="EXIF and ICC of the input.")]
Lossless = Annotated[
    bool | None,
    Query(description="webp, avif: each pixel as it is. Unset: where format=auto and the picture came in lossless."),
]
Model = Annotated[str | None, Query(description="A name from GET /models.")]


@router.post(
    "/enhance",
    operation_id="enhance",
    tags=["enhance"],
    summary="Colour and tone",
    responses=POST_ANSWERS,
    openapi_extra=BODY_WITH_LUT,
    response_class=Response,
)
async def enhance(
    request: Request,
    model: Model = None,
    strength: Annotated[float, Query(ge=0, le=1, description="0: unchanged, 1: as the model says.")] = 1.0,
    format: FormatOrCube = "auto",  # noqa: A002
    quality: Quality = None,
    metadata: Metadata = "keep",
    lossless: Lossless = None,
) -> Response:
    """Colour and tone by the image-adaptive 3D LUT; `format=cube` answers with its table as a `.cube` file.

    A form may bring a `.cube` file of your own as its part `lut` (1D, 3D, or Resolve's 1D before 3D), which is applied
    instead of the model.
    """

    async def wish(header: imageio.Header, own: Cube | None) -> Wish:
        parameters: dict[str, Any] = {"strength": strength, "quality": quality, "metadata": metadata}
        if own is None:
            card = choose_model("enhance", model, house_of(request).models)
        else:
            _check_own_table(own, model, format)
            card, parameters["lut"] = OWN_LUT, own.facts()
        return Wish(card, parameters, format, lossless, header.height, header.width)

    return await _serve(request, "enhance", model, wish)


@router.post(
    "/restore",
    operation_id="restore",
    tags=["restore"],
    summary="Noise, rain and haze taken off",
    responses=POST_ANSWERS,
    openapi_extra=BODY,
    response_class=Response,
)
async def restore(
    request: Request,
    model: Model = None,
    strength: Annotated[float, Query(ge=0, le=1, description="0: unchanged, 1: as the model says.")] = 1.0,
    format: Format = "auto",  # noqa: A002
    quality: Quality = None,
    metadata: Metadata = "keep",
    lossless: Lossless = None,
) -> Response:
    """Take noise, rain streaks or haze off without being told which, by AirNet."""

    async def wish(header: imageio.Header, _: Cube | None) -> Wish:
        card = choose_model("restore", model, house_of(request).models)
        parameters = {"strength": strength, "quality": quality, "metadata": metadata}
        return Wish(card, parameters, format, lossless, header.height, header.width)

    return await _serve(request, "restore", model, wish)


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
    strength: Annotated[float, Query(ge=0, le=1, description="srgan; 0: the pixels of srresnet, 1: all detail.")] = 1.0,
    format: Format = "auto",  # noqa: A002
    quality: Quality = None,
    metadata: Metadata = "keep",
    lossless: Lossless = None,
) -> Response:
    """Enlarge by `scale`, or to `width` and/or `height`, or to `max_pixels`; by a network or a classical filter.

    `model=auto` takes the best that finishes in time (`effort=fast`: within a second), by scale, size, whether the
    picture came in lossy (JPEG, WebP, AVIF, HEIC) and the speed measured here; the header `X-Lutra-Model` says which.
    """
    house = house_of(request)
    settings = house.settings
    limits = choice.Limits(settings.max_scale, settings.max_output_pixels, settings.job_timeout_seconds)
    asked = choice.SizeAsked(scale, height, width, fit, max_pixels)

    async def wish(header: imageio.Header, _: Cube | None) -> Wish:
        small = choice.Small(header.height, header.width, header.lossy)
        speeds = await house.speeds()

        def plan(model: str | None, asked: choice.SizeAsked) -> tuple[Card, Size]:
            card, size = choice.plan_upscale(small, asked, model, effort, house.models, speeds, limits)
            check_strength(card, strength, house.models)
            return card, size

        card, size = plan(model, asked)
        parameters = {
            **{"scale": scale, "height": size[0], "width": size[1]},
            **check_strength(card, strength, house.models),
            **{"effort": effort, "quality": quality, "metadata": metadata},
        }
        return Wish(card, parameters, format, lossless, *size, Upscaling(model, asked, plan))

    return await _serve(request, "upscale", model, wish)


@dataclass(frozen=True)
class Wish:
    """What is wanted of one picture: model, parameters, format (perhaps `auto`), size of the result."""

    card: Card
    parameters: dict[str, Any]
    format: str
    lossless: bool | None
    height: int
    width: int
    upscaling: Upscaling | None = None


Wished = Callable[[imageio.Header, Cube | None], Awaitable[Wish]]


def _check_own_table(own: Cube, model: str | None, format: str) -> None:  # noqa: A002
    """Raises ParameterError for what a table of the user's own cannot be asked for."""
    if model is not None:
        raise ParameterError(
            f"a part named lut stands in place of a model; leave model={model[:40]} out", parameter="model"
        )
    if format == "cube" and not own.is_plain:
        seen = "curves (LUT_1D_SIZE)" if own.nodes_1d else "a domain other than 0 to 1"
        raise ParameterError(
            f"format=cube answers with a 3D table over 0 to 1; this part lut has {seen}", parameter="format"
        )


async def _serve(request: Request, operation: str, model: str | None, wish: Wished) -> Response:
    """Take the picture in, wait as the client prefers, and answer with the picture, the job or the problem."""
    _refuse_idempotency_key(request)
    house = house_of(request)
    wait = read_prefer(request.headers.getlist("prefer"), house.settings.sync_wait_seconds)
    if model is not None or operation != "enhance":  # of which a table of the user's own may come, and needs no model
        choose_model(operation, model, house.models)  # refuses an unknown one before anything is uploaded
    _refuse_unknown_names(request)
    headers = {"Vary": "Accept", **({"Preference-Applied": wait.applied} if wait.applied else {})}
    job_id = new_id()
    async with house.bell.listen(job_id) as ring:
        await _take_in(request, house, operation, wait, wish, job_id)
        if wait.detached and not wait.seconds:
            return await accepted(house, await house.status(job_id), headers)
        status = await house.wait_for_end(job_id, ring, wait.seconds, lambda: _client_left(request))
    if status is None:
        return Response(status_code=499)
    if status.state == SUCCEEDED:
        return await picture_of(request, house, status, headers)
    if status.ended:
        house.notes.add(job_id)
        raise ended_badly(status)
    await house.status(job_id, detach=True)
    return await accepted(house, status, headers)


async def _take_in(
    request: Request,
    house: House,
    operation: str,
    wait: Wait,
    wish: Wished,
    job_id: str,
) -> None:
    """Read, probe, make the job, submit it; the picture's bytes are let go before anybody waits."""
    settings = house.settings
    with house.uploads.hold(request.client.host if request.client else "") as hold:
        data, lut = await read_upload(
            request,
            settings.max_upload_bytes,
            hold,
            min_rate=settings.min_upload_bytes_per_second,
            takes_lut=operation == "enhance",
        )
        header = await house.probe(data)
        _refuse_pixels(header, settings.max_input_pixels)
        own = await house.read_table(lut) if lut is not None else None
        del lut
        wanted = await wish(header, own)
        accept = listed(request.headers, "accept")
        format_out = choose_format(wanted.format, accept, header.format, detached=wait.detached)
        _refuse_sides(format_out, wanted.height, wanted.width)
        lossless = imageio.is_kept_lossless(
            wanted.lossless, format_out, is_auto=wanted.format == "auto", came_in_lossy=header.lossy
        )
        parameters = {**wanted.parameters, "format": format_out, "lossless": lossless}
        sizes = (header.height, header.width), (wanted.height, wanted.width)
        job = await house.make_job(
            data,
            header,
            operation,
            wanted.card,
            parameters,
            estimate_s=await estimate_s(house, wanted.card, *sizes, parameters, wanted.upscaling),
            detached=wait.detached,
            request_id=request.state.request_id,
            job_id=job_id,
        )
        await house.submit(job, data, wanted.height * wanted.width, own.numbers if own else b"")


def _refuse_idempotency_key(request: Request) -> None:
    """Raises NotImplementedYet: who sends the key relies on a repeated request making no second job."""
    if "idempotency-key" in request.headers:
        raise NotImplementedYet(
            "Idempotency-Key is not there yet: a repeated request would make a second job; leave the header out"
        )


def _refuse_unknown_names(request: Request) -> None:
    """Raises ParameterError for a misspelt parameter, which would otherwise change nothing without a word."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        seen = ", ".join(repr(name[:40]) for name in unknown[:5])
        raise ParameterError(f"no parameter is named {seen}; known are {', '.join(known)}", allowed=known)


def _refuse_pixels(header: imageio.Header, limit: int) -> None:
    """Raises TooManyPixels, before anything is decoded."""
    pixels = header.width * header.height
    if pixels > limit:
        seen = f"{header.width}x{header.height} is {pixels} pixels, more than the {limit} allowed here"
        raise TooManyPixels(seen, pixels=pixels, limit=limit)


def _refuse_sides(format: str, height: int, width: int) -> None:  # noqa: A002
    """Raises ParameterError where the format cannot hold a picture of this size."""
    limit = imageio.MAX_SIDE.get(format)
    if limit is not None and max(height, width) > limit:
        seen = f"{width}x{height} does not fit into {format}, which holds at most {limit} pixels a side"
        fits = [f"format={name}" for name in ("png", "tiff") if max(height, width) <= imageio.MAX_SIDE[name]]
        raise ParameterError(f"{seen}; ask for {' or '.join(fits) or 'less'}", limit=limit)


async def _client_left(request: Request) -> None:
    """Returns when the connection is gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
