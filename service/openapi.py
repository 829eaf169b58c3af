"""The pieces of the OpenAPI document that several endpoints share: bodies, pictures, problems."""

from __future__ import annotations

from typing import Any

from service import problems
from service.schemas import JobJson, Problem
from workers import imageio

PICTURE: dict[str, Any] = {media_type: {} for media_type in imageio.MEDIA_TYPE.values()}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "content": {problems.MEDIA_TYPE: {}}} for status in statuses}


POST_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The better picture.", "content": PICTURE},
    202: {"description": "Not ready yet; Location names the job.", "model": JobJson},
    **problems_of(400, 406, 413, 415, 422, 500, 503),
}
