"""What a megapixel of output costs, for the figure `cpu_s_per_mp` of an upscaler's card and for the plot of all.

    python -m benchmarks.cost lmliif [NAME ...] [--side 500] [--scales 2 4] [--rounds 5] [--precision auto]
    python -m benchmarks.cost --plot models/train/costs.json --precision fp32 --side 256 --scales 4 [--weights DIR]

The models and YARDSTICK take turns in this process by the engine, on all cores, on a square drawn photo. Printed are
seconds and processor seconds for a megapixel of output, and a card's figure: the median of the rounds' ratios to
YARDSTICK in processor seconds, times its card's. Cards say what a quiet machine of two cores takes, of which the ratio
says more than the seconds of a busy one; the figure to take is that of the dearest scale which `auto` asks.
`--plot` takes all upscalers that are served, those with weights in DIR among them, and IMDN in plain torch, and writes
what `python -m models.train plot` draws: processor milliseconds, which other work on the cores changes least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from models.cards import available, upscale
from workers import devices
from workers.pictures.picture import Picture

if TYPE_CHECKING:
    from workers.engine.engine import Engine

YARDSTICK = "liif"
PEER = "IMDN"
Spent = list[tuple[float, float]]  # seconds and processor seconds for a megapixel of output, one a round


def quiet(done: int, total: int) -> None:
    """Nobody follows the progress."""


def spend(engine: Engine, model: str, picture: Picture, scale: float) -> tuple[float, float]:
    """Seconds and processor seconds for a megapixel of output."""
    height, width = (round(side * scale) for side in picture.pixels.shape[:2])
    work: Callable[[], object] = partial(engine.upscale, picture, model=model, height=height, width=width, tick=quiet)
    if model == PEER:
        work = peer(picture, scale, str(engine.facts()["precision"]))
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    megapixels = height * width / 1e6
    return (time.perf_counter() - start) / megapixels, (time.process_time() - start_cpu) / megapixels


def peer(picture: Picture, scale: float, precision: str) -> Callable[[], object]:
    """A call of the network that is nobody's card, made beforehand."""
    from benchmarks.upscale import Case, network_call

    height, width = picture.pixels.shape[:2]
    return network_call(PEER, Case(height, width, scale, precision, devices.usable_cores()))


def take_turns(engine: Engine, names: list[str], scale: float, asked: argparse.Namespace) -> dict[str, Spent]:
    """What each name's calls took, after one on a small picture that does not count."""
    from benchmarks import pictures

    small, picture = (Picture(pictures.photo(side, side), None, None, None, "png", False) for side in (64, asked.side))
    for name in names:
        spend(engine, name, small, scale)
    spent: dict[str, Spent] = {name: [] for name in names}
    for turn in range(asked.rounds):
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            spent[name].append(spend(engine, name, picture, scale))
    return spent


def figures(spent: Spent, yardstick: Spent, known: float) -> str:
    """Medians, and what a card would say."""
    seconds, cpu_s = (statistics.median(column) for column in zip(*spent, strict=True))
    ratio = statistics.median(ours[1] / theirs[1] for ours, theirs in zip(spent, yardstick, strict=True))
    return f"{seconds:8.3f} s/MP  {cpu_s:8.3f} CPU s/MP  {ratio:6.3f} of {YARDSTICK}  card {ratio * known:.2f}"


def cpu_ms(spent: Spent) -> float:
    """Processor milliseconds for a megapixel of output, the median of the rounds."""
    return round(1000 * statistics.median(cpu_s for _, cpu_s in spent), 1)


def plotted(weights: Path | None) -> list[str]:
    """Everything that enlarges and has weights, and the peer."""
    return [card.name for card in upscale.ALL if card.name in available(weights)] + [PEER]


def main() -> None:
    devices.share_cores_politely()  # before torch is imported
    from workers.engine.engine import Engine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--side", type=int, default=500)
    parser.add_argument("--scales", nargs="+", type=float, default=[2.0, 4.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--weights", type=Path, help="folder of weight files that stand before ours")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="of all models, for `python -m models.train plot`")
    asked = parser.parse_args()
    if bool(asked.names) == bool(asked.plot):
        parser.error("either names or --plot")
    if asked.plot and asked.precision == "auto":
        parser.error("--plot compares in one --precision, fp32 or bf16")
    print(machine.line("torch"), flush=True)
    engine = Engine(device="cpu", precision=asked.precision, threads=devices.usable_cores(), weights_dir=asked.weights)
    names = plotted(asked.weights) if asked.plot else list(dict.fromkeys((*asked.names, YARDSTICK)))
    known = available(asked.weights)[YARDSTICK].cpu_s_per_mp
    costs: dict[str, dict[str, float]] = {}
    for scale in asked.scales:
        spent = take_turns(engine, names, scale, asked)
        for name in names:
            print(f"x{scale:g} {name:12} {figures(spent[name], spent[YARDSTICK], known)}", flush=True)
            costs.setdefault(name, {})[f"x{scale:g}"] = cpu_ms(spent[name])
    if asked.plot:
        how = f"{asked.side}x{asked.side}, {asked.rounds} rounds"
        where = f"{machine.processor()}, {asked.precision}, {machine.today()}, load {os.getloadavg()[0]:.1f}, {how}"
        asked.plot.write_text(json.dumps({"where": where, "cpu_ms_per_mp": costs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
