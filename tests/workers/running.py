"""Pictures put into a store for a runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.jobs.job import Computation, Job, Lane, PictureFacts, new_id
from workers.jobs.store import Store


def put(
    store: Store,
    data: bytes,
    width: int = 64,
    height: int = 48,
    model: str = "bicubic",
    scale: int = 2,
    changed: Mapping[str, Any] | None = None,
    lane: Lane = Lane.BULK,
    message: bytes = b"",
) -> Job:
    parameters: dict[str, Any] = {
        "metadata": "keep",
        "height": scale * height,
        "width": scale * width,
        "effort": "best",
        "format": "png",
        "quality": None,
        **(changed or {}),
    }
    facts = PictureFacts("jpeg", width, height, len(data))
    computation = Computation(new_id(), new_id(), "upscale", model, parameters, facts, lane=lane)
    job = Job(new_id(), computation)
    store.put(job, data, result_bytes=0, message=message)
    return job
