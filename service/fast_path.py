"""The short way of a picture: from the door to its endpoint, past routers and stacks that do nothing for it.

FastAPI makes the same endpoints known (OpenAPI, the methods a path allows) and would reach them as well, through a
search of all routes, two wrappers for exceptions and three stacks for files and dependencies of which none has any: for
a job of milliseconds a fifth of what the gateway does. What a request is refused with is answered here as there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.routes import PictureRoute

# Of the classes of errors that are told to clients: the answer.
Handlers = Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]


class FastPath:
    """ASGI middleware around FastAPI's own: takes each POST to one of these routes' paths."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], handlers: Handlers) -> None:
        self._app, self._handlers, self._told = app, handlers, tuple(handlers)
        pictures = [route for route in routes if isinstance(route, PictureRoute)]
        self._endpoints = {route.path: (route, route.get_route_handler()) for route in pictures}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._endpoints.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if known is None:
            await self._app(scope, receive, send)
            return
        scope["route"], answer = known
        request = Request(scope, receive, send)
        try:
            response = await answer(request)
        except self._told as error:
            response = await self._handler_of(error)(request, error)
        await response(scope, receive, send)

    def _handler_of(self, error: Exception) -> Callable[[Request, Exception], Awaitable[Response]]:
        return next(self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers)
