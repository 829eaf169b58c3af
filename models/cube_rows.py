"""Rows of numbers in the text of a .cube file, read some thousand at a time, and the first line at fault in words.

It knows no tables; that is `models.cube`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

MAX_LINE_BYTES = 250  # the specification's, of a line with numbers or keywords
MAX_VALUE = 2.0**100  # as `kernels.ops` has it
SHOWN = 60  # characters of what was seen

KEYWORDS = {  # and how many numbers follow each
    "TITLE": 0,
    "LUT_1D_SIZE": 1,
    "LUT_3D_SIZE": 1,
    "LUT_1D_INPUT_RANGE": 2,
    "LUT_3D_INPUT_RANGE": 2,
    "DOMAIN_MIN": 3,
    "DOMAIN_MAX": 3,
}
NUMBER_BYTES = b"+-.0123456789eE \t\v\f\n"


class CubeError(ValueError):
    """A file that is no .cube, in words for its owner: the line, what was seen there, what is wanted."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


def numbers_of(block: bytes, first_line: int) -> list[float]:
    """The numbers of some lines at once; where something is wrong, the first line at fault is looked for."""
    lines = block.split(b"\n")
    if b"#" in block:
        lines = [line for line in lines if line.lstrip()[:1] != b"#"]
    words = b"\n".join(lines).split()
    a_row_each = max(map(len, lines), default=0) <= MAX_LINE_BYTES and set(map(len, map(bytes.split, lines))) <= {0, 3}
    if not a_row_each or b"".join(words).translate(None, NUMBER_BYTES):
        refuse_first(block, first_line)
    try:
        numbers = list(map(float, words))
    except ValueError:
        refuse_first(block, first_line)
    if numbers and not (min(numbers) >= -MAX_VALUE and max(numbers) <= MAX_VALUE):
        refuse_first(block, first_line)
    return numbers


def refuse_first(block: bytes, first_line: int) -> NoReturn:
    """Raises CubeError for the first line that is no row of numbers."""
    for at, line in enumerate(block.split(b"\n"), first_line):
        if line.lstrip()[:1] == b"#":
            continue
        refuse_long(len(line), at)
        words = line.split()
        if not words:
            continue
        if words[0].decode("ascii", "replace").upper() in KEYWORDS:
            raise CubeError(f"saw {shown(words)} after the first number, wanted keywords before it", at)
        if len(words) != 3:
            raise CubeError(f"saw {shown(words)}, wanted three numbers", at)
        for word in words:
            if number(word) is None:
                raise CubeError(f"saw {shown([word])}, wanted a finite number within 2**100 of 0", at)
    raise CubeError("the numbers cannot be read", first_line)


def refuse_more(block: bytes, first_line: int, wanted: int, rows: str) -> NoReturn:
    """Raises CubeError for the row after the first `wanted` of these lines."""
    for at, line in enumerate(block.split(b"\n"), first_line):
        words = line.split()
        wanted -= bool(words and words[0][0] != ord("#"))
        if wanted < 0:
            raise CubeError(f"saw {shown(words)} after the last row, wanted {rows}", at)
    raise CubeError(f"more rows than {rows}", first_line)


def number(word: bytes) -> float | None:
    """A finite number that a table may hold; None for anything else, `nan`, `inf` and `1_000` included."""
    if len(word) > MAX_LINE_BYTES or word.translate(None, NUMBER_BYTES):
        return None
    try:
        value = float(word)
    except ValueError:
        return None
    return value if -MAX_VALUE <= value <= MAX_VALUE else None


def shown(words: Sequence[bytes]) -> str:
    """What was seen, short and printable."""
    text = b" ".join(word[: SHOWN + 1] for word in words[: SHOWN // 2]).decode("ascii", "backslashreplace")
    shown = "".join(mark if mark.isprintable() else f"\\x{ord(mark):02x}" for mark in text)
    return f"'{shown[:SHOWN]}'" + ("..." if len(shown) > SHOWN else "")


def refuse_long(length: int, line: int) -> None:
    if length > MAX_LINE_BYTES:
        raise CubeError(f"{length} bytes, wanted at most {MAX_LINE_BYTES} in a line", line)
