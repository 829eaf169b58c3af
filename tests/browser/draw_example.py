"""Draws the page's example, an otter between reeds: `python -m tests.browser.draw_example [FILE]`.

It is made of strokes four times as fine as the pixels that are left, so there is detail for an upscaler to bring back;
and it is ours, so there is no licence to name. The same seed draws the same picture.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FILE = Path(__file__).parents[2] / "service" / "web" / "example.png"
FINER = 4
WIDTH, HEIGHT = 480 * FINER, 320 * FINER
HORIZON = 610
SEED = 2

Colour = tuple[int, int, int]
Canvas = ImageDraw.ImageDraw


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * min(1.0, max(0.0, share))) for a, b in zip(one, other, strict=True))
    return red, green, blue


def lit(colour: Colour, by: float) -> Colour:
    return mixed(colour, (255, 244, 220), by) if by > 0 else mixed(colour, (12, 10, 14), -by)


def sky_and_water(draw: Canvas, rng: np.random.Generator) -> None:
    for y in range(HORIZON):
        draw.line((0, y, WIDTH, y), mixed((92, 140, 176), (248, 214, 170), (y / HORIZON) ** 1.4))
    for y in range(HORIZON, HEIGHT):
        draw.line((0, y, WIDTH, y), mixed((222, 186, 148), (24, 62, 74), ((y - HORIZON) / (HEIGHT - HORIZON)) ** 0.6))
    ridge = np.cumsum(rng.normal(0, 2.2, WIDTH // 4 + 1))
    ridge -= np.linspace(0, ridge[-1], ridge.size)
    hills = [(4 * i, HORIZON - 90 - 3 * float(rise)) for i, rise in enumerate(ridge)]
    draw.polygon([(0, HORIZON), *hills, (WIDTH, HORIZON)], (88, 112, 116))
    for _ in range(2600):
        deep = float(rng.random()) ** 1.5
        x, y = float(rng.random()) * WIDTH, HORIZON + deep * (HEIGHT - HORIZON)
        long = 12 + 110 * deep * float(rng.random())
        glint = mixed((250, 222, 184), (70, 118, 128), deep + float(rng.normal(0, 0.25)))
        draw.arc((x, y, x + long, y + 5 + 9 * deep), 200, 340, glint, 1 + int(4 * deep))


def reeds(draw: Canvas, rng: np.random.Generator, left: float, right: float, count: int) -> None:
    for _ in range(count):
        x = float(rng.uniform(left, right))
        foot, tip = float(rng.uniform(HORIZON - 10, HORIZON + 210)), float(rng.uniform(60, 330))
        lean = float(rng.normal(0, 70))
        green = lit((86, 104, 52), float(rng.normal(0, 0.25)))
        stem = [(x + lean * t * t, foot + (tip - foot) * t) for t in np.linspace(0, 1, 18)]
        draw.line(stem, green, int(rng.integers(3, 8)), joint="curve")
        if rng.random() < 0.35:
            top, up = stem[-1], math.atan2(stem[-1][1] - stem[-3][1], stem[-1][0] - stem[-3][0])
            cob = [(top[0] + s * math.cos(up), top[1] + s * math.sin(up)) for s in np.linspace(0, 90, 8)]
            draw.line(cob, (96, 58, 34), 20)
            draw.line([(a - 5, b) for a, b in cob], (150, 98, 60), 4)


@dataclass(frozen=True)
class Fur:
    """`count` hairs in an ellipse, `hair` pixels long; they leave its middle, or hang (`fall`)."""

    colour: Colour
    count: int
    hair: float
    fall: float = 0.0

    def draw(self, draw: Canvas, rng: np.random.Generator, x: float, y: float, wide: float, high: float) -> None:
        """Around (x, y), with these radii."""
        draw.ellipse((x - wide, y - high, x + wide, y + high), lit(self.colour, -0.25))
        for _ in range(self.count):
            angle, far = float(rng.random()) * math.tau, math.sqrt(float(rng.random()))
            right, down = math.cos(angle), math.sin(angle)
            root = x + wide * far * right, y + high * far * down
            turn = math.atan2(down + self.fall, right) + float(rng.normal(0, 0.18))
            light = -0.32 * down * far + float(rng.normal(0, 0.17))
            long = self.hair * float(rng.uniform(0.6, 1.3))
            tip = root[0] + long * math.cos(turn), root[1] + long * math.sin(turn)
            draw.line((*root, *tip), lit(self.colour, light), int(rng.integers(2, 5)))


def otter(draw: Canvas, rng: np.random.Generator) -> None:
    brown, pale = (112, 76, 50), (206, 178, 142)
    Fur(brown, 16000, 46, 1.6).draw(draw, rng, 960, 1130, 430, 380)
    Fur(pale, 9000, 40, 1.8).draw(draw, rng, 960, 1160, 235, 330)
    for side in (-1, 1):
        Fur((92, 60, 40), 1400, 22).draw(draw, rng, 960 + side * 262, 470, 62, 58)
        Fur((150, 106, 84), 500, 12).draw(draw, rng, 960 + side * 262, 476, 32, 30)
    Fur(brown, 15000, 36, 0.5).draw(draw, rng, 960, 590, 316, 262)
    Fur(pale, 6500, 30, 0.9).draw(draw, rng, 960, 735, 205, 130)
    Fur((178, 146, 112), 2600, 24, 0.3).draw(draw, rng, 960, 640, 118, 96)
    face(draw, rng)


def face(draw: Canvas, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        x = 960 + side * 142
        draw.ellipse((x - 38, 528, x + 38, 604), (30, 20, 16))
        draw.ellipse((x - 30, 536, x + 30, 598), (58, 36, 22))
        draw.ellipse((x - 20, 546, x + 20, 590), (10, 8, 8))
        draw.ellipse((x - 18, 544, x - 2, 560), (250, 246, 236))
        draw.ellipse((x + 8, 574, x + 15, 581), (196, 190, 180))
    draw.polygon([(890, 640), (1030, 640), (1006, 700), (960, 728), (914, 700)], (44, 32, 32))
    draw.line([(904, 648), (960, 642), (1016, 648)], (124, 102, 98), 7)
    draw.line([(960, 728), (960, 776)], (60, 40, 34), 6)
    for side in (-1, 1):
        draw.arc((960 - 90 if side < 0 else 960, 716, 960 if side < 0 else 1050, 806), 20, 160, (60, 40, 34), 6)
        for hair in range(13):
            row, reach = hair % 3, float(rng.uniform(270, 430))
            start = (960 + side * (62 + 12 * (hair // 3)), 738 + 22 * row)
            droop = -60 + 62 * row + 18 * (hair // 3) + float(rng.normal(0, 9))
            bend = [(start[0] + side * reach * t, start[1] + droop * t * t) for t in np.linspace(0, 1, 14)]
            draw.line(bend, (246, 238, 222), 3)
            draw.ellipse((start[0] - 4, start[1] - 4, start[0] + 4, start[1] + 4), (96, 66, 48))


def draw_example(seed: int = SEED) -> Image.Image:
    """The picture, 480 x 320; another `seed` draws another otter."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    sky_and_water(draw, rng)
    reeds(draw, rng, -40, 560, 150)
    reeds(draw, rng, 1380, 1960, 130)
    otter(draw, rng)
    return image.resize((WIDTH // FINER, HEIGHT // FINER), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw_example().save(sys.argv[1] if len(sys.argv) > 1 else FILE, "PNG", optimize=True)
