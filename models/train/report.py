"""Keeps what was measured: rows as JSON, tables in RESULTS.md between markers, scores for the cards.

It measures nothing. Rows measured earlier on the same weights stay beside new ones.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from models import scores
from models.cards import CARDS
from models.train.evaluate import BICUBIC, Retouched, Row, Upscaled, scores_of
from models.train.patterns import CONTRASTS, SCALES, Patterned
from models.train.published import AIRNET, LUT3D_FIVEK_DELTA_E, LUT3D_FIVEK_PSNR, PSNR_Y
from models.train.restoration import Restored

TRAIN = Path(__file__).parent
SETTINGS = [(contrast, inside) for contrast in CONTRASTS for inside in (False, True)]  # a column each
OTHER_PICTURES = dict.fromkeys(("sots_indoor20", "sots_outdoor2"), " (pairs, not the published protocol)")


@dataclass(frozen=True)
class Places:
    """Where reports go."""

    results: Path = TRAIN / "results"
    tables: Path = TRAIN / "RESULTS.md"
    scores: Path = scores.FOLDER
    costs: Path = TRAIN / "costs.json"
    patterns: Path = TRAIN / "results" / "patterns"


@dataclass(frozen=True)
class Measurement:
    """Of which model, on which weights (None: nothing learnt), where and when something was measured."""

    model: str
    sha256: str | None
    device: str
    precision: str
    day: str

    @property
    def where(self) -> str:
        weights = [f"weights {self.sha256[:12]}"] if self.sha256 else []
        return ", ".join([self.device, self.precision, self.day, *weights])


@dataclass(frozen=True)
class Report(Measurement):
    """Scores on sets of pictures."""

    rows: tuple[Row, ...]

    @property
    def source(self) -> str:
        return f"python -m models.train evaluate {self.model} --data DIR; {self.where}"


@dataclass(frozen=True)
class PatternReport(Measurement):
    """What became of patterns at these scales, and by how many input pixels a spot moves at most."""

    scales: tuple[float, ...]
    rows: tuple[Patterned, ...]
    off_centre: float

    @property
    def source(self) -> str:
        chosen = "" if self.scales == SCALES else " --scales " + " ".join(f"{scale:g}" for scale in self.scales)
        return f"python -m models.train patterns {self.model}{chosen}; {self.where}"

    def worst(self, figure: str, pattern: str | None = None) -> list[float]:
        """The largest `figure` of the patterns, or of one, for each of `SETTINGS`."""
        rows = [row for row in self.rows if pattern in (None, row.pattern)]
        return [
            max(getattr(row, figure) for row in rows if (row.contrast, row.inside) == setting) for setting in SETTINGS
        ]


def describe_device(device: str) -> str:
    """The processor by name, and how many of its cores took part."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    threads = torch.get_num_threads()
    return f"{threads} core{'s' if threads > 1 else ''} {name}"


def make_report(model: str, sha256: str | None, rows: Sequence[Row], device: str, precision: str) -> Report:
    return Report(model, sha256, describe_device(device), precision, today(), tuple(rows))


def today() -> str:
    return date.today().isoformat()


def write(report: Report, places: Places | None = None) -> Report:
    """Into JSON, RESULTS.md and the cards' scores; the report with the earlier rows of the same weights.

    Scores are those of weights of ours: published ones, which a user brings, stand in JSON and tables alone.
    """
    places = places or Places()
    report = join(read(places.results / f"{report.model}.json"), report)
    places.results.mkdir(parents=True, exist_ok=True)
    (places.results / f"{report.model}.json").write_text(json.dumps(dataclasses.asdict(report), indent=1) + "\n")
    put_between(places.tables, f"scores {report.model}", table(report))
    if report.model in CARDS:
        measured = scores.Measured(report.source, scores_of(list(report.rows), report.model))
        scores.write(report.model, measured, places.scores)
    return report


def read(path: Path) -> Report | None:
    if not path.is_file():
        return None
    stored = json.loads(path.read_text())
    rows = tuple(map(read_row, stored.pop("rows")))
    return Report(**stored, rows=rows)


def read_row(row: dict[str, Any]) -> Row:
    if "damage" in row:
        return Restored(**row)
    return Retouched(**row) if "against" in row else Upscaled(**row)


def join(before: Report | None, now: Report) -> Report:
    """The new rows in place of the old; old ones of other weights or another precision are gone."""
    if before is None or (before.sha256, before.precision) != (now.sha256, now.precision):
        return now
    rows = {key_of(row): row for row in (*before.rows, *now.rows)}
    return dataclasses.replace(now, rows=tuple(rows.values()))


def key_of(row: Row) -> tuple[object, ...]:
    if isinstance(row, Upscaled):
        return row.model, row.set, row.scale, row.jpeg
    return row.model, row.set, row.damage if isinstance(row, Restored) else row.against


def table(report: Report) -> str:
    upscaled = [row for row in report.rows if isinstance(row, Upscaled)]
    retouched = [row for row in report.rows if isinstance(row, Retouched)]
    restored = [row for row in report.rows if isinstance(row, Restored)]
    text = upscaled_table(report.model, upscaled) if upscaled else retouched_table(retouched)
    return f"{restored_table(restored) if restored else text}\n\n`{report.source}`"


