"""What every request passes: its id, one access log line, HTTP metrics, and the last catch for what nobody foresaw.

Pure ASGI, so that streams stay streams. Request ids: `X-Request-ID` if it is sane, else the trace id of a W3C
`traceparent`, else a new one.
"""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from workers import metrics
from workers.errors import InternalError
from workers.log import Log, about
from workers.metrics import labelled

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET_PATHS = frozenset({"/livez", "/readyz", "/metrics"})

log = Log(__name__)


def request_id_of(headers: Headers) -> str:
    """The id that the client brought, or a new one."""
    brought = headers.get("x-request-id", "")
    if _SANE_ID.fullmatch(brought):
        return brought
    trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if trace and trace.group(1) != "0" * 32:
        return trace.group(1)
    return secrets.token_hex(16)


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(scope, send, request_id)
        with about(request_id=request_id):
            try:
                await self.app(scope, receive, exchange.send)
            except Exception:
                log.exception("request failed by our fault", path=scope["path"])
                await exchange.fail()
            finally:
                exchange.account()


class _Exchange:
    """One request's answer on its way out."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self._start = time.perf_counter()
        self._status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            fields = self._scope["state"].get("fields", {})  # what `service.rates` has to say
            told = {"X-Request-ID": self._request_id, **fields}
            own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)

    async def fail(self) -> None:
        """500 with the request id only, unless the answer has already begun."""
        if self._status:
            return
        body = problems.body_of(InternalError(""), f"urn:lutra:request:{self._request_id}")
        await problems.answer(body)(self._scope, _no_receive, self.send)

    def account(self) -> None:
        """Metrics and the access log. The label is the route's template, never the path that was sent."""
        seconds = time.perf_counter() - self._start
        route = self._scope.get("route")
        handler = getattr(route, "path", None) or "none"
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        status = self._status or 499
        labelled(metrics.HTTP_REQUESTS, handler, method, str(status)).inc()
        labelled(metrics.HTTP_DURATION, handler, method).observe(seconds)
        say = log.debug if self._scope["path"] in QUIET_PATHS else log.info
        client = self._scope["state"].get("client")  # by its key's name, where keys are kept
        who = {"client": client.id} if client else {}
        say("request", method=method, path=self._scope["path"], status=status, seconds=round(seconds, 4), **who)


async def _no_receive() -> Message:
    return {"type": "http.disconnect"}
