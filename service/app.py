"""The gateway's only wiring: settings in, ASGI application out. The lifespan opens the gateway and closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from service import job_routes, ops_routes, problems, routes, web
from service.answers import retry_refused
from service.gateway import gateway_of, open_gateway
from service.guard import Guard
from service.upload import with_hint
from workers import metrics
from workers.errors import LutraError, ParameterError, Unavailable
from workers.log import Log
from workers.operations import OPERATIONS
from workers.operations.operation import Operation
from workers.settings import Settings

DESCRIPTION = """One HTTP POST takes a photo in and gives a better photo back.

Errors are `application/problem+json` (RFC 9457). Ask for `Prefer: respond-async` to get a job instead of waiting."""

EXPOSED = [
    "Content-Location",
    "ETag",
    "Location",
    "Retry-After",
    "Server-Timing",
    "X-Job-Id",
    "X-Lutra-Found",
    "X-Lutra-Model",
]

UNKNOWN_NAME = "extra_forbidden"  # as pydantic calls it

log = Log(__name__)


def create_app(
    settings: Settings, redis_url: str, operations: Mapping[str, Operation[Any, Any]] = OPERATIONS
) -> FastAPI:
    """The ASGI application of one gateway process, with an endpoint for each of `operations`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(settings, redis_url) as gateway:
            app.state.gateway = gateway
            log.info("gateway started", models=len(gateway.models))
            yield

    app = FastAPI(
        title="Lutra",
        version=version("lutra"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # an address made of the Host header is wrong behind a proxy, and bodies do not follow
    )
    app.state.routers = [routes.make_router(operations), job_routes.router, ops_routes.router, web.router]
    for router in app.state.routers:
        app.include_router(router)
    app.add_exception_handler(LutraError, _lutra_error)
    app.add_exception_handler(RequestValidationError, _bad_parameter)
    app.add_exception_handler(HTTPException, _http_error)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(Guard)
    metrics.BUILD_INFO.labels(version("lutra"), settings.revision).set(1)
    return app


def _instance(request: Request) -> str:
    """A job's own path where the problem is a job's, else the request."""
    path = request.url.path
    return path if path.startswith("/jobs/") else f"urn:lutra:request:{request.state.request_id}"


async def _lutra_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LutraError)
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = retry_refused(error, await gateway_of(request).queue_or_none())
    elif error.retryable:
        headers["Retry-After"] = "30"
    return problems.answer(problems.body_of(with_hint(request, error), _instance(request)), headers)


async def _bad_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    unknown = [str(fault["loc"][-1]) for fault in error.errors() if fault["type"] == UNKNOWN_NAME]
    faults = [fault for fault in error.errors() if fault["type"] != UNKNOWN_NAME]
    if not faults:
        return await _lutra_error(request, _unknown_names(request, unknown))
    seen = [
        {"parameter": str(fault["loc"][-1]), "message": fault["msg"], "input": str(fault.get("input"))[:100]}
        for fault in faults
    ]
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in seen)
    body = problems.plain_problem(422, "A parameter cannot be used", _instance(request), detail)
    return problems.answer({**body, "type": problems.type_of("bad_parameter"), "errors": seen})


def _unknown_names(request: Request, unknown: Sequence[str]) -> ParameterError:
    """A misspelt parameter would otherwise change nothing without a word."""
    queries = [field.field_info.annotation for field in request.scope["route"].dependant.query_params]
    known = [name for query in queries for name in getattr(query, "model_fields", ())]
    seen = ", ".join(repr(name[:40]) for name in unknown[:5])
    return ParameterError(f"no parameter is named {seen}; known are {', '.join(known)}", allowed=known)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = problems.plain_problem(error.status_code, str(error.detail), _instance(request))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
    return problems.answer(body, headers)


def _allowed_methods(request: Request) -> set[str]:
    """Methods of every route that has this path: ours, and those of the documentation, which the application has."""
    methods: set[str] = set()
    for route in (*request.app.routes, *(route for router in request.app.state.routers for route in router.routes)):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods
