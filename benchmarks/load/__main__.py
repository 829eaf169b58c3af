"""The service under load, measured: `make load`, on a machine that does nothing else.

    python -m benchmarks.load [--python build/load/bin/python] [--seconds 10] [--steady-seconds 300]
        [--fault-seconds 100] [--peer-seconds 20] [--url http://...] [--json FILE] [--write-docs]

Finds the knee of each mix by steps of users, holds 80 % of it, kills a worker's child and restarts Redis and accounts
for every job, and takes turns with LitServe and BentoML over the same /enhance. A part of 0 seconds is left out. With
`--url` a service that runs elsewhere is loaded, and nothing is done to it: knee and steady load alone. Exit status: 1
where a job was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import machine
from benchmarks.load import kinds, page
from benchmarks.load.crowd import Crowd, Load
from benchmarks.load.kinds import MIXES
from benchmarks.load.knee import Knee, Objectives, find_knee
from benchmarks.load.memory import Memory
from benchmarks.load.page import Found, Steady
from benchmarks.load.summary import Summary

PACKAGES = ("torch", "celery", "fastapi", "uvicorn")
WARM_SHARE = 0.2  # of a step


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--python", default=sys.executable, help="has Locust, LitServe and BentoML")
    parser.add_argument("--mixes", nargs="+", choices=MIXES, default=["enhance", "mixed"], help="the last is held")
    parser.add_argument("--seconds", type=float, default=10, help="of each step of users")
    parser.add_argument("--first-users", type=int, default=4)
    parser.add_argument("--most-users", type=int, default=256)
    parser.add_argument("--pace", type=float, default=1.0, help="jobs a second of each user")
    parser.add_argument("--p95-ms", type=float, default=1000.0, help="the objective of a step")
    parser.add_argument("--steady-seconds", type=float, default=300)
    parser.add_argument("--fault-seconds", type=float, default=100)
    parser.add_argument("--peer-seconds", type=float, default=20, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2, help="of turns with the peers")
    parser.add_argument("--clients", type=int, default=16, help="beside the peers")
    parser.add_argument("--url", help="a service that runs already")
    parser.add_argument("--json", type=Path, help="write all that was found here")
    parser.add_argument("--write-docs", action="store_true", help="write docs/load.md and docs/load.svg")
    asked = parser.parse_args()
    if asked.write_docs and (asked.url or not (asked.steady_seconds and asked.fault_seconds and asked.peer_seconds)):
        parser.error("--write-docs writes the whole page: it needs every part, on this machine")
    return asked


def knees_of(crowd: Crowd, asked: argparse.Namespace, url: str) -> dict[str, Knee]:
    found = {}
    for mix in asked.mixes:

        def measure(users: int, mix: str = mix) -> Summary:
            run = crowd.run(Load(url, mix, users, asked.seconds, asked.pace))
            summary = run.summary(WARM_SHARE * asked.seconds)
            tell(f"{mix}, {users} users", summary)
            return summary

        objectives = Objectives(p95_ms=asked.p95_ms)
        found[mix] = find_knee(measure, objectives, first=asked.first_users, most=asked.most_users)
    return found


def hold(crowd: Crowd, asked: argparse.Namespace, url: str, knee: Knee, pids: tuple[int, ...]) -> Steady:
    """80 % of the knee's users; memory is watched where the processes are told."""
    mix, memory = asked.mixes[-1], Memory()
    load = Load(url, mix, users_below(knee, page.SHARE_OF_KNEE), asked.steady_seconds, asked.pace)
    if pids:
        from benchmarks.load.here import LOOK_EVERY_S, watch_memory

        run = crowd.run(load, watch_memory(memory, pids, min(LOOK_EVERY_S, asked.steady_seconds / 10)))
    else:
        run = crowd.run(load)
    tell(f"{mix}, {load.users} users", summary := run.summary(0))
    return Steady(mix, summary, memory.series)


def users_below(knee: Knee, share: float) -> int:
    return max(1, int(share * knee.held.users)) if knee.held else 1


def tell(name: str, summary: Summary) -> None:
    told = zip(page.figures(summary), page.FIGURES, strict=True)
    print(f"  {name}: {', '.join(f'{figure} {unit}' for figure, unit in told)}", flush=True)


def run_elsewhere(asked: argparse.Namespace, crowd: Crowd, found: Found) -> None:
    found.knees = knees_of(crowd, asked, asked.url)
    if asked.steady_seconds:
        found.steady = hold(crowd, asked, asked.url, found.knees[asked.mixes[-1]], ())


def run_here(asked: argparse.Namespace, crowd: Crowd, found: Found) -> None:
    from benchmarks.load import here, peers, services  # they import the service, which users elsewhere do not have

    with services.lutra(crowd.folder, here.small_store()) as service:
        found.knees = knees_of(crowd, asked, service.url)
        knee = found.knees[asked.mixes[-1]]
        if asked.steady_seconds:
            found.steady = hold(crowd, asked, service.url, knee, service.pids)
        if asked.peer_seconds:
            options = {"users": asked.clients, "seconds": asked.peer_seconds, "rounds": asked.rounds}
            turns, found.same_bytes = here.compare_with_peers(crowd, service, **options, told=here.tell_turn)
            found.compared, found.versions = peers.compare(turns), peers.versions()
    if asked.fault_seconds:
        load = Load("", asked.mixes[-1], users_below(knee, here.SHARE_WITH_FAULTS), asked.fault_seconds, asked.pace)
        found.faulted = here.run_with_faults(crowd, crowd.folder, load)


def main() -> int:
    asked = read_arguments()
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
    )  # what was started is ended all the same
    found = Found(machine.line(*PACKAGES), " ".join(["python -m benchmarks.load", *sys.argv[1:]]))
    print(f"{found.device}\n{found.command}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(asked.python, Path(folder))
        kinds.write_pictures(crowd.folder)
        (run_elsewhere if asked.url else run_here)(asked, crowd, found)
    print(f"\n{page.as_text(found)}")
    if asked.json:
        asked.json.write_text(json.dumps(asdict(found)) + "\n")
    if asked.write_docs:
        page.write_docs(found)
    is_well = not found.faulted or found.faulted.account.lost + found.faulted.account.doubled == 0
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
