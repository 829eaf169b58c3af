"""The picture on top of the README: before and after of each operation, as the command `lutra` makes them.

    python -m benchmarks.showcase FOLDER [-o docs/img/before-after.webp]

FOLDER holds the Kodak pictures (kodim01.png to kodim24.png), on which no model was trained. Every crop is shown pixel
by pixel. `auto` takes the models, as for anybody.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from service.cli import main as lutra

WIDTH, HEIGHT = 400, 268  # of a crop
GAP, HEAD = 6, 24  # pixels between the crops, and above each for its name
SCALE, SIGMA = 4, 25
WHITE, BLACK = (255, 255, 255), (31, 35, 40)


def noisy(photo: Image.Image) -> Image.Image:
    """With Gaussian noise of `SIGMA` levels of 255."""
    values = np.asarray(photo, np.float64) + np.random.default_rng(0).normal(0, SIGMA, (photo.height, photo.width, 3))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def small(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width // SCALE, photo.height // SCALE), Image.Resampling.BICUBIC)


def enlarged(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.BICUBIC)


def same(picture: Image.Image) -> Image.Image:
    return picture


@dataclass(frozen=True)
class Column:
    """What one photo shows: `make` makes the file that is sent of it, `show` the picture before of that file."""

    command: tuple[str, ...]
    photo: str
    left: int
    top: int
    before: str
    make: Callable[[Image.Image], Image.Image] = same
    show: Callable[[Image.Image], Image.Image] = same


COLUMNS = (
    Column(("enhance",), "kodim21", 150, 50, "as published"),
    Column(("restore",), "kodim07", 330, 150, f"noise of {SIGMA} levels", make=noisy),
    Column(("upscale", "--scale", str(SCALE)), "kodim15", 220, 20, f"x{SCALE}, bicubic", make=small, show=enlarged),
)


def crops(column: Column, photo: Image.Image, folder: Path) -> tuple[Image.Image, Image.Image]:
    """Before and after. Raises RuntimeError where the command fails."""
    sent, made = folder / f"{column.photo}.png", folder / f"{column.photo}-after.png"
    column.make(photo).save(sent)
    if lutra([column.command[0], str(sent), *column.command[1:], "-o", str(made), "--quiet"]):
        raise RuntimeError(f"lutra {' '.join(column.command)} failed")
    box = (column.left, column.top, column.left + WIDTH, column.top + HEIGHT)
    with Image.open(sent) as before, Image.open(made) as after:
        return column.show(before.convert("RGB")).crop(box), after.convert("RGB").crop(box)


def paste(columns: dict[str, tuple[Image.Image, Image.Image]], names: dict[str, tuple[str, str]]) -> Image.Image:
    """Side by side, each before above its after, with their names."""
    across, down = WIDTH + GAP, HEIGHT + HEAD
    sheet = Image.new("RGB", (across * len(columns) - GAP, 2 * down), WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (title, pair) in enumerate(columns.items()):
        for row, (crop, name) in enumerate(zip(pair, names[title], strict=True)):
            pen.text((number * across + 2, row * down + 3), name, BLACK, font)
            sheet.paste(crop, (number * across, row * down + HEAD))
    return sheet


def draw(kodak: Path) -> Image.Image:
    """The whole picture of the Kodak pictures in a folder."""
    shown, names = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for column in COLUMNS:
            with Image.open(kodak / f"{column.photo}.png") as photo:
                shown[column.photo] = crops(column, photo.convert("RGB"), Path(folder))
            names[column.photo] = (column.before, f"lutra {' '.join(column.command)}")
    return paste(shown, names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/img/before-after.webp"))
    arguments = parser.parse_args()
    draw(arguments.folder).save(arguments.output, quality=80, method=6)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
