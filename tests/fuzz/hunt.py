"""Inputs put through the doors in child processes, and what is found there.

A finding is: a process that breaks down (crash) or does not come back (hang), more processor time (slow) or memory
(memory) than an input so small may take, words on the terminal (printed), and every exception that is not a refusal of
the door (exception), `OutOfMemory` among them. The parent learns from a number in shared memory which input it was.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TextIO

from tests.fuzz.doors import DOORS, NEVER, Door

ROOT = Path(__file__).parents[2]
HANG_FACTOR = 20.0  # of the door's limit, in processor seconds; a machine that is busy with other things makes no hang
STUCK_S = 300.0  # of one that only waits
ADDRESS_BYTES = 8 * 1024**3  # beyond what is mapped after the start: a fence, so that no input takes the machine along
KEPT = 3  # inputs kept of one kind of finding
_AGAIN = 9  # exit status: go on with the next input in a fresh process


@dataclass
class Finding:
    kind: str
    number: int
    what: str  # the same for findings of one cause


@dataclass
class Tally:
    """What came of one door's inputs. `extra_mb`: the most memory that its inputs took beyond the process's own."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    own_mb: float = 0.0
    extra_mb: float = 0.0
    findings: list[Finding] = field(default_factory=list)


# ---- in the child ------------------------------------------------------------------------------------------------


def serve(door_name: str, seed: int, first: int, last: int, descriptor: int, seeds_descriptor: int) -> int:
    """Put the inputs from `first` up to `last` through; a line of JSON for each finding, and one for all at the end."""
    door, progress = DOORS[door_name], mmap.mmap(descriptor, 16)
    seeds: list[bytes] = pickle.loads(os.pread(seeds_descriptor, 1 << 30, 0))
    words, ours = _own_terminal()
    faulthandler.enable(ours)
    _hush()
    struct.pack_into("<qq", progress, 0, first, 0)
    for data in seeds:
        _knock(door, data)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before, done, refused, status = _peak_bytes(), 0, 0, 0
    for number in range(first, last):
        struct.pack_into("<qq", progress, 0, number, 1)
        data = door.input(seeds, seed, number)
        printed, start = os.fstat(words).st_size, time.process_time()
        outcome = _knock(door, data)
        spent, done = time.process_time() - start, done + 1
        refused += outcome == "refused"
        found = _judge(door, outcome, spent, _peak_bytes() - before, os.pread(words, 300, printed))
        for kind, what in found:
            print(json.dumps({"kind": kind, "number": number, "what": what}), file=ours, flush=True)
        if any(kind == "memory" for kind, _ in found):
            status = _AGAIN
            break
    facts = {"inputs": done, "refused": refused, "own": before, "extra": _peak_bytes() - before}
    print(json.dumps(facts), file=ours, flush=True)
    return status


def _own_terminal() -> tuple[int, TextIO]:
    """Standard output for the parent alone; what anybody prints goes into a file in memory."""
    ours = os.fdopen(os.dup(1), "w")
    words = os.memfd_create("words")
    for number in (1, 2):
        os.dup2(words, number)
    return words, ours


def _hush() -> None:
    """The service's own log lines are no noise of a codec."""
    import logging
    import warnings

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")


@cache
def _status() -> int:
    return os.open("/proc/self/status", os.O_RDONLY)


def _peak_bytes() -> int:
    """The most memory this process has held; what `getrusage` says counts the parent's in."""
    return int(os.pread(_status(), 4096, 0).partition(b"VmHWM:")[2].split(None, 1)[0]) * 1024


def _knock(door: Door, data: bytes) -> str:
    """`taken`, `refused`, or what went wrong."""
    try:
        door.knock(data)
    except NEVER as error:
        return f"{type(error).__name__}: {error}"
    except door.refusals:
        return "refused"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} ({last.name}): {error}"[:300]
    return "taken"


def _judge(door: Door, outcome: str, spent_s: float, extra_bytes: int, words: bytes) -> list[tuple[str, str]]:
    found = []
    if outcome not in ("taken", "refused"):
        found.append(("exception", outcome))
    if spent_s > door.limit_s:
        found.append(("slow", f"{spent_s:.1f} s, {outcome}"))
    if extra_bytes > door.extra_bytes:
        found.append(("memory", f"{extra_bytes / 1e6:.0f} MB, {outcome}"))
    if words:
        found.append(("printed", words.decode(errors="replace").strip()[:200]))
    return found


