"""The endpoints that take a picture, one for each operation, and all of one story: read, probe, plan, submit, wait,
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query as InQuery
from fastapi import Request
from fastapi.responses import Response

from service.answers import accepted, ended_badly, picture_of
from service.clients import client_of
from service.gateway import gateway_of
from service.openapi import BODY, BODY_WITH_LUT, POST_ANSWERS
from service.preferences import Wait, choose_format, listed, read_prefer
from service.router import Router
from service.upload import read_upload
from workers.errors import NotImplementedYet, ParameterError, TooManyPixels
from workers.jobs.job import JobState, new_id
from workers.jobs.lanes import in_lane, lane_of
from workers.operations.estimate import Asked, estimate_s
from workers.operations.operation import Operation, Plan, Query, plan_encoding
from workers.pictures import imageio


def make_router(operations: Mapping[str, Operation[Any, Any]]) -> Router:
    """An endpoint for each operation, named after it."""
    router = Router()
    for operation in operations.values():
        router.add_api_route(
            f"/{operation.name}",
            make_endpoint(operation),
            methods=["POST"],
            operation_id=operation.name,
            tags=[operation.name],
            summary=operation.title,
            description=operation.description,
            responses=POST_ANSWERS,
            openapi_extra=BODY_WITH_LUT if operation.takes_table else BODY,
            response_class=Response,
        )
    return router


def make_endpoint(operation: Operation[Any, Any]) -> Any:
    async def endpoint(request: Request, query: Query) -> Response:
        return await answer(request, operation, query)

    endpoint.__annotations__["query"] = Annotated[operation.query, InQuery()]  # by which FastAPI reads and refuses
    endpoint.__annotations__["request"] = Request
    return endpoint


async def answer(request: Request, operation: Operation[Any, Any], query: Query) -> Response:
    """Take the picture in, wait as the client prefers, and answer with the picture, the job or the problem."""
    _refuse_idempotency_key(request)
    gateway = gateway_of(request)
    wait = read_prefer(request.headers.getlist("prefer"), gateway.settings.sync_wait_seconds)
    if query.model is not None or not operation.takes_table:  # a table of the user's own needs no model
        operation.choose(query.model, gateway.models)  # refuses an unknown one before anything is uploaded
    headers = {"Vary": "Accept", **({"Preference-Applied": wait.applied} if wait.applied else {})}
    job_id = new_id()
    async with gateway.wakeups.wait_for(job_id) as waiter:
        await _take_in(request, operation, query, wait, job_id)
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


async def _take_in(request: Request, operation: Operation[Any, Any], query: Query, wait: Wait, job_id: str) -> None:
    """Read, probe, plan, make the job, submit it; the picture's bytes are let go before anybody waits."""
    gateway = gateway_of(request)
    settings = gateway.settings
    with gateway.uploads.hold(request.client.host if request.client else "") as hold:
        data, lut = await read_upload(
            request,
            settings.max_upload_bytes,
            hold,
            min_rate=settings.min_upload_bytes_per_second,
            takes_lut=operation.takes_table,
        )
        header = await gateway.probe(data)
        _refuse_pixels(header, settings.max_input_pixels)
        table = await gateway.read_table(lut) if lut is not None else None
        del lut

        asked = Asked(query, header, await gateway.installation(), table)
        accept = listed(request.headers, "accept")
        format_out = choose_format(query.format, accept, header.format, detached=wait.detached)
        plan = operation.plan(query, header, plan_encoding(query, format_out, header), asked.at, table)
        _refuse_sides(plan)

        client, seconds = client_of(request), estimate_s(plan, asked)
        lane = lane_of(seconds, settings.express_seconds, client.lanes)
        job = await gateway.make_job(
            data,
            header,
            plan,
            estimate_s=seconds,
            detached=wait.detached,
            request_id=request.state.request_id,
            job_id=job_id,
            client=client.id,
        )
        job = in_lane(job, lane, client.share, client.queue_share)
        height, width = plan.size
        result_bytes = operation.result_bytes(plan.parameters, height * width)
        await gateway.submit(job, data, result_bytes, table.numbers if table else b"")


def _refuse_idempotency_key(request: Request) -> None:
    """Raises NotImplementedYet: who sends the key relies on a repeated request making no second job."""
    if "idempotency-key" in request.headers:
        raise NotImplementedYet(
            "Idempotency-Key is not there yet: a repeated request would make a second job; leave the header out"
        )


def _refuse_pixels(header: imageio.Header, limit: int) -> None:
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
