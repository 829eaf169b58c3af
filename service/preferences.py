"""What a client prefers: how to wait (Prefer, RFC 7240), which format (Accept, RFC 9110 section 12.5.1), and whether a
stored answer will do.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers

from workers.errors import NotAcceptable
from workers.pictures.imageio import FORMATS_OUT, MEDIA_TYPE, output_format

MAX_WAIT_S = 600.0
BYTES = "application/octet-stream"
SERVER_ORDER = ("webp", "jpeg", "png", "avif", "tiff")


@dataclass(frozen=True)
class Wait:
    """How long to wait for the picture, whether the job outlives the connection, and what was applied of `Prefer`."""

    seconds: float
    detached: bool
    applied: str


def listed(headers: Headers, name: str) -> str | None:
    """A header that is a list, on however many lines it came, as one (RFC 9110, 5.3); None where it did not come."""
    lines = headers.getlist(name)
    return ", ".join(lines) if lines else None


def wants_fresh(headers: Headers) -> bool:
    """Whether the client wants no stored answer: `Cache-Control: no-cache` (RFC 9111, 5.2.1.4)."""
    directives = (listed(headers, "cache-control") or "").split(",")
    return any(directive.strip().lower() == "no-cache" for directive in directives)


def read_prefer(values: list[str], default_s: float) -> Wait:
    """The meaning of the Prefer fields; what is not understood is ignored, as RFC 7240 wants."""
    preferences: dict[str, str] = {}
    for part in ",".join(values).split(","):
        name, _, value = part.split(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    detached = "respond-async" in preferences
    seconds = 0.0 if detached else default_s
    applied = ["respond-async"] if detached else []
    if preferences.get("wait", "").isdecimal():
        seconds = min(float(preferences["wait"]), MAX_WAIT_S)
        applied.append(f"wait={int(seconds)}")
    return Wait(seconds, detached, ", ".join(applied))


def choose_format(asked: str, accept: str | None, format_in: str, *, detached: bool = False) -> str:
    """The output format: `asked`, else what `accept` likes best, the format that came in before others.

    Raises NotAcceptable where the client takes no picture that we make (unless it will fetch it later).
    """
    if asked != "auto":
        return asked
    own = output_format(format_in)
    ranges = _ranges(accept)
    if not ranges:
        return own
    order = [own, *(name for name in SERVER_ORDER if name != own)]
    likings = {name: _quality(ranges, MEDIA_TYPE[name]) for name in order}
    best = max(order, key=lambda name: likings[name])
    if likings[best] > 0:
        return best
    if detached:
        return own
    known = ", ".join(MEDIA_TYPE[name] for name in FORMATS_OUT)
    raise NotAcceptable(f"Accept allows none of {known}", allowed=[MEDIA_TYPE[name] for name in FORMATS_OUT])


def _ranges(accept: str | None) -> dict[str, float]:
    """Media ranges and their quality; a quality that is no number counts as 1."""
    ranges: dict[str, float] = {}
    for part in (accept or "").split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not name:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    quality = 1.0
        ranges[name] = quality
    return ranges


def _quality(ranges: dict[str, float], media_type: str) -> float:
    """The most specific range decides. Who takes bytes, as clients do that are generated, takes any picture."""
    for name in (media_type, media_type.split("/")[0] + "/*", BYTES, "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
