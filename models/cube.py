"""A table as a .cube file, which photo and film programs read and write: text to numbers and back.

It reads curves, three-dimensional tables, and curves before a table; it writes tables alone, and applies nothing
(`models.own_lut` does). Reading needs neither torch nor numpy: the gateway reads.
Source: Adobe, "Cube LUT Specification", version 1.0, 2013: keywords before numbers, one line of three numbers per node,
red varies fastest. DaVinci Resolve's dialect, LUT_1D_INPUT_RANGE, LUT_3D_INPUT_RANGE and both tables in one file:
Chamberlain, "LUT documentation", Blackmagic Design forum, 2015.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from models.cube_rows import (
    KEYWORDS,
    MAX_LINE_BYTES,
    CubeError,
    number,
    numbers_of,
    refuse_long,
    refuse_more,
    shown,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_BYTES", "MAX_NODES", "MIN_NODES", "ROW_BYTES", "UNIT", "Cube", "CubeError", "read_cube", "write_cube"]

MAX_SIZE = 256  # the specification's largest, which may be written
MIN_NODES, MAX_NODES, MAX_CURVE_NODES = 2, 129, 65_536  # that are read; `kernels.ops` applies tables up to 129
MAX_BYTES = 100 * 1024**2  # 129 nodes are 2,146,689 lines, of at most ROW_BYTES as they are written here
ROW_BYTES = 48  # three numbers of nine digits, as -1.23456789e-05
MAX_HEADER_BYTES = 1024**2  # comments, licences and keywords before the first number
SPARE_LINES = 10_000  # comments and empty lines after it, besides one for each row
BLOCK_BYTES = 1 << 16  # read at once; another thread waits for a millisecond

ENDS = ("DOMAIN_MIN", "DOMAIN_MAX")
FIRST_OF_NUMBER = frozenset(b"+-.0123456789")

Colour = tuple[float, float, float]
Domain = tuple[Colour, Colour]  # where the first node lies, and where the last
UNIT: Domain = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Cube:
    """What a .cube file holds: a curve for each channel (`nodes_1d`, 0: none), a three-dimensional table (`nodes_3d`,
    0: none), or both, the curves first.

    Colours outside a domain are clamped to it. `numbers`: rows of red, green, blue in float32; the curves', then the
    table's, red fastest; `sha256` is theirs.
    """

    title: str
    nodes_1d: int
    nodes_3d: int
    domain_1d: Domain
    domain_3d: Domain
    numbers: bytes
    sha256: str

    @property
    def is_plain(self) -> bool:
        """A three-dimensional table over 0 to 1 and nothing else, as /enhance makes them."""
        return self.nodes_1d == 0 and self.domain_3d == UNIT

    def facts(self) -> dict[str, Any]:
        """All but the numbers, of which only size and hash; JSON."""
        return {
            "title": self.title,
            "nodes_1d": self.nodes_1d,
            "nodes_3d": self.nodes_3d,
            "domain_1d": [list(end) for end in self.domain_1d],
            "domain_3d": [list(end) for end in self.domain_3d],
            "bytes": len(self.numbers),
            "sha256": self.sha256,
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any], numbers: bytes) -> Cube:
        """From `facts` and the numbers again."""
        of_1d, of_3d = (_domain_of(facts[name]) for name in ("domain_1d", "domain_3d"))
        return cls(facts["title"], facts["nodes_1d"], facts["nodes_3d"], of_1d, of_3d, numbers, facts["sha256"])


def _domain_of(ends: Sequence[Sequence[float]]) -> Domain:
    (low_r, low_g, low_b), (high_r, high_g, high_b) = ends
    return (low_r, low_g, low_b), (high_r, high_g, high_b)


# ---- Writing ---------------------------------------------------------------------------------------------------------


def write_cube(lut: Tensor, title: str) -> str:
    """lut (3, D, D, D) [channel, b, g, r] -> text of a .cube file; nine significant digits keep float32 exactly.

    Raises ValueError for a shape or a title that the format cannot hold.
    """
    if lut.dim() != 4 or lut.shape[0] != 3 or len(set(lut.shape[1:])) != 1 or not 2 <= lut.shape[1] <= MAX_SIZE:
        raise ValueError(f"lut has shape {tuple(lut.shape)}, wanted (3, D, D, D) with D from 2 to {MAX_SIZE}")
    if '"' in title or not title.isprintable():
        raise ValueError(f"title {title!r} holds quotes or control characters")
    head = [f'TITLE "{title}"', f"LUT_3D_SIZE {lut.shape[1]}", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1"]
    planes = lut.detach().double().permute(1, 2, 3, 0).flatten(1, 2)  # a plane of Python's numbers at a time
    return "\n".join([*head, *map(_write_rows, planes)]) + "\n"


def _write_rows(nodes: Tensor) -> str:
    return "\n".join(f"{red:.9g} {green:.9g} {blue:.9g}" for red, green, blue in nodes.tolist())


# ---- Reading ---------------------------------------------------------------------------------------------------------


class Keyword(NamedTuple):
    """The numbers of a keyword, and its line."""

    line: int
    numbers: tuple[float, ...]


class Header(NamedTuple):
    """All before the first number, which stands at the byte `start`, in line `line`."""

    title: str
    keywords: Mapping[str, Keyword]
    start: int
    line: int

    def nodes(self, table: str) -> int:
        """Of the table `1D` or `3D`; 0 where there is none."""
        size = self.keywords.get(f"LUT_{table}_SIZE")
        return int(size.numbers[0]) if size else 0

    @property
    def rows(self) -> int:
        return self.nodes("1D") + self.nodes("3D") ** 3

    @property
    def sizes(self) -> str:
        """As the file says them, for messages."""
        tables = [table for table in ("1D", "3D") if self.nodes(table)]
        return " and ".join(f"LUT_{table}_SIZE {self.nodes(table)}" for table in tables)


def read_cube(data: bytes) -> Cube:
    """The table in a .cube file. Keywords in any case and order; comments, empty lines, CRLF and a BOM do no harm.

    DOMAIN_MIN and DOMAIN_MAX are the colours that come in: those of the curves where there are curves, else those of
    the table. Raises CubeError.
    """
    if len(data) > MAX_BYTES:
        raise CubeError(f"{len(data)} bytes, wanted at most {MAX_BYTES}")
    text = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in text:
        raise CubeError("this is no text: it holds zero bytes", text.count(b"\n", 0, text.index(b"\0")) + 1)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    header = _read_header(text)
    domain_1d, domain_3d = _domains(header)
    numbers = _read_numbers(text, header).tobytes()
    sha256 = hashlib.sha256(numbers).hexdigest()
    return Cube(header.title, header.nodes("1D"), header.nodes("3D"), domain_1d, domain_3d, numbers, sha256)


def _read_header(text: bytes) -> Header:
    title, keywords = "", dict[str, Keyword]()
    start, line = 0, 1
    while start < len(text):
        stop = text.find(b"\n", start)
        stop = len(text) if stop < 0 else stop
        if stop > MAX_HEADER_BYTES:
            raise CubeError(f"no number within {MAX_HEADER_BYTES} bytes of comments and keywords", line)
        words = text[start : min(stop, start + 2 * MAX_LINE_BYTES)].split()
        if words and words[0][0] in FIRST_OF_NUMBER:
            break
        if words and words[0][0] != ord("#"):
            refuse_long(stop - start, line)
            name = _keyword(words, keywords, line)
            if name == "TITLE":
                title = text[start:stop].strip()[len(name) :].strip().strip(b'"').decode("utf-8", "replace")
            keywords[name] = Keyword(line, _keyword_numbers(name, words[1:], line))
        start, line = stop + 1, line + 1

    header = Header(title, keywords, start, line)
    if not header.rows:
        raise CubeError("neither LUT_1D_SIZE nor LUT_3D_SIZE stands before the numbers", line)
    return header


def _keyword(words: Sequence[bytes], keywords: Mapping[str, Keyword], line: int) -> str:
    """The keyword of a line, that none before it had."""
    name = words[0].decode("ascii", "replace").upper()
    if name not in KEYWORDS:
        raise CubeError(f"saw {shown(words)}, wanted three numbers or one of {', '.join(KEYWORDS)}", line)
    if name in keywords:
        raise CubeError(f"{name} is given again, first in line {keywords[name].line}", line)
    return name


def _keyword_numbers(name: str, words: Sequence[bytes], line: int) -> tuple[float, ...]:
    if name == "TITLE":
        return ()
    if name.endswith("_SIZE"):
        most = MAX_NODES if "3D" in name else MAX_CURVE_NODES
        size = int(words[0]) if len(words) == 1 and words[0].isdigit() and len(words[0]) < 10 else 0
        if not MIN_NODES <= size <= most:
            raise CubeError(f"{name} is {shown(words)}, wanted an integer from {MIN_NODES} to {most}", line)
        return (size,)
    numbers = [number(word) for word in words]
    if len(numbers) != KEYWORDS[name] or None in numbers:
        raise CubeError(f"{name} is {shown(words)}, wanted {KEYWORDS[name]} finite numbers", line)
    return tuple(number for number in numbers if number is not None)


def _domains(header: Header) -> tuple[Domain, Domain]:
    """Of the curves and of the table; 0 to 1 where none is given."""
    first = "1D" if header.nodes("1D") else "3D"
    domains = []
    for table in ("1D", "3D"):
        in_range = header.keywords.get(f"LUT_{table}_INPUT_RANGE")
        if in_range and not header.nodes(table):
            raise CubeError(f"LUT_{table}_INPUT_RANGE without a LUT_{table}_SIZE", in_range.line)
        low, high = (_end(header, table, end, at_input=table == first) for end in (0, 1))
        sayings = [f"LUT_{table}_INPUT_RANGE", *(ENDS if table == first else ())]
        _refuse_reversed(low, high, [header.keywords[name].line for name in sayings if name in header.keywords])
        domains.append((low, high))
    return domains[0], domains[1]


def _end(header: Header, table: str, end: int, *, at_input: bool) -> Colour:
    """Where a table begins (`end` 0) or ends (1); both dialects may say it, if they agree."""
    in_range = header.keywords.get(f"LUT_{table}_INPUT_RANGE")
    domain = header.keywords.get(ENDS[end]) if at_input else None
    by_range = (in_range.numbers[end],) * 3 if in_range else None
    if in_range and domain and by_range != domain.numbers:
        raise CubeError(f"{ENDS[end]} is not what LUT_{table}_INPUT_RANGE says in line {in_range.line}", domain.line)
    if domain:
        return domain.numbers[0], domain.numbers[1], domain.numbers[2]
    return by_range or UNIT[end]


def _refuse_reversed(low: Colour, high: Colour, lines: Sequence[int]) -> None:
    for channel, least, most in zip(("red", "green", "blue"), low, high, strict=True):
        if not least < most:
            raise CubeError(f"{channel} goes from {least:g} to {most:g}, wanted the first below the second", max(lines))


def _read_numbers(text: bytes, header: Header) -> array[float]:
    """The rows after the header, as many as it promises."""
    start, line, rows = header.start, header.line, header.rows
    lines_left = text.count(b"\n", start) + 1
    if lines_left > 2 * rows + SPARE_LINES:
        raise CubeError(f"{lines_left} lines follow, wanted {rows} rows of numbers for {header.sizes}", line)

    numbers = array("f")
    while start < len(text):
        stop = text.find(b"\n", start + BLOCK_BYTES) + 1 or len(text)
        if stop - start > BLOCK_BYTES + MAX_LINE_BYTES:
            _refuse_long_last(text, start, stop, line)
        block, before = text[start:stop], len(numbers) // 3
        numbers.extend(numbers_of(block, line))
        if len(numbers) > 3 * rows:
            refuse_more(block, line, rows - before, f"{rows} rows of numbers for {header.sizes}")
        start, line = stop, line + block.count(b"\n")

    if len(numbers) < 3 * rows:
        seen, wanted = len(numbers) // 3, f"{rows} for {header.sizes}"
        raise CubeError(f"the file ends after {seen} rows of numbers, wanted {wanted}", text.count(b"\n", 0, -1) + 1)
    return numbers


def _refuse_long_last(text: bytes, start: int, stop: int, first_line: int) -> None:
    """Raises CubeError where the last line from `start` to `stop` is long and no comment, before it is split."""
    begin = text.rfind(b"\n", start, start + BLOCK_BYTES) + 1 or start
    if text[begin : begin + MAX_LINE_BYTES].lstrip()[:1] != b"#":
        numbers_of(text[start:begin], first_line)  # or what is wrong before it
        refuse_long(len(text[begin:stop].rstrip(b"\n")), first_line + text.count(b"\n", start, begin))
