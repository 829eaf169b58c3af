"""The gateway's only wiring: settings in, ASGI application out. The lifespan opens the gateway and closes it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service import (
    client_routes,
    docs,
    estimate_routes,
    job_routes,
    model_routes,
    ops_routes,
    problems,
    routes,
    web,
)
from service.answers import refusal_headers
from service.authentication import admit
from service.fast_path import FastPath, Handlers
from service.gateway import gateway_of, open_gateway
from service.guard import Guard
from service.hosts import Hosts
from service.keyring import KeyRing
from service.openapi import document, problems_of
from service.origins import Door, answer_to_origins
from service.prefix import Prefix, check_prefix
from service.presets import installation_of, read_presets
from service.proxies import Proxies
from service.upload import with_hint
from workers import metrics
from workers.errors import KeyNeeded, LutraError, ParameterError, RateLimited, Unavailable
from workers.log import Log
from workers.operations import OPERATIONS
from workers.operations.operation import Operation
from workers.settings import Settings

SUMMARY = "One HTTP POST takes a photo in and gives a better photo back."
DESCRIPTION = """Send a picture as the body and read a better one as the answer: 200. What takes longer than the service
waits is a job: 202, `Location: /jobs/{id}`; `Prefer: respond-async` asks for one at once, `Prefer: wait=600` waits.

Every error is `application/problem+json` (RFC 9457) and says what was seen and what is allowed; its `type` is a stable
name. 429 and 503 say when to come back: `Retry-After`. HEAD is answered wherever GET is."""

UNKNOWN_NAME = "extra_forbidden"  # as pydantic calls it

log = Log(__name__)


def create_app(
    settings: Settings, redis_url: str, operations: Mapping[str, Operation[Any, Any]] = OPERATIONS
) -> FastAPI:
    """The ASGI application of one gateway process, with an endpoint for each of `operations`.

    Raises ParameterError where a file that the settings name is not as it should be, or the path of the public address.
    """
    check_prefix(settings.public_path)
    keys = KeyRing(settings.api_keys_file) if settings.api_keys_file else None
    presets = read_presets(settings.presets_file, operations, installation_of(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_gateway(settings, redis_url) as gateway:
            app.state.gateway = gateway
            log.info("gateway started", models=len(gateway.models))
            async with keys.watched(gateway.wakeups.dismiss) if keys else nullcontext():
                yield

    app = FastAPI(
        title="Lutra",
        version=version("lutra"),
        summary=SUMMARY,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # an address made of the Host header is wrong behind a proxy, and bodies do not follow
    )
    app.state.keys, app.state.presets = keys, presets
    app.state.metrics_key = settings.metrics_key.get_secret_value() if settings.metrics_key else None
    _include_routers(app, operations, settings.public_path)
    app.openapi = partial(document, app, settings)  # type: ignore[method-assign]
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    _add_middleware(app, settings)
    metrics.BUILD_INFO.labels(version("lutra"), settings.revision).set(1)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """What a request passes before its route, the last one first."""
    app.add_middleware(FastPath, app.state.picture_routes, HANDLERS)
    if settings.cors_origins:
        app.add_middleware(answer_to_origins, settings.cors_origins)
    hosts = Hosts(settings.hosts, settings.bind, urlsplit(settings.public_origin).hostname)
    app.add_middleware(Door, hosts, settings.cors_origins, app.state.open_paths, settings.public_origin)
    app.add_middleware(Guard)
    if settings.public_path:
        app.add_middleware(Prefix, settings.public_path)
    if settings.trusted_proxies:
        app.add_middleware(Proxies, settings.trusted_proxies)


def _include_routers(app: FastAPI, operations: Mapping[str, Operation[Any, Any]], prefix: str) -> None:
    """What needs an API key where keys are kept, and what anybody may ask."""
    documents = list(app.routes)
    pictures = routes.make_router(operations)
    app.state.picture_routes = pictures.routes
    asked = [pictures, estimate_routes.make_estimate_router(operations)]
    for_clients = [*asked, job_routes.router, client_routes.router, model_routes.router]
    for_anybody = [ops_routes.router, docs.router, web.router, *([web.router_at(prefix)] if prefix else [])]
    for router in for_clients:
        app.include_router(router, dependencies=[Depends(admit)], responses=problems_of(401, 403, 429))
    for router in for_anybody:
        app.include_router(router)
    app.state.routers = for_clients + for_anybody
    open_routes = [*documents, *(route for router in for_anybody for route in router.routes)]
    app.state.open_paths = frozenset(str(getattr(route, "path", "")) for route in open_routes)


def _address(request: Request) -> str:
    """The path as a client sees it, a URI reference."""
    return gateway_of(request).settings.public_path + quote(request.url.path)


def _instance(request: Request) -> str:
    """A job's own path (RFC 9457, 3.1.5), where the problem is a job's; else the request."""
    is_of_job = request.url.path.startswith("/jobs/")
    return _address(request) if is_of_job else f"urn:lutra:request:{request.state.request_id}"


async def _lutra_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LutraError)
    headers = {}
    if isinstance(error, KeyNeeded):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.members["retry_after_s"])))
    elif isinstance(error, Unavailable):
        headers = refusal_headers(error, await gateway_of(request).queue_or_none())
    elif error.retryable or error.retry_after_s:
        headers["Retry-After"] = str(error.retry_after_s or 30)
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
    title, detail, headers = error.detail, error.detail, dict(error.headers or {})
    if error.status_code == 404:
        detail = f"nothing is at {_address(request)[:200]}; openapi.json tells what there is"
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
        detail = f"{_address(request)} does not take {request.method}; it takes {headers['Allow']}"
    return problems.answer(problems.plain_problem(error.status_code, title, _instance(request), detail), headers)


HANDLERS: Handlers = {
    LutraError: _lutra_error,
    RequestValidationError: _bad_parameter,
    HTTPException: _http_error,
}


def _allowed_methods(request: Request) -> set[str]:
    """Methods of every route that has this path: ours, and those of the documentation, which the application has."""
    methods: set[str] = set()
    for route in (*request.app.routes, *(route for router in request.app.state.routers for route in router.routes)):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods
