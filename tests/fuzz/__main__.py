"""The command: a hunt through all doors, one input again, or (for the hunt's own children) a part of it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.doors import DOORS
from tests.fuzz.hunt import ROOT, Finding, Tally, cause, hunt, kept, serve

FOLDER = ROOT / "build" / "fuzz"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["serve"]:
        door, *numbers = arguments[1:]
        seed, first, last, progress, seeds = map(int, numbers)
        return serve(door, seed, first, last, progress, seeds)
    if arguments[:1] == ["replay"]:
        return _replay(arguments[1], *map(int, arguments[2:4]))
    told = _parser().parse_args(arguments)
    doors = told.doors.split(",") if told.doors else [name for name, door in DOORS.items() if door.share]
    shares = sum(DOORS[name].share for name in doors)
    counts = {name: max(1, round(told.inputs * (DOORS[name].share / shares if shares else 1))) for name in doors}
    print(
        f"{'door':8} {'inputs':>9} {'refused':>8} {'inputs/s':>9} {'own MB':>7} {'extra MB':>8}  findings", flush=True
    )
    with ThreadPoolExecutor(told.jobs) as pool:
        found = sum(pool.map(lambda name: _one_door(name, told.seed, told.first, counts[name]), doors))
    print(f"{sum(counts.values())} inputs, {found} findings" + (f"; the inputs lie in {FOLDER}" if found else ""))
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000, help="of all doors together")
    parser.add_argument("--doors", default="", help=f"some of {', '.join(DOORS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first number, to go on where another hunt ended")
    parser.add_argument("--jobs", type=int, default=1, help="doors at a time")
    return parser


def _one_door(name: str, seed: int, first: int, count: int) -> int:
    tally = hunt(name, seed, first, count)
    print(_line(name, tally), flush=True)
    counts = Counter((one.kind, cause(one)) for one in tally.findings)
    for one in kept(tally.findings):
        _keep(name, seed, one)
        print(f"    {one.kind} x{counts[one.kind, cause(one)]}: {one.what}", flush=True)
        print(f"        python -m tests.fuzz replay {name} {seed} {one.number}", flush=True)
    return len(tally.findings)


def _line(name: str, tally: Tally) -> str:
    rate = tally.inputs / max(tally.seconds, 1e-9)
    numbers = f"{tally.inputs:9} {tally.refused:8} {rate:9.0f} {tally.own_mb:7.0f} {tally.extra_mb:8.1f}"
    return f"{name:8} {numbers}  {len(tally.findings)}"


def _keep(name: str, seed: int, finding: Finding) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = DOORS[name].input(DOORS[name].seeds(), seed, finding.number)
    (FOLDER / f"{name}-{seed}-{finding.number}-{finding.kind}").write_bytes(data)


def _replay(name: str, seed: int, number: int) -> int:
    """One input with a traceback; where it ends the process, that is seen, too."""
    door, data = DOORS[name], DOORS[name].input(DOORS[name].seeds(), seed, number)
    target = FOLDER / f"{name}-{seed}-{number}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    print(f"{len(data)} bytes, {Path(target).relative_to(ROOT)}: {data[:64]!r}", flush=True)
    try:
        door.knock(data)
    except door.refusals as error:
        print(f"refused: {type(error).__name__}: {error}")
    else:
        print("taken")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
