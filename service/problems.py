"""The one table that turns an error into an HTTP answer: status, title, and a problem body (RFC 9457).

Nothing else leaves the service as an error; what the table does not know is a 500
that carries the request id only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from workers import errors

MEDIA_TYPE = "application/problem+json"

TABLE: dict[type[errors.LutraError], tuple[int, str]] = {
    errors.BadRequest: (400, "The request cannot be read"),
    errors.KeyNeeded: (401, "An API key is needed"),
    errors.NotAllowed: (403, "This API key may not do that"),
    errors.ForeignOrigin: (403, "Pages of this origin may not ask"),
    errors.WrongHost: (421, "The request is meant for another host"),
    errors.RateLimited: (429, "Too many requests"),
    errors.NotImplementedYet: (501, "Not there yet"),
    errors.UploadTooLarge: (413, "The upload is too large"),
    errors.UploadTooSlow: (408, "The upload is too slow"),
    errors.RequestTimeout: (408, "The request did not come in time"),
    errors.UrlTooLong: (414, "The address is too long"),
    errors.HeadersTooLarge: (431, "The headers are too large"),
    errors.NotAcceptable: (406, "No acceptable output format"),
    errors.NotAPicture: (415, "Not a picture of a known format"),
    errors.CorruptPicture: (422, "The picture is damaged"),
    errors.TooManyPixels: (422, "Too many pixels"),
    errors.PictureError: (422, "The picture cannot be used"),
    errors.UnknownPreset: (422, "Unknown preset"),
    errors.UnknownModel: (422, "Unknown model"),
    errors.ParameterError: (422, "A parameter cannot be used"),
    errors.IdempotencyKeyReused: (422, "The Idempotency-Key belongs to another request"),
    errors.IdempotencyKeyInUse: (409, "The first request with this Idempotency-Key is being taken in"),
    errors.JobUnknown: (404, "No such job"),
    errors.JobGone: (410, "The job is gone"),
    errors.JobNotFinished: (409, "The job has not finished"),
    errors.JobCancelled: (409, "The job was cancelled"),
    errors.JobTimeout: (500, "The job took too long"),
    errors.WorkerLost: (500, "The job could not be computed"),
    errors.OutOfMemory: (503, "Not enough memory for this picture"),
    errors.InternalError: (500, "Something went wrong on our side"),
    errors.JobFailed: (500, "The job failed"),
    errors.LaneRefused: (403, "Not for this key"),
    errors.ShareReached: (429, "Your share is reached"),
    errors.QueueFull: (503, "The queue is full"),
    errors.StoreFull: (503, "The store is full"),
    errors.StoreUnavailable: (503, "The job store does not answer"),
    errors.NoWorker: (503, "No worker is alive"),
    errors.TooManyUploads: (503, "Too many uploads at once"),
    errors.TooManyConnections: (503, "Too many connections"),
    errors.Unavailable: (503, "Not available now"),
}

OF_HTTP = {416: "Range Not Satisfiable"}  # what is no error of ours: `plain_problem`


def status_and_title(error_class: type[errors.LutraError]) -> tuple[int, str]:
    """The row of the nearest ancestor in the table."""
    for ancestor in error_class.__mro__:
        if ancestor in TABLE:
            return TABLE[ancestor]
    return TABLE[errors.InternalError]


def type_of(code: str) -> str:
    """The problem's type, a stable name."""
    return f"urn:lutra:problem:{code.replace('_', '-')}"


def body_of(error: errors.LutraError, instance: str) -> dict[str, Any]:
    """The problem as a JSON object; a 500 says nothing but what the table says and the instance."""
    status, title = status_and_title(type(error))
    problem = {"type": type_of(error.code), "title": title, "status": status, "instance": instance}
    if status == 500 and not isinstance(error, (errors.JobTimeout, errors.WorkerLost)):
        return problem
    return {**problem, "detail": error.message, **error.members}


def stored_error(stored: Mapping[str, Any]) -> errors.LutraError:
    """The error that a worker left in the record of a failed job."""
    return errors.error_class(stored["code"])(stored["detail"], **stored["members"])


def answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as a response; never cached."""
    return JSONResponse(
        dict(body), body["status"], {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE
    )


def plain_problem(status: int, title: str, instance: str, detail: str) -> dict[str, Any]:
    """A problem of HTTP itself (404, 405, 416); `title` is then the phrase of its status (RFC 9457, 4.2.1)."""
    return {"type": "about:blank", "title": title, "status": status, "instance": instance, "detail": detail}
