"""What a megapixel of output costs, for the figure `cpu_s_per_mp` of an upscaler's card.

    python -m benchmarks.cost lmliif [NAME ...] [--side 500] [--scales 2 4] [--rounds 5] [--precision auto]

The models and YARDSTICK take turns in this process by the engine, on all cores, on a square drawn photo. Printed are
seconds and processor seconds for a megapixel of output, and a card's figure: the median of the rounds' ratios to
YARDSTICK in processor seconds, times its card's. Cards say what a quiet machine of two cores takes, of which the ratio
says more than the seconds of a busy one; the figure to take is that of the dearest scale which `auto` asks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from models.cards import available
from workers import devices
from workers.pictures.picture import Picture

if TYPE_CHECKING:
    from workers.engine.engine import Engine

YARDSTICK = "liif"


def quiet(done: int, total: int) -> None:
    """Nobody follows the progress."""


def spend(engine: Engine, model: str, picture: Picture, scale: float) -> tuple[float, float]:
    """Seconds and processor seconds for a megapixel of output."""
    height, width = (round(side * scale) for side in picture.pixels.shape[:2])
    start, start_cpu = time.perf_counter(), time.process_time()
    engine.upscale(picture, model=model, height=height, width=width, tick=quiet)
    megapixels = height * width / 1e6
    return (time.perf_counter() - start) / megapixels, (time.process_time() - start_cpu) / megapixels


def figures(spent: list[tuple[float, float]], yardstick: list[tuple[float, float]], known: float) -> str:
    """Medians, and what a card would say."""
    seconds, cpu_s = (statistics.median(column) for column in zip(*spent, strict=True))
    ratio = statistics.median(ours[1] / theirs[1] for ours, theirs in zip(spent, yardstick, strict=True))
    return f"{seconds:8.3f} s/MP  {cpu_s:8.3f} CPU s/MP  {ratio:6.3f} of {YARDSTICK}  card {ratio * known:.2f}"


def main() -> None:
    devices.share_cores_politely()  # before torch is imported
    from benchmarks import pictures
    from workers.engine.engine import Engine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="+")
    parser.add_argument("--side", type=int, default=500)
    parser.add_argument("--scales", nargs="+", type=float, default=[2.0, 4.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--weights", type=Path, help="folder of weight files that stand before ours")
    asked = parser.parse_args()
    print(machine.line("torch"), flush=True)
    engine = Engine(device="cpu", precision=asked.precision, threads=devices.usable_cores(), weights_dir=asked.weights)
    names = list(dict.fromkeys((*asked.names, YARDSTICK)))
    small = Picture(pictures.photo(64, 64), None, None, None, "png", False)
    picture = Picture(pictures.photo(asked.side, asked.side), None, None, None, "png", False)
    known = available(asked.weights)[YARDSTICK].cpu_s_per_mp
    for scale in asked.scales:
        for name in names:
            spend(engine, name, small, scale)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for turn in range(asked.rounds):
            for place in range(len(names)):
                name = names[(place + turn) % len(names)]
                spent[name].append(spend(engine, name, picture, scale))
        for name in names:
            print(f"x{scale:g} {name:12} {figures(spent[name], spent[YARDSTICK], known)}", flush=True)


if __name__ == "__main__":
    main()
