"""multipart/form-data (RFC 7578) that lies in memory as a whole, taken apart by RFC 2046, section 5.1.1.

Text before the first boundary and after the last, and white space behind a boundary, are passed over, as the RFC wants.
All limits are met before anything is copied, and the search never holds the interpreter for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from python_multipart.multipart import parse_options_header

from workers.errors import BadRequest

MAX_PARTS = 16
MAX_BOUNDARY_BYTES = 256  # the RFC's limit is 70
MAX_HEAD_BYTES = 16 * 1024  # of one part
MAX_PADDING_BYTES = 256
MAX_STRAYS = 1000  # lines that begin like a boundary and are none
FIND_BYTES = 1024**2  # searched at once: some milliseconds at worst
CHARSET = "_charset_"  # RFC 7578, 4.6: names the encoding of text fields, of which we have none

BROKEN = "the multipart body is broken"


@dataclass
class Form:
    """Parts of a multipart body, by name; of a name sent twice the first, and the name in `twice`."""

    parts: dict[str, bytes] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)


class Delimiter(NamedTuple):
    """Where the part before it ends, where the part behind it begins, and whether it is the last."""

    end: int
    begin: int
    closes: bool


def parse_form(body: bytes, boundary: bytes) -> Form:
    """The parts of a multipart body. Raises BadRequest where it is broken or cut off."""
    if not boundary:
        raise BadRequest("the Content-Type names no boundary")
    if len(boundary) > MAX_BOUNDARY_BYTES:
        raise BadRequest(f"the boundary is longer than {MAX_BOUNDARY_BYTES} bytes")
    form = Form()
    begin, parts = None, 0
    for delimiter in _delimiters(body, b"--" + boundary):
        if begin is not None:
            _take_part(form, body, begin, delimiter.end)
        if delimiter.closes:
            return form
        begin, parts = delimiter.begin, parts + 1
        if parts > MAX_PARTS:
            raise BadRequest(f"the form has more than {MAX_PARTS} parts")
    raise BadRequest("the multipart body is cut off")


def _delimiters(body: bytes, dashes: bytes) -> Iterator[Delimiter]:
    """Every line that is a boundary, in order. Raises BadRequest where too many only look like one."""
    strays = 0
    line = 0 if body.startswith(dashes) else _next_line(body, dashes, 0)
    while line is not None:
        behind = line + len(dashes)
        delimiter = _delimiter(body, line, behind)
        if delimiter is not None:
            yield delimiter
            behind = max(behind, delimiter.begin - 2)  # the end of this line may be that before the next boundary
        else:
            strays += 1
            if strays > MAX_STRAYS:
                raise BadRequest(BROKEN)
        line = _next_line(body, dashes, behind)


def _next_line(body: bytes, dashes: bytes, start: int) -> int | None:
    """Where the next line begins that begins with `dashes`; its line end may lie at `start`."""
    needle = b"\r\n" + dashes
    while start < len(body):
        at = body.find(needle, start, start + FIND_BYTES + len(needle))
        if at >= 0:
            return at + 2
        start += FIND_BYTES
    return None


def _delimiter(body: bytes, line: int, behind: int) -> Delimiter | None:
    """The boundary on this line; None where more than white space follows it: then the line is data."""
    closes = body.startswith(b"--", behind)
    rest = body[behind + 2 * closes : behind + 2 * closes + MAX_PADDING_BYTES]
    padding = len(rest) - len(rest.lstrip(b" \t"))
    ends = rest[padding : padding + 2]
    if ends == b"\r\n" or (closes and (not ends or ends.startswith(b"\n"))):
        return Delimiter(max(0, line - 2), behind + 2 * closes + padding + 2, closes)
    return None


def _take_part(form: Form, body: bytes, begin: int, end: int) -> None:
    """Read the part's head and keep what it holds. Raises BadRequest."""
    if body.startswith(b"\r\n", begin):
        head, content = b"", begin + 2
    else:
        blank = body.find(b"\r\n\r\n", begin, min(end + 2, begin + MAX_HEAD_BYTES))
        if blank < 0:
            raise BadRequest(BROKEN)
        head, content = body[begin:blank], blank + 4
    name, filename = _names(head)
    if name == CHARSET:
        return
    if name != "file" and filename == b"" and content >= end:
        return  # a field of a form in which no file was chosen
    if name in form.parts:
        form.twice.append(name)
    else:
        form.parts[name] = body[content:end]


def _names(head: bytes) -> tuple[str, bytes | None]:
    """The part's name and file name by its Content-Disposition. Raises BadRequest for a line that is no header."""
    name, filename = "", None
    unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    for line in unfolded.split(b"\r\n") if head else []:
        title, colon, value = line.partition(b":")
        if not colon or not title.strip():
            raise BadRequest(BROKEN)
        if title.strip().lower() == b"content-disposition":
            _, options = parse_options_header(value.strip())
            name, filename = options.get(b"name", b"").decode("utf-8", "replace"), options.get(b"filename")
    return name, filename
