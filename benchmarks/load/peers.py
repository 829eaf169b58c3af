"""The peers beside the service, in turns: each has the same users for as long, round after round, and all are up.

What is compared is told for each round as a ratio, so that noise which lasts longer than a turn is shared.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.crowd import ROOT, Crowd, Load
from benchmarks.load.kinds import ENHANCE, PICTURES, picture_file
from benchmarks.load.processes import cpu_s
from benchmarks.load.samples import Outcome
from benchmarks.load.services import Server, free_port, started, status_of, wait_until
from workers import devices

PINS = Path(__file__).with_name("peers.txt")
BENTO = "benchmarks.load.bentoml_peer:Enhance"


@dataclass(frozen=True)
class Turn:
    """One server's part of one round. `cpu_ms`: processor time of its processes for each job; `own_ms`: what of it is
    left without the function alone, as measured in the same round."""

    name: str
    round: int
    jobs_per_s: float
    p95_ms: float
    cpu_ms: float
    own_ms: float
    failed: int


@dataclass(frozen=True)
class Compared:
    """A server over all rounds: medians, and the median of the rounds' ratios of the first server's to its own."""

    name: str
    jobs_per_s: float
    p95_ms: float
    cpu_ms: float
    own_ms: float
    jobs_ratio: float
    cpu_ratio: float
    failed: int


@contextmanager
def serve_peers(python: str, folder: Path) -> Iterator[list[Server]]:
    """LitServe and BentoML, ready, run by the Python that has them."""
    ports = free_port(), free_port()
    commands = {
        "LitServe": [python, "-m", "benchmarks.load.litserve_peer", str(ports[0])],
        "BentoML": [python, "-m", "bentoml", "serve", BENTO, "--host", "127.0.0.1", "--port", str(ports[1])],
    }
    picture = picture_file(folder, ENHANCE.side, 0).read_bytes()
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")}
    with ExitStack() as stack:
        servers = []
        for (name, command), port in zip(commands.items(), ports, strict=True):
            process = stack.enter_context(started(command, log := folder / f"{name}.log", quiet))
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda url=url: status_of(url + ENHANCE.path, picture)[0] == 200, log, process)  # type: ignore[misc]
            servers.append(Server(name, url, (process.pid,)))
        yield servers


def take_turns(
    crowd: Crowd, servers: Sequence[Server], *, users: int, seconds: float, rounds: int, told: Callable[[Turn], None]
) -> list[Turn]:
    """A-B-C-A-B-C. `told` is called after each turn."""
    turns = []
    for number in range(rounds):
        alone_ms = cpu_ms_alone(seconds / 5, crowd.folder)
        for server in servers:
            before_s = cpu_s(server.pids)
            run = crowd.run(Load(server.url, "enhance", users, seconds))
            used_ms = (cpu_s(server.pids) - before_s) * 1000
            succeeded = sum(sample.outcome is Outcome.SUCCEEDED for sample in run.samples)
            cpu_ms = used_ms / max(1, succeeded)
            summary = run.summary(seconds / 5)
            failed = len(run.samples) - succeeded
            rates = summary.jobs_per_s, summary.p95_ms, cpu_ms, cpu_ms - alone_ms
            turns.append(Turn(server.name, number, *rates, failed))
            told(turns[-1])
    return turns


def cpu_ms_alone(seconds: float, folder: Path) -> float:
    """Processor time of the function for each picture, in a process of its own on each core, all at once: beside
    neighbours at work, as under a server, the same instructions take longer.
    """
    files = [str(picture_file(folder, ENHANCE.side, number)) for number in range(PICTURES)]
    command = [sys.executable, "-m", "benchmarks.load.enhancing", str(seconds), *files]
    cores = devices.usable_cores()
    with ThreadPoolExecutor(cores) as pool:
        told = list(pool.map(lambda _: subprocess.check_output(command, cwd=ROOT), range(cores)))
    return statistics.mean(float(json.loads(one)["cpu_ms"]) for one in told)


def compare(turns: Sequence[Turn]) -> list[Compared]:
    """Each server's figures, in the order of their first turns; the others are held against the first."""
    names = list(dict.fromkeys(turn.name for turn in turns))
    first = {turn.round: turn for turn in turns if turn.name == names[0]}
    found = []
    for name in names:
        own = [turn for turn in turns if turn.name == name]
        pairs = [(first[turn.round], turn) for turn in own]
        jobs_per_s, p95_ms, cpu_ms, own_ms = (
            statistics.median(figures) for figures in zip(*map(figures_of, own), strict=True)
        )
        jobs_ratio = statistics.median(ratio(ours.jobs_per_s, turn.jobs_per_s) for ours, turn in pairs)
        cpu_ratio = statistics.median(ratio(ours.cpu_ms, turn.cpu_ms) for ours, turn in pairs)
        failed = sum(turn.failed for turn in own)
        found.append(Compared(name, jobs_per_s, p95_ms, cpu_ms, own_ms, jobs_ratio, cpu_ratio, failed))
    return found


def figures_of(turn: Turn) -> tuple[float, float, float, float]:
    return turn.jobs_per_s, turn.p95_ms, turn.cpu_ms, turn.own_ms


def versions() -> str:
    """Those of the peers, as they are pinned."""
    pinned = dict(line.split("==") for line in PINS.read_text().splitlines() if "==" in line)
    return f"LitServe {pinned['litserve']}, BentoML {pinned['bentoml']}"


def ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else 0.0
