"""The body of a request as bytes, counted while it is read: raw, or multipart/form-data (RFC 7578) whose part `file` is
the picture and whose part `lut`, where it is taken, a table.

Content-Length is believed only where it already says too much. Nothing is decoded here and nothing touches the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from models.cube import MAX_BYTES
from workers.errors import BadRequest, ParameterError, TooManyUploads, UploadTooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

ENVELOPE_BYTES = 256 * 1024
MAX_PARTS = 16
READ_TIMEOUT_S = 120.0
DRAIN_S = 5.0


class Budget:
    """How many bytes of bodies may lie in this process at once; a body that would exceed it is refused (503)."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """What is taken inside the block is given back at its end."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self._left += hold.taken

    def take(self, size_bytes: int) -> None:
        """Raises TooManyUploads where there is not so much left."""
        if size_bytes > self._left:
            raise TooManyUploads("too many uploads at once, try again soon")
        self._left -= size_bytes


class Hold:
    """The bytes that one request holds of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.taken = 0

    def add(self, size_bytes: int) -> None:
        self._budget.take(size_bytes)
        self.taken += size_bytes


@dataclass
class Form:
    """Parts of a multipart body, by name; of a name sent twice the first, and the name in `twice`."""

    parts: dict[str, bytes] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)


class Upload(NamedTuple):
    """What came with a request: the picture, not empty, and the text of a table where one was sent along."""

    picture: bytes
    lut: bytes | None = None


async def read_upload(request: Request, max_bytes: int, hold: Hold, *, takes_lut: bool = False) -> Upload:
    """The picture, at most `max_bytes`, and the table, at most MAX_BYTES of `models.cube`.

    Raises BadRequest (400), UploadTooLarge (413), ParameterError (422) or TooManyUploads (503).
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type != b"multipart/form-data":
        upload = Upload(await _read_body(request, max_bytes, hold, _too_large(max_bytes)))
    else:
        cap = max_bytes + ENVELOPE_BYTES + (MAX_BYTES if takes_lut else 0)
        refusal = _form_too_large(max_bytes) if takes_lut else _too_large(max_bytes)
        body = await _read_body(request, cap, hold, refusal)
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


async def _read_body(request: Request, cap: int, hold: Hold, refusal: UploadTooLarge) -> bytes:
    """All of a body of at most `cap` bytes. Raises BadRequest, TooManyUploads or, where it is larger, `refusal`."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > cap:
        await _drain(request, 2 * cap)
        raise refusal
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > cap:
                    chunks.clear()
                    await _drain(request, 2 * cap)
                    raise refusal
                hold.add(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise BadRequest(f"the upload did not end within {READ_TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise BadRequest("the client left during the upload") from None
    return b"".join(chunks)


async def _drain(request: Request, most_bytes: int) -> None:
    """Throw the rest of a refused body away, within bounds: a client that is still sending would miss the answer."""
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(DRAIN_S):
            while most_bytes > 0:
                message = await request.receive()
                most_bytes -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def parse_form(body: bytes, boundary: bytes) -> Form:
    """The parts of a multipart body. Raises BadRequest where it is broken or cut off."""
    if not boundary:
        raise BadRequest("the Content-Type names no boundary")
    form, reader = Form(), _PartReader()
    reader.form = form
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest("the multipart body is broken") from error
    if not reader.ended:
        raise BadRequest("the multipart body is cut off")
    return form


class _PartReader:
    """Collects headers and data as the parser meets them."""

    form: Form

    def __init__(self) -> None:
        self.ended = False
        self._header = bytearray()
        self._value = bytearray()
        self._name, self._filename = "", b"-"
        self._pieces: list[bytes] = []
        self._parts = 0

    def callbacks(self) -> MultipartCallbacks:
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "end")
        return cast("MultipartCallbacks", {f"on_{name}": getattr(self, name) for name in names})

    def part_begin(self) -> None:
        self._name, self._filename, self._pieces = "", b"-", []
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadRequest(f"the form has more than {MAX_PARTS} parts")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def part_end(self) -> None:
        if self._name != "file" and not self._filename and not any(self._pieces):
            return  # a field of a form in which no file was chosen
        if self._name in self.form.parts:
            self.form.twice.append(self._name)
        else:
            self.form.parts[self._name] = b"".join(self._pieces)

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            self._filename = options.get(b"filename", b"-")
        self._header.clear()
        self._value.clear()

    def end(self) -> None:
        self.ended = True
