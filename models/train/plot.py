"""Points over a logarithmic axis, as an SVG that a light and a dark page can both show; no library needed.

It knows nothing of models; `quality_over_cost` alone reads what `models.train.report` kept, and what all of them took
in one run (`benchmarks.cost --plot`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from models.cards import CARDS
from models.train.evaluate import BICUBIC, Upscaled
from models.train.published import IMDN
from models.train.report import Report

WIDTH, HEIGHT = 380, 300  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 34, 44
FOOT = 20  # below the panels, for a line
DOT, LETTER, LINE = 5, 6.7, 13  # radius of a point; width of a letter of a name, a little more than most; its height
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .tick { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0 }
  .learnt { fill: #0969da } .classical { fill: #8c959f } .published { fill: #bf8700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .learnt { fill: #4493f8 } .classical { fill: #6e7681 } .published { fill: #d29922 }
  }
"""


@dataclass(frozen=True)
class Point:
    name: str
    x: float
    y: float
    role: str  # a class of STYLE: "learnt", "classical" or "published", the weights of its authors


@dataclass(frozen=True)
class Panel:
    title: str
    points: Sequence[Point]


def svg(panels: Sequence[Panel], x_label: str, y_label: str, note: str = "") -> str:
    """The panels side by side, each with axes of its own, and a line below."""
    width, height = WIDTH * len(panels), HEIGHT + (FOOT if note else 0)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = f"<title>{escape('; '.join(panel.title for panel in panels))}</title>"
    body = [line for k, panel in enumerate(panels) for line in draw(panel, k * WIDTH, x_label, y_label)]
    if note:
        body.append(words(width - RIGHT, height - 8, note, "tick", "end"))
    return "\n".join([head, title, f"<style>{STYLE}</style>", *body, "</svg>"]) + "\n"


def draw(panel: Panel, left: int, x_label: str, y_label: str) -> list[str]:
    powers = range(*decades([point.x for point in panel.points]))
    levels = steps([point.y for point in panel.points])

    def across(x: float) -> float:
        return left + LEFT + (WIDTH - LEFT - RIGHT) * share(math.log10(x), powers[0], powers[-1])

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share(y, levels[0], levels[-1])

    lines = [f'<text class="title" x="{left + 8}" y="20">{escape(panel.title)}</text>']
    for power in powers:
        x = across(10.0**power)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        lines.append(words(x, HEIGHT - BOTTOM + 16, f"{10.0**power:g}", "tick", "middle"))
    for level in levels:
        y = down(level)
        lines.append(f'<line class="grid" x1="{left + LEFT}" x2="{left + WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(words(left + LEFT - 6, y + 4, f"{level:g}", "tick", "end"))
    dots = [(across(point.x), down(point.y)) for point in panel.points]
    names = [point.name for point in panel.points]
    for point, (x, y), (at, base, anchor) in zip(
        panel.points, dots, place_names(names, dots, (left, left + WIDTH)), strict=True
    ):
        lines.append(f'<circle class="{point.role}" cx="{x:.1f}" cy="{y:.1f}" r="{DOT}"/>')
        lines.append(words(at, base, point.name, "", anchor))
    lines.append(words(left + WIDTH - RIGHT, HEIGHT - 8, x_label, "tick", "end"))
    lines.append(words(left + WIDTH - RIGHT, 20, y_label, "tick", "end"))
    return lines


def words(x: float, y: float, text: str, role: str, anchor: str) -> str:
    return f'<text class="{role}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def place_names(
    names: Sequence[str], dots: Sequence[tuple[float, float]], frame: tuple[float, float]
) -> list[tuple[float, float, str]]:
    """(x, baseline, anchor) of each name: beside its point, or a little above or below, free of points and names."""
    taken = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in dots]
    placed = []
    for name, (x, y) in zip(names, dots, strict=True):
        choices = [
            (x + sign * (DOT + 4), y + 4 + shift * LINE, "start" if sign > 0 else "end")
            for shift in (0, -0.8, 0.8, -1.6, 1.6, -2.4, 2.4)
            for sign in (1, -1)
        ]
        best = min(choices, key=lambda choice: covered(box_of(name, *choice), taken, frame))  # the first of the best
        taken.append(box_of(name, *best))
        placed.append(best)
    return placed


Box = tuple[float, float, float, float]  # left, top, right, bottom


def box_of(name: str, x: float, base: float, anchor: str) -> Box:
    width = LETTER * len(name)
    start = x if anchor == "start" else x - width
    return start, base - LINE + 3, start + width, base + 3


def covered(box: Box, taken: Sequence[Box], frame: tuple[float, float]) -> float:
    """Pixels of others that a box covers, and far more for what stands out of the frame."""
    outside = max(frame[0] - box[0], 0) + max(box[2] - frame[1], 0)
    over = sum(
        max(0, min(box[2], other[2]) - max(box[0], other[0])) * max(0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    return over + 1000 * outside


def share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low)


def decades(values: Sequence[float]) -> tuple[int, int]:
    """First power of ten on the axis, and one past the last; at least one decade apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1) + 1


def steps(values: Sequence[float]) -> list[float]:
    """Round levels from below the lowest value to above the highest."""
    span = max(max(values) - min(values), 0.1)
    step = next(size for size in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if span / size <= 6)
    first, last = math.floor(min(values) / step), math.ceil(max(values) / step)
    return [round(k * step, 6) for k in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class Costs:
    """Processor milliseconds for a megapixel of output, of a model by its name at "x4"; `where` tells the machine."""

    where: str
    cpu_ms_per_mp: dict[str, dict[str, float]]

    def of(self, name: str, scale: float) -> float | None:
        return self.cpu_ms_per_mp.get(name, {}).get(f"x{scale:g}")


def quality_over_cost(
    reports: Sequence[Report], costs: Costs, name: str = "Set14", scale: float = 4, jpeg: int = 75
) -> str:
    """Decibels on luma over what a megapixel costs, clean and after a JPEG; models without a cost are left out."""
    panels = []
    for quality in (None, jpeg):
        points = [
            Point(label(report), cost, row.psnr_y, role_of(report))
            for report in reports
            for row in report.rows
            if isinstance(row, Upscaled)
            and row.model != BICUBIC
            and (row.set, row.scale, row.jpeg) == (name, scale, quality)
            and (cost := costs.of(report.model, scale))
        ]
        if points and quality is None:
            points += printed_points(name, scale, costs)
        if points:
            panels.append(Panel(f"{name} x{scale:g}" + (f", JPEG {quality}" if quality else ""), points))
    if not panels:
        raise FileNotFoundError(f"no scores and costs of {name} x{scale:g} are kept; `evaluate --write` keeps scores")
    return svg(panels, "processor ms for each megapixel of output", "dB on Y", costs.where)


def role_of(report: Report) -> str:
    if report.sha256 is None:
        return "classical"
    return "learnt" if report.model in CARDS else "published"  # which ships no weights of ours


def label(report: Report) -> str:
    return f"{report.model} (published)" if role_of(report) == "published" else report.model


def printed_points(name: str, scale: float, costs: Costs) -> list[Point]:
    """IMDN, whose decibels are its authors' and whose cost is measured here; nothing where either is not known."""
    decibels, cost = IMDN.get(name, {}).get(scale), costs.of("IMDN", scale)
    return [Point("IMDN (published)", cost, decibels, "published")] if decibels and cost else []
