"""The endpoints that take a picture, one for each operation, and all of one story: read, probe, plan, submit, wait,
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, get_args
from urllib.parse import parse_qsl

from fastapi import Query as InQuery
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import Field, ValidationError, create_model

from models.cube import Cube
from service.answers import accepted, ended_badly, picture_of
from service.authentication import admit_request
from service.clients import client_of
from service.gateway import gateway_of
from service.idempotency import Reservation, reserve
from service.openapi import BODY, BODY_WITH_LUT, post_answers
from service.preferences import Wait, choose_format, listed, read_prefer, wants_fresh
from service.presets import Presets
from service.rates import megapixels_taken
from service.router import Router
from service.upload import Hold, Upload, read_upload
from workers.errors import ParameterError, TooManyPixels
from workers.jobs.job import JobState
from workers.jobs.lanes import lane_of
from workers.jobs.records import CacheResult
from workers.operations.estimate import Asked, estimate_s
from workers.operations.operation import Operation, Plan, Query, plan_encoding
from workers.pictures import imageio

PresetName = Annotated[
    str | None, Field(description="Parameters by name, from GET /presets; what is given beside it wins.")
]


class PictureRoute(APIRoute):
    """Admits and reads by itself what FastAPI is told of for OpenAPI alone. For each request that would look up anew
    which dependencies there are and which fields a query has, which costs more than all that is done with them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        asked = get_args(self.endpoint.__annotations__["query"])[0]

        async def handle(request: Request) -> Response:
            await admit_request(request)
            try:
                query = asked.model_validate(_parameters(request))
            except ValidationError as error:
                faults = error.errors(include_url=False)
                raise RequestValidationError([{**fault, "loc": ("query", *fault["loc"])} for fault in faults]) from None
            response: Response = await self.endpoint(request, query)
            return response

        return handle


def _parameters(request: Request) -> dict[str, str]:
    """Those of the address, of a repeated one the last: as `request.query_params`, without its lists."""
    return dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))


def make_router(operations: Mapping[str, Operation[Any, Any]]) -> Router:
    """An endpoint for each operation, named after it."""
    router = Router(route_class=PictureRoute)
    for operation in operations.values():
        router.add_api_route(
            f"/{operation.name}",
            make_endpoint(operation),
            methods=["POST"],
            operation_id=operation.name,
            tags=[operation.name],
            summary=operation.title,
            description=operation.description,
            responses=post_answers(table=operation.takes_table),
            openapi_extra=BODY_WITH_LUT if operation.takes_table else BODY,
            response_class=Response,
        )
    return router


def make_endpoint(operation: Operation[Any, Any]) -> Any:
    async def endpoint(request: Request, query: Query) -> Response:
        presets: Presets = request.app.state.presets
        return await answer(request, operation, presets.apply(operation, query, getattr(query, "preset", None)))

    asked = create_model(f"{operation.query.__name__}Asked", __base__=operation.query, preset=(PresetName, None))
    endpoint.__annotations__["query"] = Annotated[asked, InQuery()]  # by which FastAPI reads and refuses
    endpoint.__annotations__["request"] = Request
    return endpoint


async def answer(request: Request, operation: Operation[Any, Any], query: Query) -> Response:
    """Take the picture in, wait as the client prefers, and answer with the picture, the job or the problem."""
    gateway = gateway_of(request)
    wait = read_prefer(request.headers.getlist("prefer"), gateway.settings.sync_wait_seconds)
    if query.model is not None or not operation.takes_table:  # a table of the user's own needs no model
        operation.choose(query.model, gateway.models)  # refuses an unknown one before anything is uploaded
    headers = {"Vary": "Accept", **({"Preference-Applied": wait.applied} if wait.applied else {})}
    reservation = await reserve(request, gateway)
    job_id = reservation.job_id
    async with gateway.wakeups.wait_for(job_id) as waiter:
        async with reservation.held():
            cache = await _take_in(request, operation, query, wait, reservation)
        headers["X-Cache"] = cache
        if cache is not CacheResult.MISS or reservation.is_known:
            waiter.set()  # it may have ended already
        if wait.detached and not wait.seconds:
            return await accepted(gateway, await gateway.status(job_id), headers)
        status = await gateway.wait_for_end(job_id, waiter, wait.seconds, lambda: _client_left(request))

    if status is None:
        return Response(status_code=499)
    if status.state is JobState.SUCCEEDED:
        return await picture_of(request, gateway, status, headers)
    if status.ended:
        gateway.deliveries.add(job_id)
        raise ended_badly(status)
    await gateway.status(job_id, detach=True)
    return await accepted(gateway, status, headers)


