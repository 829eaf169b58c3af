"""The gateway's own kind of router: what can be read with GET can be asked for with HEAD (RFC 9110, 9.3.2).

An endpoint whose body never ends, or is dear to make, looks at the method itself; of all others the server leaves the
body out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter


class Router(APIRouter):
    """Adds to each GET a HEAD that OpenAPI does not show."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().add_api_route(path, endpoint, **options)
        if "GET" in (options.get("methods") or ["GET"]):
            hidden = {"methods": ["HEAD"], "include_in_schema": False, "operation_id": None}
            super().add_api_route(path, endpoint, **{**options, **hidden})
