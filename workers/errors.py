"""Every error that a user can cause or meet, as one tree; `service.problems` turns each into an HTTP answer.

    LutraError                      code              retryable
    +-- BadRequest                  bad_request
    +-- KeyNeeded                   key_needed
    +-- NotAllowed                  not_allowed
    +-- ForeignOrigin               foreign_origin
    +-- WrongHost                   wrong_host
    +-- RateLimited                 rate_limited
    +-- NotImplementedYet           not_implemented
    +-- PictureError
    |   +-- NotAPicture             not_a_picture
    |   +-- CorruptPicture          corrupt_picture
    |   +-- TooManyPixels           too_many_pixels
    |   +-- CostlyPicture           costly_picture
    +-- ParameterError              bad_parameter
    |   +-- UnknownModel            unknown_model
    |   +-- UnknownPreset           unknown_preset
    +-- UploadTooLarge              upload_too_large
    +-- UploadTooSlow               upload_too_slow
    +-- RequestTimeout              request_timeout
    +-- UrlTooLong                  url_too_long
    +-- HeadersTooLarge             headers_too_large
    +-- NotAcceptable               not_acceptable
    +-- IdempotencyKeyReused        idempotency_key_reused
    +-- IdempotencyKeyInUse         idempotency_key_in_use
    +-- LaneRefused                 lane_refused
    +-- JobUnknown                  job_unknown
    +-- JobGone                     job_gone
    +-- JobNotFinished              job_not_finished
    +-- JobCancelled                job_cancelled
    +-- JobFailed
    |   +-- JobTimeout              job_timeout
    |   +-- WorkerLost              worker_lost
    |   +-- OutOfMemory             out_of_memory     yes
    |   +-- InternalError           internal          yes
    +-- Unavailable
        +-- QueueFull               queue_full        yes
        +-- StoreFull               store_full        yes
        +-- StoreUnavailable        store_unavailable yes
        +-- RecordUnreadable        record_unreadable yes
        +-- NoWorker                no_worker         yes
        +-- TooManyUploads          too_many_uploads  yes
        +-- TooManyConnections      too_many_connections yes
        +-- ShareReached            share_reached     yes

The message says what was seen and what is allowed; users read it, so it never holds a path, a key or a traceback.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LutraError(Exception):
    """Root of the tree. `members` are the extra facts of the problem, for instance the limit that was hit.

    `retry_after_s`: when to try again, where the kind of error says so.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__(message)
        self.message = message
        self.members = members


class BadRequest(LutraError):
    code = "bad_request"


class KeyNeeded(LutraError):
    """No API key came with the request, or one that nobody has."""

    code = "key_needed"


class NotAllowed(LutraError):
    """Who asks is known, and may not have this."""

    code = "not_allowed"


class ForeignOrigin(LutraError):
    """A page of another origin asks, through its reader's browser."""

    code = "foreign_origin"


class WrongHost(LutraError):
    """The request names a host that this gateway does not answer to."""

    code = "wrong_host"


class RateLimited(LutraError):
    """A client asks for more in a minute than its key allows; `retry_after_s` is one of the members."""

    code = "rate_limited"


class NotImplementedYet(LutraError):
    """For what is documented and not there yet: refused rather than ignored."""

    code = "not_implemented"


class PictureError(LutraError):
    code = "picture"


class NotAPicture(PictureError):
    code = "not_a_picture"


class CorruptPicture(PictureError):
    code = "corrupt_picture"


class TooManyPixels(PictureError):
    code = "too_many_pixels"


class CostlyPicture(PictureError):
    """Decoding it takes a time out of proportion to its pixels and bytes."""

    code = "costly_picture"


class ParameterError(LutraError):
    code = "bad_parameter"


class UnknownModel(ParameterError):
    code = "unknown_model"


class UnknownPreset(ParameterError):
    code = "unknown_preset"


class UploadTooLarge(LutraError):
    code = "upload_too_large"


class UploadTooSlow(LutraError):
    code = "upload_too_slow"


class RequestTimeout(LutraError):
    code = "request_timeout"


class UrlTooLong(LutraError):
    code = "url_too_long"


class HeadersTooLarge(LutraError):
    code = "headers_too_large"


class NotAcceptable(LutraError):
    code = "not_acceptable"


class IdempotencyKeyReused(LutraError):
    code = "idempotency_key_reused"


class IdempotencyKeyInUse(LutraError):
    """The first request with this key is still being taken in."""

    code = "idempotency_key_in_use"
    retry_after_s = 2


class LaneRefused(LutraError):
    """The job belongs in a lane that its client may not use."""

    code = "lane_refused"


class JobUnknown(LutraError):
    code = "job_unknown"


class JobGone(LutraError):
    code = "job_gone"


class JobNotFinished(LutraError):
    code = "job_not_finished"


class Preempted(Exception):
    """No error: a job leaves its worker to another one, and goes on later."""


class JobCancelled(LutraError):
    code = "job_cancelled"


class JobFailed(LutraError):
    code = "job_failed"


class JobTimeout(JobFailed):
    code = "job_timeout"


class WorkerLost(JobFailed):
    code = "worker_lost"


class OutOfMemory(JobFailed):
    code = "out_of_memory"
    retryable = True


class InternalError(JobFailed):
    code = "internal"
    retryable = True


class Unavailable(LutraError):
    code = "unavailable"
    retryable = True


class QueueFull(Unavailable):
    code = "queue_full"


class StoreFull(Unavailable):
    code = "store_full"


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class RecordUnreadable(Unavailable):
    """A job was recorded by a version of this service that is too new for the one that meets it, or too old."""

    code = "record_unreadable"


class NoWorker(Unavailable):
    code = "no_worker"


class TooManyUploads(Unavailable):
    code = "too_many_uploads"


class TooManyConnections(Unavailable):
    code = "too_many_connections"


class ShareReached(Unavailable):
    """One client holds as much of queue or store as it may; others are taken in."""

    code = "share_reached"


def _descendants(root: type[LutraError]) -> list[type[LutraError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _descendants(child))]


def error_class(code: str) -> type[LutraError]:
    """The class that carries `code`; InternalError for a code nobody knows."""
    return next((cls for cls in _descendants(LutraError) if cls.code == code), InternalError)


def error_codes() -> list[str]:
    """Every code a job can end with or a request can be refused for."""
    return sorted({cls.code for cls in _descendants(LutraError)})