async def _take_in(
    request: Request, operation: Operation[Any, Any], query: Query, wait: Wait, reservation: Reservation
) -> CacheResult:
    """Read, probe, plan, make the job, submit it; the picture's bytes are let go before anybody waits.

    Of a request that has a job already the bytes are read and compared alone. One with a key will be asked for again:
    its job outlives the connection.
    """
    gateway = gateway_of(request)
    with gateway.uploads.hold(request.client.host if request.client else "") as hold:
        data, lut = upload = await _read(request, operation, hold)
        fingerprint = await reservation.fingerprint_of(operation.name, query, upload)
        del upload
        if reservation.is_known:
            return CacheResult((await gateway.status(reservation.job_id, detach=True)).cache)
        header = await gateway.probe(data)
        refuse_pixels(header, gateway.settings.max_input_pixels)
        table = await gateway.read_table(lut) if lut is not None else None
        del lut
        plan, seconds = await plan_for(request, operation, query, header, table, detached=wait.detached)

        client = client_of(request)
        lane = lane_of(seconds, gateway.settings.express_seconds, client.lanes)
        detached = wait.detached or bool(reservation.key)
        told = {"estimate_s": seconds, "lane": lane, "detached": detached, "request_id": request.state.request_id}
        whose = {"client": client.id, "share": client.share, "queue_share": client.queue_share}
        whose |= {"idempotency_key": reservation.key, "fingerprint": fingerprint}
        job = await gateway.make_job(data, header, plan, job_id=reservation.job_id, **told, **whose)
        height, width = plan.size
        result_bytes = operation.result_bytes(plan.parameters, height * width)
        numbers = table.numbers if table else b""
        async with megapixels_taken(request, plan.size):
            return await gateway.submit(job, data, result_bytes, numbers, is_fresh=wants_fresh(request.headers))


async def _read(request: Request, operation: Operation[Any, Any], hold: Hold) -> Upload:
    settings = gateway_of(request).settings
    return await read_upload(
        request,
        settings.max_upload_bytes,
        hold,
        min_rate=settings.min_upload_bytes_per_second,
        takes_lut=operation.takes_table,
    )


async def plan_for(
    request: Request,
    operation: Operation[Any, Any],
    query: Query,
    header: imageio.Header,
    table: Cube | None,
    *,
    detached: bool,
) -> tuple[Plan[Any], float]:
    """What the query comes to for this picture, and the seconds that it will probably take."""
    asked = Asked(query, header, await gateway_of(request).installation(), table)
    accept = listed(request.headers, "accept")
    format_out = choose_format(query.format, accept, header.format, detached=detached)
    plan = operation.plan(query, header, plan_encoding(query, format_out, header), asked.at, table)
    _refuse_sides(plan)
    return plan, estimate_s(plan, asked)


def refuse_pixels(header: imageio.Header, limit: int) -> None:
    """Raises TooManyPixels, before anything is decoded."""
    pixels = header.width * header.height
    if pixels > limit:
        seen = f"{header.width}x{header.height} is {pixels} pixels, more than the {limit} allowed here"
        raise TooManyPixels(seen, pixels=pixels, limit=limit)


def _refuse_sides(plan: Plan[Any]) -> None:
    """Raises ParameterError where the format cannot hold a picture of this size."""
    height, width = plan.size
    limit = imageio.MAX_SIDE.get(plan.parameters.format)
    if limit is not None and max(height, width) > limit:
        seen = f"{width}x{height} does not fit into {plan.parameters.format}, which holds at most {limit} pixels a side"
        fits = [f"format={name}" for name in ("png", "tiff") if max(height, width) <= imageio.MAX_SIDE[name]]
        raise ParameterError(f"{seen}; ask for {' or '.join(fits) or 'less'}", limit=limit)


async def _client_left(request: Request) -> None:
    """Returns when the connection is gone; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
