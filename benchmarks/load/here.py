"""The parts of a run that need the service on this machine: its processes' memory, faults, and the peers beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import faults, peers, services
from benchmarks.load.accounts import Account, account_for, ending_of, listed_jobs
from benchmarks.load.crowd import Crowd, Load
from benchmarks.load.faults import Fault, Striker
from benchmarks.load.kinds import ENHANCE, picture_file
from benchmarks.load.memory import Memory
from benchmarks.load.peers import Turn
from benchmarks.load.processes import processes_below, roles
from benchmarks.load.services import Redis, Server, status_of
from benchmarks.load.summary import Summary

STORE_BYTES = 128 * 1024**2  # full within the first minutes, as a store is that has served for hours
LOOK_EVERY_S = 2.0  # at all processes: it reads the whole of /proc
KILL_AT, RESTART_AT = 0.25, 0.6  # of the seconds with faults
SHARE_WITH_FAULTS = 0.5  # of the knee's users


@dataclass(frozen=True)
class Recovery:
    """A fault, and how long after it a picture was there that was asked for after it; None: none was."""

    fault: str
    seconds: float | None


@dataclass(frozen=True)
class Faulted:
    summary: Summary
    account: Account
    recoveries: tuple[Recovery, ...]
    longest_s: float


def small_store() -> dict[str, str]:
    """Settings of the service while it is measured; the environment's go before them."""
    return {"LUTRA_STORE_BYTES": os.environ.get("LUTRA_STORE_BYTES", str(STORE_BYTES))}


def watch_memory(memory: Memory, pids: Sequence[int], every_s: float = LOOK_EVERY_S) -> Callable[[], None]:
    """To be called often; looks every `every_s` seconds."""
    looked_s = 0.0

    def watch() -> None:
        nonlocal looked_s
        if (now_s := time.time()) - looked_s >= every_s:
            looked_s = now_s
            memory.look(now_s, roles(processes_below(pids)))

    return watch


def run_with_faults(crowd: Crowd, folder: Path, load: Load) -> Faulted:
    """Keyed users at `load.users`, on a service whose Redis keeps its file, and the account of all that it took in."""
    with ExitStack() as stack:
        store = Redis(folder)
        stack.callback(store.stop)
        service = stack.enter_context(services.lutra(folder, {"LUTRA_REDIS_URL": store.url}))
        striker = Striker(
            [
                Fault(
                    "a worker's child killed (SIGKILL)",
                    KILL_AT * load.seconds,
                    lambda: faults.kill_working_child(service.pids[0]),
                ),
                Fault("Redis restarted from its file", RESTART_AT * load.seconds, store.restart),
            ]
        )
        run = crowd.run(Load(service.url, load.mix, load.users, load.seconds, load.pace, is_keyed=True), striker.watch)

        def get(path: str) -> tuple[int, bytes]:
            return status_of(service.url + path)

        endings = [ending_of(get, job) for job in sorted({sample.job for sample in run.samples if sample.job})]
        account = account_for(run.samples, endings, listed_jobs(get))
    recoveries = tuple(Recovery(one.name, faults.recovery_s(run.samples, one.at_s)) for one in striker.struck)
    longest_s = max((sample.seconds for sample in run.samples), default=0.0)
    return Faulted(run.summary(0), account, recoveries, longest_s)


def compare_with_peers(
    crowd: Crowd, service: Server, *, users: int, seconds: float, rounds: int, told: Callable[[Turn], None]
) -> tuple[list[Turn], bool]:
    """All turns, and whether all of them answer with the same bytes."""
    with peers.serve_peers(crowd.python, crowd.folder) as others:
        servers = [service, *others]
        picture = picture_file(crowd.folder, ENHANCE.side, 0).read_bytes()
        answers = {status_of(server.url + ENHANCE.path, picture)[1] for server in servers}
        turns = peers.take_turns(crowd, servers, users=users, seconds=seconds, rounds=rounds, told=told)
    return turns, len(answers) == 1


def tell_turn(turn: Turn) -> None:
    figures = f"{turn.jobs_per_s:.1f} jobs/s, p95 {turn.p95_ms:.0f} ms, CPU {turn.cpu_ms:.1f} ms a job"
    print(f"  {turn.name}, round {turn.round + 1}: {figures}, its own {turn.own_ms:.1f} ms", flush=True)
