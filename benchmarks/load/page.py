"""What a run found, as tables for the screen and for docs/load.md, and as plots. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.load import plot
from benchmarks.load.kinds import described
from benchmarks.load.knee import Knee
from benchmarks.load.memory import MB, Point, growth_mb_per_min, last_part
from benchmarks.load.plot import Line, Panel
from benchmarks.load.summary import Summary
from benchmarks.report import Goal

if TYPE_CHECKING:  # they need the service's own packages, which users elsewhere do not have
    from benchmarks.load.here import Faulted
    from benchmarks.load.peers import Compared

DOCS = Path(__file__).parents[2] / "docs"
SHARE_OF_KNEE = 0.8
LAST_S = 180.0  # of the steady minutes, in which memory may grow no more
MOST_MB_PER_MIN = 1.0
Table = list[list[str]]


@dataclass(frozen=True)
class Steady:
    """A load held for long, and what was seen of memory meanwhile."""

    mix: str
    summary: Summary
    series: dict[str, list[Point]]

    def growth(self) -> dict[str, float]:
        """MB a minute of each process over the last minutes: three fifths of the time, LAST_S at most."""
        last = last_part(self.series, min(LAST_S, 0.6 * self.summary.seconds))
        return {name: growth_mb_per_min(points) for name, points in last.items()}


@dataclass
class Found:
    """`same_bytes`: whether the peers answered with the same picture. `versions`: theirs."""

    device: str
    command: str
    knees: dict[str, Knee] = field(default_factory=dict)
    steady: Steady | None = None
    faulted: Faulted | None = None
    compared: Sequence[Compared] = ()
    same_bytes: bool = False
    versions: str = ""


def figures(summary: Summary) -> list[str]:
    rates = f"{summary.jobs_per_s:.1f}", f"{summary.megapixels_per_s:.2f}"
    waits = (f"{ms:.0f}" for ms in (summary.p50_ms, summary.p95_ms, summary.p99_ms))
    return [*rates, *waits, str(summary.failed), str(summary.refused)]


FIGURES = ["jobs/s", "megapixels/s", "p50 ms", "p95 ms", "p99 ms", "errors", "refused"]


def knee_table(knee: Knee) -> Table:
    steps = sorted(knee.steps, key=lambda step: step.summary.users)
    lines = [[str(step.summary.users), *figures(step.summary), step.broken or "holds"] for step in steps]
    return [["users", *FIGURES, "objectives"], *lines]


def steady_table(steady: Steady) -> Table:
    return [["users", *FIGURES], [str(steady.summary.users), *figures(steady.summary)]]


def memory_table(steady: Steady) -> Table:
    """Processes that were there from the first look of the last minutes to the last."""
    growth = steady.growth()
    lines = []
    for name, slope in sorted(growth.items()):
        sizes = [size / MB for _, size in steady.series[name]]
        lines.append([name, f"{sizes[0]:.0f}", f"{sizes[-1]:.0f}", f"{max(sizes):.0f}", f"{slope:+.2f}"])
    return [["process", "first MB", "last MB", "most MB", "MB a minute at last"], *lines]


def fault_table(faulted: Faulted) -> Table:
    lines = [[one.fault, "never" if one.seconds is None else f"{one.seconds:.1f}"] for one in faulted.recoveries]
    return [["fault", "s until a picture asked for after it"], *lines]


def account_table(faulted: Faulted) -> Table:
    told = faulted.account
    head = ["jobs taken in", "succeeded", "lost", "doubled", "computed again", "never taken in", "longest s"]
    counts = told.accepted, told.succeeded, told.lost, told.doubled, told.again, told.unanswered
    return [head, [*map(str, counts), f"{faulted.longest_s:.1f}"]]


def peer_table(compared: Sequence[Compared]) -> Table:
    head = ["", "jobs/s", "p95 ms", "CPU ms a job", "of it its own", "errors", "ours: times jobs/s", "ours: times CPU"]
    lines = [
        [
            *(one.name, f"{one.jobs_per_s:.1f}", f"{one.p95_ms:.0f}", f"{one.cpu_ms:.1f}", f"{one.own_ms:.1f}"),
            *(str(one.failed), f"{one.jobs_ratio:.2f}", f"{one.cpu_ratio:.2f}"),
        ]
        for one in compared
    ]
    return [head, *lines]


def goals(found: Found) -> list[Goal]:
    goals = []
    peers = {one.name: one for one in found.compared}
    for name in [name for name in peers if name != "Lutra"]:
        goals.append(Goal(f"jobs/s of /enhance, times {name}'s", peers[name].jobs_ratio, 1))
    if "Lutra" in peers:
        goals.append(Goal("own processor time of a job, ms", peers["Lutra"].own_ms, 2, is_ceiling=True))
    if found.steady:
        goals.append(Goal("errors in the steady minutes", found.steady.summary.failed, 0, is_ceiling=True))
        growth = max(found.steady.growth().values(), default=None)
        if found.steady.series:
            goals.append(Goal("memory of a process, MB a minute at last", growth, MOST_MB_PER_MIN, is_ceiling=True))
    if found.faulted:
        goals.append(Goal("jobs lost to faults", found.faulted.account.lost, 0, is_ceiling=True))
        goals.append(Goal("jobs doubled by faults", found.faulted.account.doubled, 0, is_ceiling=True))
    return goals


def panels(found: Found) -> list[Panel]:
    steps = {
        mix: sorted((step.summary for step in knee.steps), key=lambda one: one.users)
        for mix, knee in found.knees.items()
    }
    drawn = [
        Panel(
            title,
            "users",
            unit,
            [Line(mix, [(one.users, getattr(one, name)) for one in of]) for mix, of in steps.items()],
        )
        for title, unit, name in (
            ("Throughput over users", "jobs/s", "jobs_per_s"),
            ("Waiting over users", "p95, ms", "p95_ms"),
        )
        if steps
    ]
    if found.steady and found.steady.series:
        start_s = min(points[0][0] for points in found.steady.series.values())
        lines = [
            Line(name, [((at - start_s) / 60, size / MB) for at, size in points])
            for name, points in found.steady.series.items()
        ]
        drawn.append(Panel(f"Resident memory at {SHARE_OF_KNEE:.0%} of the knee", "minutes", "MB", lines))
    return drawn


def sections(found: Found) -> list[tuple[str, str, list[Table]]]:
    """(title, words, tables)."""
    parts: list[tuple[str, str, list[Table]]] = []
    for mix, knee in found.knees.items():
        at = f"{knee.held.users} users, {knee.held.jobs_per_s:.1f} jobs/s" if knee.held else "below the first step"
        words = f"{described(mix)}. The knee: {at}" + (f"; beyond it {knee.why}." if knee.why else "; nothing broke.")
        parts.append((f"Knee of the mix {mix}", words, [knee_table(knee)]))
    if found.steady:
        words = f"{found.steady.summary.seconds:.0f} s of the mix {found.steady.mix}."
        tables = [steady_table(found.steady), *([memory_table(found.steady)] if found.steady.series else [])]
        parts.append((f"At {SHARE_OF_KNEE:.0%} of the knee", words, tables))
    if found.faulted:
        load = found.faulted.summary
        words = f"{load.users} users, each job with an Idempotency-Key, for {load.seconds:.0f} s."
        parts.append(("Faults", words, [fault_table(found.faulted), account_table(found.faulted)]))
    if found.compared:
        same = "the same bytes" if found.same_bytes else "unlike bytes"
        parts.append(("Beside its peers", f"{found.versions}; all answer with {same}.", [peer_table(found.compared)]))
    if wanted := goals(found):
        parts.append(("Goals", "", [report.goal_table(wanted)]))
    return parts


def as_text(found: Found) -> str:
    blocks = []
    for title, words, tables in sections(found):
        blocks.append("\n".join(filter(None, [title, words, *map(report.as_text, tables)])))
    return "\n\n".join(blocks)


def write_docs(found: Found, folder: Path = DOCS) -> None:
    """Puts what was found between the markers of load.md, and draws load.svg. Raises ValueError without markers."""
    block = [f"{found.device}; `{found.command}`.", "![Throughput, waiting and memory](load.svg)"]
    for title, words, tables in sections(found):
        block += [f"### {title}", *([words] if words else []), *map(report.as_markdown, tables)]
    page = folder / "load.md"
    page.write_text(report.replace_block(page.read_text(), "\n\n".join(block)))
    (folder / "load.svg").write_text(plot.svg(panels(found)))
