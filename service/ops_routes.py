"""The endpoints for operators: health, metrics."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.authentication import admit_scrape
from service.gateway import gateway_of
from service.openapi import headers_of, problems_of
from service.router import Router
from service.schemas import HealthJson
from service.scrape import registry_of
from workers.errors import LutraError, NoWorker, Unavailable

router = Router()

Verbose = Annotated[str | None, Query(description="Anything but 0, false or no: also the queue and the workers.")]


@router.get("/livez", operation_id="livez", tags=["ops"], response_model=HealthJson, response_model_exclude_none=True)
async def livez() -> HealthJson:
    """The process is alive; nothing else is asked."""
    return HealthJson(status="ok")


@router.get(
    "/readyz",
    operation_id="readyz",
    tags=["ops"],
    response_model=HealthJson,
    responses={
        503: {
            "description": "Nothing would be served now, and why.",
            "model": HealthJson,
            "content": problems_of(503)[503]["content"],
            "headers": headers_of("Retry-After"),
        }
    },
)
async def readyz(request: Request, verbose: Verbose = None) -> Response:
    """Redis answers and at least one worker child with its models loaded has a live heartbeat."""
    gateway = gateway_of(request)
    try:
        queue = await gateway.queue()
        if not queue.workers_alive:
            returns = await gateway.store_threads.run(gateway.store.worker_returns)
            loading = "no worker is alive; one is loading its models, and jobs are taken in for it"
            raise NoWorker(loading if returns else "no worker is alive")
    except LutraError as error:
        headers = {"Retry-After": "5", "Cache-Control": "no-store"}
        return JSONResponse({"status": "unavailable", "reason": error.message}, 503, headers)
    body: dict[str, Any] = {"status": "ok"}
    if verbose is not None and verbose.lower() not in ("0", "false", "no"):
        body["queue"] = {"queued": queue.queued, "running": queue.running, "capacity": gateway.settings.queue_size}
        body["queue"]["lanes"] = {
            lane: {"queued": of.queued, "running": of.running} for lane, of in queue.lanes.items()
        }
        body["workers"] = await gateway.store_threads.run(gateway.store.children)
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


@router.get(
    "/metrics",
    operation_id="metrics",
    tags=["ops"],
    response_class=PlainTextResponse,
    dependencies=[Depends(admit_scrape)],
    responses=problems_of(401),
)
async def read_metrics(request: Request) -> Response:
    """Prometheus text format."""
    gateway = gateway_of(request)
    queue, memory = await gateway.queue_or_none(), None
    with suppress(Unavailable):
        memory = await gateway.store_threads.run(gateway.store.memory)
    shown = registry_of(queue, gateway.store.limits.lane_places, memory)
    text = await gateway.picture_threads.run(generate_latest, shown)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
