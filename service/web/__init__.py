"""The page: one static file that posts a picture and shows it beside the better one."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """The page, without anything from another host."""
    html = files("service.web").joinpath("page.html").read_text(encoding="utf-8")
    policy = "default-src 'none'; connect-src 'self'; img-src 'self' blob: data:; "
    policy += "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})