# ---- in the parent -----------------------------------------------------------------------------------------------


def hunt(door_name: str, seed: int, first: int, count: int, tell: Callable[[Finding], None] = lambda _: None) -> Tally:
    """All inputs of one door, in as many processes as it takes."""
    tally, at, start = Tally(), first, time.monotonic()
    seeds = os.memfd_create("seeds")
    os.write(seeds, pickle.dumps(list(DOORS[door_name].seeds())))
    while at < first + count:
        done, status, fault = _one_child([door_name, *map(str, (seed, at, first + count))], seeds, tally, tell)
        if fault is not None:
            tally.findings.append(fault)
            tell(fault)
        elif status not in (0, _AGAIN):
            raise RuntimeError(f"the child at the door {door_name} ended with {status} before its first input")
        at = done
    os.close(seeds)
    tally.seconds = time.monotonic() - start
    return tally


def _one_child(
    task: list[str], seeds: int, tally: Tally, tell: Callable[[Finding], None]
) -> tuple[int, int, Finding | None]:
    """Where to go on, the exit status, and what ended it before its time. `task`: the first arguments of `serve`."""
    *_, at, last = task
    descriptor = os.memfd_create("progress")
    os.ftruncate(descriptor, 16)
    fds = [descriptor, seeds]
    command = [sys.executable, "-m", "tests.fuzz", "serve", *task, *map(str, fds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=fds, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        progress = mmap.mmap(descriptor, 16)
        os.set_blocking(child.stdout.fileno(), False)
        trace: list[str] = []
        hangs = _watch(child, progress, HANG_FACTOR * DOORS[task[0]].limit_s, lambda: _take(child, tally, trace, tell))
        _take(child, tally, trace, tell)
        status = child.wait()
    number, is_started = struct.unpack_from("<qq", progress, 0)
    os.close(descriptor)
    if status in (0, _AGAIN) or not is_started:
        return (int(last) if status == 0 else number + 1), status, None
    tally.inputs += number + 1 - int(at)
    where = next((line.strip() for line in trace if line.strip().startswith("File")), "")
    what = "does not come back" if hangs else f"signal {-status}, {where}" if status < 0 else f"exit {status}, {where}"
    return number + 1, status, Finding("hang" if hangs else "crash", number, what)


def _take(child: subprocess.Popen[str], tally: Tally, trace: list[str], tell: Callable[[Finding], None]) -> None:
    """Lines that the child has written so far."""
    for line in _lines(child):
        if not line.startswith("{"):
            trace.append(line)
            continue
        told = json.loads(line)
        if "kind" in told:
            tally.findings.append(Finding(**told))
            tell(tally.findings[-1])
        else:
            tally.inputs, tally.refused = tally.inputs + told["inputs"], tally.refused + told["refused"]
            tally.own_mb = max(tally.own_mb, told["own"] / 1e6)
            tally.extra_mb = max(tally.extra_mb, told["extra"] / 1e6)


def _lines(child: subprocess.Popen[str]) -> Iterator[str]:
    assert child.stdout is not None
    while line := child.stdout.readline():
        yield line


def _watch(child: subprocess.Popen[str], progress: mmap.mmap, limit_s: float, take: Callable[[], None]) -> bool:
    """Until the child ends; True where one input had to be ended."""
    seen, used, since = b"", 0.0, time.monotonic()
    while child.poll() is None:
        take()
        now = bytes(progress[:16])
        if now != seen:
            seen, used, since = now, _processor_s(child.pid), time.monotonic()
        elif (now[8] and _processor_s(child.pid) - used > limit_s) or time.monotonic() - since > STUCK_S:
            child.kill()
            return True
        time.sleep(0.05)
    return False


def _processor_s(pid: int) -> float:
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def kept(findings: list[Finding]) -> list[Finding]:
    """The first few of each cause."""
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for finding in findings:
        key = finding.kind, cause(finding)
        counts[key] += 1
        if counts[key] <= KEPT:
            found.append(finding)
    return found


def cause(finding: Finding) -> str:
    """Without the numbers in it, which differ from input to input."""
    what = finding.what if finding.kind in ("exception", "printed", "crash") else finding.what.partition(", ")[2]
    return "".join("#" if sign.isdigit() else sign for sign in what)
