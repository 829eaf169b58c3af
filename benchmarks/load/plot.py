"""Lines over linear axes from 0, as an SVG that a light and a dark page can both show; no library needed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 300  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 34, 44  # names of lines stand on the right
NAME_HEIGHT = 14
TICKS = 6  # at most, on an axis
COLOURS = ("#0969da", "#bf8700", "#1a7f37", "#8250df", "#cf222e", "#0a7d91", "#8c959f", "#953800")
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .tick { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0 }
  polyline { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
  }
"""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Panel:
    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]


def svg(panels: Sequence[Panel]) -> str:
    """The panels one below the other, each with axes of its own."""
    height = HEIGHT * len(panels)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = f"<title>{escape('; '.join(panel.title for panel in panels))}</title>"
    body = [line for number, panel in enumerate(panels) for line in draw(panel, number * HEIGHT)]
    return "\n".join([head, title, f"<style>{STYLE}</style>", *body, "</svg>"]) + "\n"


def draw(panel: Panel, top: int) -> list[str]:
    points = [point for line in panel.lines for point in line.points]
    xs, ys = ticks(max((x for x, _ in points), default=0)), ticks(max((y for _, y in points), default=0))
    bottom, right = top + HEIGHT - BOTTOM, WIDTH - RIGHT

    def across(x: float) -> float:
        return LEFT + (right - LEFT) * x / xs[-1]

    def down(y: float) -> float:
        return bottom - (bottom - top - TOP) * y / ys[-1]

    drawn = [words(8, top + 20, panel.title, "title"), words(right, top + 20, panel.y_label, "tick", "end")]
    for x in xs:
        drawn.append(grid_line(across(x), top + TOP, across(x), bottom))
        drawn.append(words(across(x), bottom + 16, f"{x:g}", "tick", "middle"))
    for y in ys:
        drawn.append(grid_line(LEFT, down(y), right, down(y)))
        drawn.append(words(LEFT - 6, down(y) + 4, f"{y:g}", "tick", "end"))
    drawn.append(words(right, top + HEIGHT - 8, panel.x_label, "tick", "end"))
    bases = name_bases([down(line.points[-1][1]) + 4 for line in panel.lines], bottom + 4)
    for number, (line, base) in enumerate(zip(panel.lines, bases, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line.points)
        drawn.append(f'<polyline points="{path}" style="stroke: {colour}"/>')
        drawn.append(f'<text x="{right + 8}" y="{base:.1f}" style="fill: {colour}">{escape(line.name)}</text>')
    return drawn


def words(x: float, y: float, text: str, role: str, anchor: str = "start") -> str:
    return f'<text class="{role}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def name_bases(wanted: Sequence[float], lowest: float) -> list[float]:
    """Where names stand, near where they want to, none over another: the lower one goes further down, while there is
    room above `lowest`; from there on the others go up."""
    bases = list(wanted)
    order = sorted(range(len(bases)), key=lambda number: bases[number])
    for above, below in itertools.pairwise(order):
        bases[below] = max(bases[below], bases[above] + NAME_HEIGHT)
    for place, number in enumerate(reversed(order)):
        bases[number] = min(bases[number], lowest - place * NAME_HEIGHT)
    return bases


def ticks(largest: float) -> list[float]:
    """Round values from 0 to at least the largest."""
    if largest <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(largest))
    step = next(size * power for size in (0.2, 0.5, 1.0, 2.0, 5.0) if largest / (size * power) <= TICKS)
    return [round(number * step, 9) for number in range(math.ceil(largest / step - 1e-9) + 1)]
