"""/docs and /redoc: Swagger UI and Redoc over our own OpenAPI document, without anything from another host.

Their files lie here packed by gzip, as they are sent (LICENSES.txt says what they are): 0.8 MB instead of 3.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from service.policy import SAFE, policy
from service.preferences import listed
from service.router import Router

router = Router()

PAGES = {"/docs": "swagger.html", "/redoc": "redoc.html"}
FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger.js": "text/javascript",
    "redoc.standalone.js": "text/javascript",
}
# Redoc writes its styles while it runs, and searches in a worker made of a blob.
STYLES = {
    "swagger.html": {"style_src": "'self'"},
    "redoc.html": {"style_src": "'unsafe-inline'", "worker_src": "blob:"},
}
LOADED = {"connect_src": "'self'", "img_src": "'self' blob: data:", "script_src": "'self'"}

Endpoint = Callable[[Request], Awaitable[Response]]


def _page(name: str) -> Endpoint:
    async def page(request: Request) -> Response:
        html = files("service.docs").joinpath(name).read_text(encoding="utf-8")
        return HTMLResponse(html, headers={**SAFE, "Content-Security-Policy": policy(**LOADED, **STYLES[name])})

    return page


@cache
def _packed(name: str) -> bytes:
    """By gzip; read once, for the loop that answers waits for the disk."""
    folder = files("service.docs")
    packed = folder.joinpath(f"{name}.gz")
    return packed.read_bytes() if packed.is_file() else gzip.compress(folder.joinpath(name).read_bytes())


def _file(name: str, media_type: str) -> Endpoint:
    async def file(request: Request) -> Response:
        headers = {**SAFE, "Vary": "Accept-Encoding"}
        if "gzip" in (listed(request.headers, "accept-encoding") or ""):
            return Response(_packed(name), headers={**headers, "Content-Encoding": "gzip"}, media_type=media_type)
        return Response(gzip.decompress(_packed(name)), headers=headers, media_type=media_type)

    return file


for path, name in PAGES.items():
    router.add_api_route(path, _page(name), include_in_schema=False)
for name, media_type in FILES.items():
    router.add_api_route(f"/docs/{name}", _file(name, media_type), include_in_schema=False)
