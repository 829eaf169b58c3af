"""The page: one static file that posts a picture and shows it beside the better one."""

from __future__ import annotations

from importlib.resources import files

from fastapi.responses import HTMLResponse

from service.router import Router

router = Router()

POLICY = "; ".join(
    (
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "style-src 'unsafe-inline'",
        "script-src 'unsafe-inline'",
    )
)


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """The page, without anything from another host."""
    html = files("service.web").joinpath("page.html").read_text(encoding="utf-8")
    return HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})
