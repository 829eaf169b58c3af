"""The pieces of the OpenAPI document that several endpoints share: bodies, pictures, problems."""

from __future__ import annotations

from typing import Any

from service import problems
from service.schemas import JobJson, Problem
from workers.pictures import imageio

PICTURE: dict[str, Any] = {media_type: {} for media_type in imageio.MEDIA_TYPE.values()}
BINARY = {"type": "string", "format": "binary"}


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
    return {"requestBody": {"required": True, "content": content}}


BODY = body_of()
BODY_WITH_LUT = body_of(
    lut={**BINARY, "description": "A .cube file: a table of your own, applied instead of the model."}
)


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "content": {problems.MEDIA_TYPE: {}}} for status in statuses}


POST_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The better picture.", "content": PICTURE},
    202: {"description": "Not ready yet; Location names the job.", "model": JobJson},
    **problems_of(400, 406, 408, 413, 415, 422, 500, 501, 503),
}
