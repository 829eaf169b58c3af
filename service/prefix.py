"""The path below which the public reaches the gateway: that of LUTRA_PUBLIC_URL.

A proxy may take it off or leave it on, and who asks the gateway itself need not say it: where it is there it is taken
off here, before anybody looks at the path. What the gateway says of its own addresses has it always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import ParameterError
from workers.operations import OPERATIONS

if TYPE_CHECKING:  # `lutra doctor` looks in here where no gateway is installed
    from starlette.types import ASGIApp, Receive, Scope, Send

# The first steps of the gateway's own paths: below one of these two meanings could not be told apart.
OWN = frozenset(OPERATIONS) | {
    *("docs", "jobs", "livez", "metrics", "models", "openapi.json", "presets", "readyz", "redoc", "usage", "web"),
}
# Not below the prefix: whoever asks there comes from outside.
PRIVATE = frozenset({"/metrics"})


def check_prefix(prefix: str) -> None:
    """Raises ParameterError where paths below it could be meant without it."""
    first = prefix.partition("/")[2].partition("/")[0]
    if first in OWN:
        raise ParameterError(
            f"LUTRA_PUBLIC_URL: its path cannot begin with /{first}, which is a path of the gateway's own"
        )


class Prefix:
    """ASGI middleware around all that looks at paths. `raw_path` stays as it was sent."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(f"{self._prefix}/"):
            path = scope["path"].removeprefix(self._prefix)
            if path not in PRIVATE:
                scope = {**scope, "path": path}
        await self._app(scope, receive, send)
