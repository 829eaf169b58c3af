"""The commands that draw what came out: `python -m models.train plot`, `sheet`, `crops` and `cards`.

Each reads its part of the command line and calls what draws; torch and the models are imported late.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CARDS_FOLDER = Path("docs/cards")
CROPS_FILE = Path("docs/crops.webp")
WEBP: dict[str, Any] = {"quality": 75, "method": 6}  # pictures are kept with the code


def plot(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train plot", allow_abbrev=False)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/quality-over-cost.svg"))
    parser.add_argument("--set", default="Set14")
    parser.add_argument("--scale", type=float, default=4)
    arguments = parser.parse_args(words)
    from models.train import plot, report

    places = report.Places()
    reports = [stored for path in sorted(places.results.glob("*.json")) if (stored := report.read(path))]
    costs = plot.Costs(**json.loads(places.costs.read_text()))
    arguments.out.write_text(plot.quality_over_cost(reports, costs, arguments.set, arguments.scale))
    print(arguments.out)


def sheet(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train sheet", allow_abbrev=False)
    parser.add_argument("photos", nargs="+", type=Path, help="pictures that may be shown")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a .png, .webp or .jpg")
    parser.add_argument("--models", nargs="+", default=["bicubic", "liif", "liif-real"])
    parser.add_argument("--scale", type=int, default=3)
    parser.add_argument("--side", type=int, default=288, help="pixels of each picture shown")
    parser.add_argument("--as-is", action="store_true", help="enlarge the photo itself, do not make it small first")
    parser.add_argument("--quality", type=int, default=75, help="of the JPEG the small picture goes through; 0: none")
    parser.add_argument("--weather", action="store_true", help="show rain and haze as training draws them instead")
    arguments = read(parser, words)
    from models.train import sheet

    if arguments.weather:
        drawn = sheet.draw_weather(arguments.photos, arguments.side)
    else:
        quality = arguments.quality or None
        look = sheet.Look(arguments.models, arguments.scale, arguments.side, not arguments.as_is, quality)
        drawn = sheet.draw(arguments.photos, look)
    drawn.save(arguments.out, **WEBP)
    print(arguments.out)


def crops(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.train crops",
        allow_abbrev=False,
        description="Eight kinds of pictures as the web has them, enlarged by several models, seconds under each.",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", default=["bicubic", "lmliif", "liif-real"])
    parser.add_argument("--data", type=Path, required=True, help="folder with bench/kodak24 and train/photos")
    parser.add_argument(
        "--weights", type=Path, help="folder with weight files of your own, span.safetensors among them"
    )
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--quality", type=int, default=75)
    parser.add_argument("-o", "--out", type=Path, default=CROPS_FILE)
    arguments = read(parser, words)
    from models.train import gallery

    drawn = gallery.draw_crops(arguments.models, arguments.data, arguments.weights, arguments.scale, arguments.quality)
    drawn.save(arguments.out, **WEBP)
    print(arguments.out)


def cards(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.train cards",
        allow_abbrev=False,
        description="A picture of successes and failures for the card of each model.",
    )
    parser.add_argument("names", nargs="*", metavar="MODEL", help="all that have weights unless told, and `filters`")
    parser.add_argument("--data", type=Path, required=True, help="folder with bench/kodak24 and train/photos")
    parser.add_argument(
        "--weights", type=Path, help="folder with weight files of your own, span.safetensors among them"
    )
    parser.add_argument("-o", "--out", type=Path, default=CARDS_FOLDER, help=f"a folder, {CARDS_FOLDER} unless told")
    arguments = read(parser, words)
    from models.cards import available
    from models.train import examples, gallery

    known = available(arguments.weights)
    ready = [name for name, card in examples.GALLERIES.items() if set(card.models) <= set(known)]
    if unknown := [name for name in arguments.names if name not in ready]:
        parser.error(f"{', '.join(unknown)} cannot be shown, there are {', '.join(ready)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or ready:
        path = arguments.out / f"{name}.webp"
        drawn = gallery.draw_card(examples.GALLERIES[name], arguments.data, arguments.weights)
        drawn.save(path, **WEBP)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} KB", flush=True)


def read(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The command line, with torch told how many threads it may take."""
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(words)
    import torch

    torch.set_num_threads(arguments.threads)
    return arguments


COMMANDS: dict[str, Callable[[list[str]], None]] = {"plot": plot, "sheet": sheet, "crops": crops, "cards": cards}
