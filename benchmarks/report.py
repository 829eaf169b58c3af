"""What a benchmark found, as rows: printed as a table, written as Markdown into a page, and as one line of JSON each.

It measures nothing. Goals stand beside their figures, so that a page says what was missed as plainly as what was met.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Row:
    """One contender of one case; `faster` is how many times faster it is than each yardstick."""

    case: str
    name: str
    threads: int
    role: str
    ms: float
    low: float
    high: float
    faster: dict[str, float] = field(default_factory=dict)
    error: float | None = None  # largest, in code values; 0.5 is ideal rounding
    differs: float | None = None  # share of values unlike the float32 reference's


@dataclass(frozen=True)
class Goal:
    what: str
    found: float | None
    wanted: float
    is_ceiling: bool = False

    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        is_met = self.found <= self.wanted if self.is_ceiling else self.found >= self.wanted
        return "reached" if is_met else "missed"

    def figures(self) -> tuple[str, str]:
        """What was found and what was wanted, in words."""
        digits = 3 if self.is_ceiling else 1
        found = "" if self.found is None else f"{self.found:.{digits}f}"
        return found, f"at {'most' if self.is_ceiling else 'least'} {self.wanted:g}"


def table(rows: Sequence[Row]) -> list[list[str]]:
    """A head and one line of text cells for each row; columns that would be empty are left out."""
    yardsticks = list(dict.fromkeys(name for row in rows for name in row.faster))
    head = ["", "threads", "ms", "quartiles", *(f"times {name}" for name in yardsticks), "largest error", "differ"]
    lines = [
        [
            row.name,
            str(row.threads),
            _milliseconds(row.ms),
            f"{_milliseconds(row.low)} to {_milliseconds(row.high)}",
            *(f"{row.faster[name]:.2f}" if name in row.faster else "" for name in yardsticks),
            "" if row.error is None else f"{row.error:.4f}",
            "" if row.differs is None else f"{row.differs:.4%}",
        ]
        for row in rows
    ]
    kept = [column for column in range(len(head)) if any(line[column] for line in lines)]
    return [[line[column] for column in kept] for line in (head, *lines)]


def goal_table(goals: Sequence[Goal]) -> list[list[str]]:
    lines = [[goal.what, *goal.figures(), goal.verdict()] for goal in goals]
    return [["goal", "found", "wanted", ""], *lines]


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in cells
    )


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in cells[0][1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))


def as_json(row: Row, machine: str) -> str:
    return json.dumps({"machine": machine, **asdict(row)})


def replace_block(page: str, block: str) -> str:
    """The page with what stood between its two markers replaced. Raises ValueError if it lacks them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{block.strip()}\n{END}{after}"
