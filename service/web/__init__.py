"""The page: static files, served as they lie here, that show what the service does to a picture.

Nothing of it comes from another host, and its policy lets nothing else in: no inline script or style, no `eval`, and no
markup made of strings (Trusted Types). All addresses in it are relative, so that it works below a path prefix.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from service.policy import SAFE, policy
from service.preferences import listed
from service.router import Router

router = Router()

POLICY = policy(
    connect_src="'self'",
    img_src="'self' blob: data:",
    style_src="'self'",
    script_src="'self'",
    require_trusted_types_for="'script'",
    trusted_types="'none'",
)
HEADERS = {**SAFE, "Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
MEDIA_TYPE = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webp": "image/webp",
}
PAGE = "page.html"


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Bytes, media type and ETag of each of the page's files, by name."""
    found = {}
    for file in files("service.web").iterdir():
        media_type = MEDIA_TYPE.get(file.name.rpartition(".")[2])
        if media_type is not None:
            data = file.read_bytes()
            found[file.name] = data, media_type, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return found


def _answer(request: Request, name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise HTTPException(404)
    data, media_type, etag = found
    headers = {**HEADERS, "ETag": etag}
    known = {tag.strip().removeprefix("W/") for tag in (listed(request.headers, "if-none-match") or "").split(",")}
    if etag in known:
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=media_type)


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """The page, without anything from another host."""
    return _answer(request, PAGE)


@router.get("/web/{name}", include_in_schema=False)
async def web_file(request: Request, name: str) -> Response:
    """A file that the page is made of."""
    return _answer(request, name)


def router_at(prefix: str) -> Router:
    """`prefix` without a slash leads to the page: below it alone the page's relative addresses are right."""
    found = Router()

    async def home() -> Response:
        return RedirectResponse(f"{prefix}/", 308, HEADERS)

    found.add_api_route(prefix, home, include_in_schema=False)
    return found
