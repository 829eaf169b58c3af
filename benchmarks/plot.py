"""Horizontal bars on a logarithmic axis, as an SVG that a light and a dark page can both show; no library needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 760, 250, 90  # all in pixels; bars run from LEFT to WIDTH - RIGHT
ROW, BAR, HEAD, FOOT = 22, 14, 34, 30

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .tick { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0 }
  .ours { fill: #0969da } .peer { fill: #8c959f } .limit { fill: #bf8700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .ours { fill: #4493f8 } .peer { fill: #6e7681 } .limit { fill: #d29922 }
  }
"""


@dataclass(frozen=True)
class Bar:
    name: str
    ms: float
    role: str  # a class of STYLE: "ours", "peer" or "limit"


@dataclass(frozen=True)
class Panel:
    title: str
    bars: Sequence[Bar]


def svg(panels: Sequence[Panel]) -> str:
    """The panels one below the other, each with an axis of its own and its fastest bar on top."""
    body: list[str] = []
    top = 0
    for panel in panels:
        body += _panel(panel, top)
        top += HEAD + ROW * len(panel.bars) + FOOT
    size = f'width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    described = "; ".join(panel.title for panel in panels)
    return "\n".join([head, f"<title>{escape(described)}</title>", f"<style>{STYLE}</style>", *body, "</svg>"]) + "\n"


def _panel(panel: Panel, top: int) -> list[str]:
    low, high = decades([bar.ms for bar in panel.bars])
    bottom = top + HEAD + ROW * len(panel.bars)
    lines = [f'<text class="title" x="8" y="{top + 20}">{escape(panel.title)}</text>']
    for ms in ticks(low, high):
        x = place(ms, low, high)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top + HEAD - 4}" y2="{bottom}"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{ms:g} ms</text>')
    for row, bar in enumerate(sorted(panel.bars, key=lambda bar: bar.ms)):
        lines += _bar(bar, top + HEAD + ROW * row, place(bar.ms, low, high))
    return lines


def _bar(bar: Bar, top: int, end: float) -> list[str]:
    middle = top + ROW - 7
    width = max(end - LEFT, 1)
    return [
        f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect class="{bar.role}" x="{LEFT}" y="{top + 4}" width="{width:.1f}" height="{BAR}" rx="2"/>',
        f'<text x="{LEFT + width + 6:.1f}" y="{middle}">{bar.ms:.3g} ms</text>',
    ]


def decades(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten that enclose the values, the first below the smallest: no bar is without length."""
    low = 10.0 ** (math.ceil(math.log10(min(values))) - 1)
    high = 10.0 ** math.ceil(math.log10(max(values)))
    return low, high


def ticks(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def place(ms: float, low: float, high: float) -> float:
    """Where a value lies, in pixels from the left."""
    return LEFT + (WIDTH - RIGHT - LEFT) * math.log(ms / low) / math.log(high / low)
