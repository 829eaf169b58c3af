"""Which pages may ask, through their readers' browsers: this gateway's own, and those of LUTRA_CORS_ORIGINS.

Any page can have a browser send a POST to a gateway on its reader's machine, and needs no answer for that to do harm.
The browser says who asks: in `Sec-Fetch-Site`, which no page can change, and in `Origin`. What comes from no browser
has neither. Of other pages' requests only those pass that read what needs no key, and a link that is followed, for no
page sees what is shown then.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import ALL_METHODS, CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.hosts import Hosts
from workers.errors import BadRequest, ForeignOrigin, LutraError

EXPOSED = (
    *("Accept-Ranges", "Content-Disposition", "Content-Location", "Content-Range", "ETag", "Link", "Location"),
    *("Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After", "Server-Timing", "WWW-Authenticate"),
    *("X-Cache", "X-Job-Id", "X-Lutra-Found", "X-Lutra-Model", "X-Request-ID"),
)
READING_METHODS = frozenset({"GET", "HEAD"})
DEFAULT_PORT = {"http": ":80", "https": ":443"}


class Door:
    """ASGI middleware before everything that does something: looks at `Host`, then at who asks."""

    def __init__(
        self, app: ASGIApp, hosts: Hosts, origins: tuple[str, ...], open_paths: frozenset[str], public_origin: str = ""
    ) -> None:
        self._app, self._hosts, self._origins, self._open_paths = app, hosts, origins, open_paths
        self._public_origin = public_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except LutraError as error:
                body = problems.body_of(error, f"urn:lutra:request:{scope['state']['request_id']}")
                await problems.answer(body)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises BadRequest, WrongHost or ForeignOrigin."""
        host, headers = self._hosts.check(scope), Headers(scope=scope)
        is_reading = scope["method"] in READING_METHODS
        if is_reading and (scope["path"] in self._open_paths or _is_followed_link(headers)):
            return
        if self._is_foreign(headers, host or ""):
            seen = headers.get("origin", "another site")[:100]
            raise ForeignOrigin(f"pages of {seen} may not ask here; whoever runs it can name it in LUTRA_CORS_ORIGINS")
        if scope["method"] == "OPTIONS" and self._origins:
            self._check_preflight(headers)

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is not None and self._may_ask(origin):
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        return origin is not None and not self._is_own(origin, host)

    def _is_own(self, origin: str, host: str) -> bool:
        """A proxy may have put another name into `Host`; LUTRA_PUBLIC_URL tells what it was."""
        return is_same_host(origin, host) or (origin.lower() == self._public_origin != "")

    def _check_preflight(self, headers: Headers) -> None:
        """Raises BadRequest for what the answers to origins would refuse, and not as a problem."""
        method = headers.get("access-control-request-method")
        if "origin" in headers and method is not None:
            if method not in ALL_METHODS:
                raise BadRequest(f"no method {method[:20]!r} is served here")
            if not self._may_ask(headers["origin"]):
                raise BadRequest("a page of this gateway need not ask before it asks")

    def _may_ask(self, origin: str) -> bool:
        return "*" in self._origins or origin.lower() in self._origins


def _is_followed_link(headers: Headers) -> bool:
    """Of a page elsewhere, or typed: shown to the reader, and not to the page."""
    return headers.get("sec-fetch-mode") == "navigate" and "origin" not in headers


def is_same_host(origin: str, host: str) -> bool:
    """Whether an `Origin` is of the host and port that `Host` names; a proxy may have changed the scheme."""
    scheme, _, place = origin.lower().partition("://")
    port = DEFAULT_PORT.get(scheme, "")
    return bool(place) and place.removesuffix(port) == host.lower().removesuffix(port)


def answer_to_origins(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """What pages of these origins need to read answers (the Fetch standard's CORS); others do not come so far."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=ALL_METHODS,
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=EXPOSED,
    )
