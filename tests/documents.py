"""The documents taken apart: code blocks with their commands, links, headings, rows of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "client/README.md", ROOT / "models/train/RESULTS.md"]
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_COMMENT = re.compile(r"\s{2,}#.*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language and its text."""

    document: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}-{self.number}"

    @property
    def lines(self) -> dict[str, str]:
        """The commands, without the comments behind them, and their whole lines; a backslash at an end joins two."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return {_COMMENT.sub("", line).strip(): line for line in lines if line and not line.startswith("#")}


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def blocks_of(document: str) -> list[Block]:
    """In their order; each knows its number."""
    found = enumerate(_FENCE.finditer(text_of(document)), 1)
    return [Block(document, number, fence[1], fence[2]) for number, fence in found]


def prose_of(text: str) -> str:
    """Without code, where brackets mean something else."""
    return _CODE.sub("", _FENCE.sub("", text))


def links_of(text: str) -> list[str]:
    return _LINK.findall(prose_of(text))


def anchors_of(text: str) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", text)))
    return {heading.strip().replace(" ", "-") for heading in kept}


def rows_of(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def section_of(text: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
