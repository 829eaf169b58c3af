"""The body of a request as bytes, counted while it is read: raw, or multipart/form-data (`service.forms`) whose part
`file` is the picture and whose part `lut`, where it is taken, a table.

Content-Length is believed only where it already says too much. Nothing is decoded here and nothing touches the disk.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from models.cube import MAX_BYTES
from service.addresses import neighbourhood
from service.forms import Form, parse_form
from workers.errors import (
    BadRequest,
    CorruptPicture,
    LutraError,
    NotAPicture,
    ParameterError,
    TooManyUploads,
    UploadTooLarge,
    UploadTooSlow,
)

ENVELOPE_BYTES = 256 * 1024
GRACE_S = 20.0  # of silence, for a client that was fast enough before
FORM_ENCODED = b"application/x-www-form-urlencoded"
_FIELD = re.compile(rb"[\w.\-\[\]]{1,64}=")
ALTERED = (
    "the body came as application/x-www-form-urlencoded: curl -d alters files on their way, "
    "--data-binary @FILE and -F file=@FILE do not"
)


class Budget:
    """How many bytes of bodies may lie in this process at once; a body that would exceed it is refused (503).

    One client (by address) may hold at most as much as is left for all others: alone, half; where one other does the
    same, a third each. So whoever fills its share leaves one of the same size to the next (the dynamic thresholds of
    Choudhury and Hahne, 1998, at a factor of 1). Half has to hold the largest body.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, host: str = "") -> Iterator[Hold]:
        """What is taken inside the block is given back at its end. `host`: the client's address."""
        hold = Hold(self, neighbourhood(host))
        try:
            yield hold
        finally:
            self._give_back(hold)

    def take(self, client: str, size_bytes: int) -> None:
        """Raises TooManyUploads where the client's share, and so the budget, would be exceeded."""
        if self._held[client] + size_bytes > self._left - size_bytes:
            raise TooManyUploads("too many uploads at once, try again soon")
        self._left -= size_bytes
        self._held[client] += size_bytes

    def _give_back(self, hold: Hold) -> None:
        self._left += hold.taken
        self._held[hold.client] -= hold.taken
        if not self._held[hold.client]:
            del self._held[hold.client]


class Hold:
    """The bytes that one request holds of the budget."""

    def __init__(self, budget: Budget, client: str) -> None:
        self._budget = budget
        self.client = client
        self.taken = 0

    def add(self, size_bytes: int) -> None:
        self._budget.take(self.client, size_bytes)
        self.taken += size_bytes


class Upload(NamedTuple):
    """What came with a request: the picture, not empty, and the text of a table where one was sent along."""

    picture: bytes
    lut: bytes | None = None


async def read_upload(
    request: Request, max_bytes: int, hold: Hold, *, min_rate: int = 1, takes_lut: bool = False
) -> Upload:
    """The picture, at most `max_bytes`, and the table, at most MAX_BYTES of `models.cube`; `min_rate`: bytes a second.

    Raises BadRequest (400), UploadTooSlow (408), UploadTooLarge (413), ParameterError (422) or TooManyUploads (503).
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        upload = Upload(await _read_body(request, max_bytes, hold, _too_large(max_bytes), min_rate))
        request.state.is_altered = content_type == FORM_ENCODED and is_altered(upload.picture)
    else:
        cap = max_bytes + ENVELOPE_BYTES + (MAX_BYTES if takes_lut else 0)
        refusal = _form_too_large(max_bytes) if takes_lut else _too_large(max_bytes)
        body = await _read_body(request, cap, hold, refusal, min_rate)
        form = await asyncio.to_thread(parse_form, body, options.get(b"boundary", b""))
        _check_parts(form, takes_lut)
        upload = Upload(form.parts["file"], form.parts.get("lut"))
    if not upload.picture:
        raise BadRequest("the request has no body: send the picture itself, or a form with a part named file")
    if len(upload.picture) > max_bytes:
        raise _too_large(max_bytes)
    if upload.lut is not None and len(upload.lut) > MAX_BYTES:
        raise _too_large(MAX_BYTES, "part lut")
    return upload


def _check_parts(form: Form, takes_lut: bool) -> None:
    """Raises BadRequest or ParameterError: what is not known would change nothing without a word."""
    if "file" not in form.parts:
        raise BadRequest("the form has no part named file")
    if "lut" in form.parts and not takes_lut:
        raise ParameterError("a part named lut (a table of your own) belongs to /enhance", parameter="lut")
    known = ["file", "lut"] if takes_lut else ["file"]
    unknown = [name for name in form.parts if name not in known]
    if unknown:
        seen = ", ".join(repr(name[:40]) for name in unknown[:5])
        allowed = f"known are {', '.join(known)}; parameters stand in the query"
        raise ParameterError(f"no part is named {seen}; {allowed}", allowed=known)
    if form.twice:
        raise ParameterError(f"the form has more than one part named {form.twice[0]}", parameter=form.twice[0])


def _too_large(max_bytes: int, what: str = "upload") -> UploadTooLarge:
    return UploadTooLarge(f"the {what} is larger than the {max_bytes} bytes allowed", limit=max_bytes)


def _form_too_large(max_bytes: int) -> UploadTooLarge:
    message = f"the form is larger than the {max_bytes} bytes allowed for the picture and {MAX_BYTES} for the part lut"
    return UploadTooLarge(message, limit=max_bytes, limit_lut=MAX_BYTES)


async def _read_body(request: Request, cap: int, hold: Hold, refusal: UploadTooLarge, min_rate: int) -> bytes:
    """All of a body of at most `cap` bytes. Raises BadRequest, UploadTooSlow, TooManyUploads or `refusal` (too large).

    What is refused unread is left to the server, which closes the connection so that the answer arrives. Each byte buys
    1 / `min_rate` seconds, of which at most GRACE_S are kept: who keeps the rate may take as long as it takes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > cap:
        raise refusal
    chunks: list[bytes] = []
    size, more = 0, True
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(GRACE_S) as limit:
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest("the client left during the upload")
                chunk, more = message.get("body", b""), message.get("more_body", False)
                size += len(chunk)
                if size > cap:
                    raise refusal
                hold.add(len(chunk))
                chunks.append(chunk)
                if more:
                    limit.reschedule(min((limit.when() or now()) + len(chunk) / min_rate, now() + GRACE_S))
    except TimeoutError:
        seen = f"the upload stayed below {min_rate} bytes a second for {GRACE_S:g} s"
        raise UploadTooSlow(seen, limit=min_rate) from None
    return b"".join(chunks)


def is_altered(body: bytes) -> bool:
    """Whether a form-encoded body may be what `curl -d` made of a file: without line ends, or a field of a form."""
    return _FIELD.match(body) is not None or not (b"\n" in body or b"\r" in body)


def with_hint(request: Request, error: LutraError) -> LutraError:
    """The error, with a word about `curl -d` where a body came in such a way and is no whole picture."""
    if not getattr(request.state, "is_altered", False) or not isinstance(error, (NotAPicture, CorruptPicture)):
        return error
    return type(error)(f"{error.message}; {ALTERED}", **error.members)