def upscaled_table(model: str, rows: list[Upscaled]) -> str:
    """One line for each set and scale: ours, then Pillow's bicubic, then the paper's."""
    bicubic = {(row.set, row.scale, row.jpeg): row for row in rows if row.model == BICUBIC}
    lines = [
        "| set | scale | Y, dB | bicubic | paper | Y SSIM | bicubic | RGB, dB | bicubic | detail, dB | bicubic | ms/MP "
        "| bicubic |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted((row for row in rows if row.model == model), key=lambda row: row.jpeg or 0):
        beside = bicubic[row.set, row.scale, row.jpeg]
        paper = None if row.jpeg else PSNR_Y.get(model, {}).get(row.set, {}).get(row.scale)

        cells = [
            row.set + (f", JPEG {row.jpeg}" if row.jpeg else ""),
            f"x{row.scale:g}",
            f"**{row.psnr_y:.2f}**",
            f"{beside.psnr_y:.2f}",
            f"{paper:.2f}" if paper else "",
            f"{row.ssim_y:.4f}",
            f"{beside.ssim_y:.4f}",
            f"{row.psnr_rgb:.2f}",
            f"{beside.psnr_rgb:.2f}",
            *(signed(one.detail_db) for one in (row, beside)),
            f"{row.ms_per_mp:.0f}",
            f"{beside.ms_per_mp:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def signed(decibels: float | None) -> str:
    return "" if decibels is None else f"{decibels:+.1f}"


def retouched_table(rows: list[Retouched]) -> str:
    lines = [
        "| set | against | what | RGB, dB | spread | lowest, highest | SSIM | dE 76 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        span = f"{row.psnr_min:.2f}, {row.psnr_max:.2f}"
        named = f"| {row.set}, {row.pictures} | {row.against} | {row.model} "
        lines.append(f"{named}| {row.psnr:.2f} | {row.psnr_spread:.2f} | {span} | {row.ssim:.3f} | {row.delta_e:.2f} |")
    paper = f"| {LUT3D_FIVEK_PSNR} | | | | {LUT3D_FIVEK_DELTA_E} |"
    return "\n".join([*lines, f"| FiveK 480p, 500 | target | the paper, other pictures {paper}"])


def restored_table(rows: list[Restored]) -> str:
    """One line for each set and damage: ours, the spoilt input's, the paper's where it measured the same pictures; of
    what came in sound the largest change of a value and of a channel's mean."""
    lines = [
        "| set | damage | RGB, dB | input | paper | Y, dB | SSIM | input | paper | largest change | mean moved "
        "| ms/MP |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        paper = AIRNET.get((row.set, row.damage))
        sound = row.psnr_input is None

        cells = [
            f"{row.set}, {row.pictures}",
            row.damage + OTHER_PICTURES.get(row.set, ""),
            f"**{row.psnr:.2f}**",
            two_places(row.psnr_input),
            f"{paper[0]:.2f}" if paper else "",
            two_places(row.psnr_y),
            f"{row.ssim:.4f}",
            f"{row.ssim_input:.4f}",
            f"{paper[1]:.3f}" if paper else "",
            two_places(row.largest) if sound else "",
            two_places(row.mean_moved) if sound else "",
            f"{row.ms_per_mp:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def two_places(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def write_patterns(report: PatternReport, places: Places | None = None) -> None:
    """Into JSON and RESULTS.md: the table of this model, and the one of all that were measured."""
    places = places or Places()
    places.patterns.mkdir(parents=True, exist_ok=True)
    (places.patterns / f"{report.model}.json").write_text(json.dumps(dataclasses.asdict(report), indent=1) + "\n")
    kept = [read_patterns(path) for path in sorted(places.patterns.glob("*.json"))]
    put_between(places.tables, "patterns", patterns_summary(kept))
    put_between(places.tables, f"patterns {report.model}", patterns_table(report))


def read_patterns(path: Path) -> PatternReport:
    stored = json.loads(path.read_text())
    rows, scales = (Patterned(**row) for row in stored.pop("rows")), stored.pop("scales")
    return PatternReport(**stored, scales=tuple(scales), rows=tuple(rows))


def patterns_summary(reports: Sequence[PatternReport]) -> str:
    """One line for each model: the worst of all patterns at all scales."""
    lines = patterns_heading("model", "spots, px | weights, device and date")
    for report in sorted(reports, key=lambda report: max(report.worst("tint") + report.worst("moved"))):
        figures = [report.model, *patterns_cells(report), f"{report.off_centre:.3f}", report.where]
        lines.append(f"| {' | '.join(figures)} |")
    return "\n".join(lines)


def patterns_table(report: PatternReport) -> str:
    """One line for each pattern: the worst of all scales."""
    lines = patterns_heading("pattern", "one place")
    for pattern in dict.fromkeys(row.pattern for row in report.rows):
        local = max(report.worst("local", pattern))
        lines.append(f"| {' | '.join([pattern, *patterns_cells(report, pattern), f'{local:.1f}'])} |")
    return "\n".join([*lines, "", f"`{report.source}`"])


def patterns_heading(first: str, last: str) -> list[str]:
    places = [f"{contrast}, {'inside' if inside else 'alone'}" for contrast, inside in SETTINGS]
    heading = f"| {' | '.join([first, *(f'tint {p}' for p in places), *(f'mean {p}' for p in places), last])} |"
    return [heading, "|---" * (heading.count("|") - 1) + "|"]


def patterns_cells(report: PatternReport, pattern: str | None = None) -> list[str]:
    return [f"{value:.1f}" for figure in ("tint", "moved") for value in report.worst(figure, pattern)]


def put_between(path: Path, name: str, text: str) -> None:
    """Replaces what stands between the markers of `name`; appends them to a file that has none."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before = path.read_text() if path.is_file() else ""
    if first not in before:
        before = f"{before.rstrip()}\n\n{first}\n{last}\n".lstrip()
    head, _, rest = before.partition(first)
    path.write_text(f"{head}{first}\n{text}\n{last}{rest.partition(last)[2]}")
