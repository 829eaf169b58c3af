"""Every picture of a command, one after the other, whatever computes them: this process or a service.

A file that fails is named and the others go on. What is there already is passed over where that is asked for, and
nothing is ever there by half, so an interrupted run goes on where it stood.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.atomic import sweep, write_whole
from service.file_tasks import NAMED, STANDARD, SUFFIX, FileTask, Wanted, check, plan_tasks
from service.folders import FolderEntry, find_pictures, shown
from service.reports import Better, Report
from workers.errors import LutraError, ParameterError
from workers.pictures import imageio


@dataclass(frozen=True)
class Asked:
    """A picture's bytes and the format that its result is to have; `is_auto`: no name of a file asks for another than
    it came in.
    """

    data: bytes
    format: str
    is_auto: bool


Compute = Callable[[Asked, Callable[[int, int], None]], Better]


@dataclass(frozen=True)
class Manner:
    """How a run goes over its files."""

    recursive: bool = False
    skip_existing: bool = False
    as_json: bool = False
    quiet: bool = False


def run_on_tasks(wanted: Wanted, manner: Manner, compute: Callable[[], Compute]) -> int:
    """Exit status. `compute` is made when all is well so far. Raises LutraError for what is wrong with all of them."""
    check(wanted)
    to_stdout = wanted.output == STANDARD or (wanted.output is None and wanted.inputs == (STANDARD,))
    if to_stdout and manner.as_json:
        raise ParameterError("standard output is the picture; --json goes with files")
    if to_stdout and sys.stdout.isatty():
        raise ParameterError("a picture does not go to a terminal; name a file with -o, or lead it on with | or >")
    report = Report(as_json=manner.as_json, quiet=manner.quiet, to_stdout=to_stdout)
    carry_out = compute()
    tasks, results = plan_tasks(_pictures(wanted, manner, report), wanted)
    for entry in results:
        report.left_out(FolderEntry(entry.path, left_out="a result of this command"))
    for folder in {task.target.parent for task in tasks if task.target is not None}:
        sweep(folder)
    report.begin(len(tasks))
    try:
        for task in tasks:
            _run_one(task, manner, carry_out, report)
    except KeyboardInterrupt:
        report.end(interrupted=True)
        raise
    report.end()
    return report.status


def _pictures(wanted: Wanted, manner: Manner, report: Report) -> list[FolderEntry]:
    """What is named and found; the rest is told."""
    inputs = [Path(one) for one in wanted.inputs if one != STANDARD]
    apart = None if wanted.output in (None, STANDARD) else Path(wanted.output or "")
    entries = list(find_pictures(inputs, recursive=manner.recursive, apart=apart))
    for entry in entries:
        if entry.left_out:
            report.left_out(entry)
    return [entry for entry in entries if not entry.left_out]


def _run_one(task: FileTask, manner: Manner, compute: Compute, report: Report) -> None:
    report.start(task)
    if manner.skip_existing and task.target is not None and task.target.exists():
        report.skipped(task)
        return
    try:
        target, better = _make(task, compute, report)
    except LutraError as error:
        report.failure(task, error.message, is_misuse=isinstance(error, ParameterError))
    except BrokenPipeError:
        raise
    except OSError as error:
        report.failure(task, error.strerror or str(error), shown(error.filename) if error.filename else None)
    else:
        report.done(task, target, better)


def _make(task: FileTask, compute: Compute, report: Report) -> tuple[Path | None, Better]:
    """The path that was written, None for standard output."""
    data = sys.stdin.buffer.read() if task.source is None else task.source.read_bytes()
    came_in = imageio.sniff(data)
    chosen = imageio.output_format(came_in) if task.format == "auto" else task.format
    better = compute(Asked(data, chosen, task.format == "auto" or chosen == came_in), report.tick)
    if task.target is None:
        sys.stdout.buffer.write(better.data)
        sys.stdout.buffer.flush()
        return None, better
    target = task.target
    if NAMED.get(target.suffix.lower()) != better.format:
        target = target.with_suffix(SUFFIX[better.format])
    if task.source is not None and target.exists() and target.samefile(task.source):
        raise LutraError("the output would overwrite the picture itself; name another place")
    write_whole(target, better.data)
    return target, better
