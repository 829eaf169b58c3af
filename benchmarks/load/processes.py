"""Processes as Linux tells of them: who is below whom, what they hold in memory, what they have computed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STORES = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class Process:
    """`cpu_s`: processor seconds, with those of children that have ended and were waited for."""

    pid: int
    parent: int
    command: str
    resident_bytes: int
    cpu_s: float


def read_process(pid: int) -> Process | None:
    """None where it has gone."""
    folder = Path(f"/proc/{pid}")
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        facts = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    used = sum(int(ticks) for ticks in facts[11:15])  # utime, stime, cutime, cstime: proc_pid_stat(5), from the third
    return Process(pid, int(facts[1]), command, int(facts[21]) * PAGE_BYTES, used / TICKS)


def processes_below(roots: Iterable[int]) -> list[Process]:
    """These processes and all below them."""
    seen = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
    found = {pid: process for pid in seen if (process := read_process(pid)) is not None}
    kept = {pid for pid in roots if pid in found}
    while more := {pid for pid, process in found.items() if process.parent in kept} - kept:
        kept |= more
    return [found[pid] for pid in sorted(kept)]


def cpu_s(roots: Iterable[int]) -> float:
    """Processor seconds of these processes and all below them, so far."""
    return sum(process.cpu_s for process in processes_below(roots))


def roles(processes: Iterable[Process]) -> list[tuple[str, Process]]:
    """Each with what it is in the service."""
    commands = {process.pid: process.command for process in processes}
    return [(role_of(process.command, commands.get(process.parent, "")), process) for process in processes]


def role_of(command: str, parent_command: str) -> str:
    """A worker's children have its command line."""
    if "service.cli worker" in command:
        return "worker child" if "service.cli worker" in parent_command else "worker"
    if "service.cli gateway" in command:
        return "gateway"
    if "service.cli up" in command:
        return "supervisor"
    if "decoder_process" in command:
        return "decoder"
    return "store" if any(name in command for name in STORES) else "other"
