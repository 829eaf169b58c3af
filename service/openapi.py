"""The pieces of the OpenAPI document that several endpoints share: bodies, pictures, problems."""

from __future__ import annotations

from typing import Any

from service import problems
from service.schemas import JobJson, Problem
from workers.jobs.records import CacheResult
from workers.pictures import imageio

PICTURE: dict[str, Any] = {media_type: {} for media_type in imageio.MEDIA_TYPE.values()}
BINARY = {"type": "string", "format": "binary"}
HEADERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same request sent again with this key has the same job; another one is refused (422), and "
        "so is one that comes while the first is still being taken in (409). Kept 24 hours, or as long as the job.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    {
        "name": "Cache-Control",
        "in": "header",
        "description": "no-cache: computed anew, although an equal request of yours waits, runs or has its result.",
        "schema": {"type": "string"},
    },
]
X_CACHE = {
    "X-Cache": {
        "description": "How the job came to its result: hit (it was stored), coalesced (it was under way), miss.",
        "schema": {"type": "string", "enum": list(CacheResult)},
    }
}


def body_of(**parts: dict[str, Any]) -> dict[str, Any]:
    """A picture, raw or as the part `file` of a form that may have other `parts`."""
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": BINARY, **parts},
        "additionalProperties": False,
    }
    content = {
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}, "parameters": HEADERS}


BODY = body_of()
BODY_WITH_LUT = body_of(
    lut={**BINARY, "description": "A .cube file: a table of your own, applied instead of the model."}
)


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "content": {problems.MEDIA_TYPE: {}}} for status in statuses}


POST_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The better picture.", "content": PICTURE, "headers": X_CACHE},
    202: {"description": "Not ready yet; Location names the job.", "model": JobJson, "headers": X_CACHE},
    **problems_of(400, 406, 408, 409, 410, 413, 415, 422, 500, 503),
}
