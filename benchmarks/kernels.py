"""The kernels beside what one would pick instead, in one run: look-up at 3840x2160, table super-resolution, the
deformable convolution of networks, the render perceptron of LM-LIIF, served and trained, the NAF block of AirNet's U,
and resampling.

    python -m benchmarks.kernels [--rounds 9] [--photo FILE] [--only steep] [--json FILE] [--write-docs]
    python -m benchmarks.kernels --device cuda

Contenders take turns (`benchmarks.rounds`); printed are the median over the rounds, its quartiles, how many times
faster than each yardstick (the median of the rounds' ratios; with two threads against the yardstick's two, if it has
them), the largest error against a look-up in float64 and the share of values unlike the float32 reference's. The goals
close the list. `--write-docs` puts the same into docs/kernels.md and docs/kernels.svg.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from workers import devices

devices.share_cores_politely()  # before torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks import deformable, learning, machine, naf, peak, peers, pictures, plot, rendering, report, resampling  # noqa: E402
from benchmarks.report import Goal, Row  # noqa: E402
from benchmarks.rounds import Contender, Timing, measure, set_threads  # noqa: E402
from kernels import cpu, ops  # noqa: E402
from kernels.reference import eclut as eclut_reference  # noqa: E402
from kernels.reference import lut3d as reference  # noqa: E402

Array = NDArray[Any]

NODES = 33
FRAME = (2160, 3840)
SMALL = (180, 320)
SCALES = (2, 3, 4)
THREADS = (1, 2)
PACKAGES = ("torch", "numpy", "pillow", "opencv-python-headless", "opencolorio")

PHOTO, RANDOM, STEEP = "look-up, photo", "look-up, random pixels", "look-up, photo, steep table"
SERVED = "lutra, as served"
LOOK_UP_YARDSTICKS = {
    "Pillow": "Pillow Color3DLUT",
    "ffmpeg": "ffmpeg lut3d trilinear",
    "OpenColorIO": "OpenColorIO tetrahedral",
}
UPSCALE_YARDSTICKS = {"Pillow": "Pillow bicubic", "OpenCV": "OpenCV bicubic"}

DOCS = Path(__file__).parent.parent / "docs"


@dataclass(frozen=True)
class Case:
    """What is measured in one set of rounds, and what its pictures are held against."""

    title: str
    contenders: list[Contender]
    yardsticks: dict[str, str]  # a short name: the contender's
    references: dict[str, Array]  # what our reference gives, by the name of the contender held against it
    exact: Array | None = None  # float64 code values before rounding, for those that are trilinear


# ---- Cases -------------------------------------------------------------------------------------------------------


def cases(asked: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Made one at a time, so that one case's pictures are in memory."""
    chosen: dict[str, Callable[[], Case]] = {
        PHOTO: lambda: look_up(PHOTO, scene(asked.photo, FRAME), pictures.tame_lut(NODES), folder),
        RANDOM: lambda: look_up(RANDOM, pictures.random_pixels(*FRAME), pictures.tame_lut(NODES), folder),
        STEEP: lambda: steep(scene(asked.photo, FRAME)),
        **{upscaling(scale): partial(upscale, scene(asked.photo, SMALL), scale) for scale in SCALES},
        **{title: partial(deforming, title, *how) for title, how in deformable.titles().items()},
        **{title: partial(render, title, *how) for title, how in rendering.titles().items()},
        **{title: partial(learn, title, scale) for title, scale in learning.titles().items()},
        **{title: partial(block, title, channels, dtype) for title, (channels, dtype) in naf.titles().items()},
        **{title: partial(resample, title, scale) for title, scale in resampling.titles().items()},
        **{title: partial(look, title, *size) for title, size in resampling.LOOKS.items()},
    }
    yield from (make() for title, make in chosen.items() if asked.only in title)


def scene(photo: Path | None, size: tuple[int, int]) -> Array:
    return pictures.opened(photo, *size) if photo else pictures.photo(*size)


def look_up(title: str, pixels: Array, lut: Tensor, folder: Path) -> Case:
    contenders = [*our_look_ups(pixels, lut), *grid_samples(pixels, lut), *peers.look_up_peers(pixels, lut, folder)]
    return judged(title, contenders, pixels, lut)


def steep(pixels: Array) -> Case:
    """A table that 16-bit integers cannot serve: what is exact, beside Pillow."""
    lut = pictures.steep_lut(NODES)
    served = [look_up_as_served(pixels, lut, threads) for threads in THREADS]
    return judged(STEEP, [*served, peers.pillow_look_up(pixels, lut)], pixels, lut)


def judged(title: str, contenders: list[Contender], pixels: Array, lut: Tensor) -> Case:
    expected = reference.lut3d_apply(torch.from_numpy(pixels), lut).numpy()
    references = {contender.name: expected for contender in contenders if contender.is_trilinear}
    return Case(title, contenders, LOOK_UP_YARDSTICKS, references, pictures.exact_look_up(pixels, lut))


def our_look_ups(pixels: Array, lut: Tensor) -> list[Contender]:
    """Each path that this processor runs, and the op that the service calls; all lay out the table in each call."""
    paths = [*cpu.paths(), "exact"] if cpu.paths() else []
    alone = [look_up_by_path(pixels, lut, path, threads) for path in paths for threads in THREADS]
    return [*alone, *(look_up_as_served(pixels, lut, threads) for threads in THREADS)]


def look_up_by_path(pixels: Array, lut: Tensor, path: str, threads: int) -> Contender:
    work = partial(cpu.lut3d_apply, torch.from_numpy(pixels), lut, threads=threads, path=path)
    return Contender(f"lutra, {path}", work, threads, role="ours", is_trilinear=True)


def look_up_as_served(pixels: Array, lut: Tensor, threads: int) -> Contender:
    work = partial(ops.lut3d_apply, torch.from_numpy(pixels), lut)
    return Contender(SERVED, work, threads, role="ours", is_trilinear=True)


def grid_samples(pixels: Array, lut: Tensor) -> list[Contender]:
    """Our reference, which is torch's grid_sample in bands, conversions included."""
    work = partial(reference.lut3d_apply, torch.from_numpy(pixels), lut)
    return [Contender("torch grid_sample", work, threads, is_trilinear=True) for threads in THREADS]


def upscaling(scale: int) -> str:
    return f"table super-resolution x{scale}, {SMALL[1]}x{SMALL[0]}"


def upscale(pixels: Array, scale: int) -> Case:
    """Both steps beside the resampling that one would pick instead."""
    table = pictures.upscale_table(scale)
    tables = {"lr": table, "hr": eclut_reference.collapse(table, scale)}
    ours: list[Contender] = []
    references: dict[str, Array] = {}
    for step, own in tables.items():
        picture = torch.from_numpy(pixels)
        contenders = our_upscales(picture, own, scale, step)
        expected = eclut_reference.eclut(picture, own, scale, step).numpy()
        references |= {contender.name: expected for contender in contenders}
        ours += contenders
    return Case(upscaling(scale), [*ours, *peers.upscale_peers(pixels, scale)], UPSCALE_YARDSTICKS, references)


def our_upscales(picture: Tensor, table: Tensor, scale: int, step: str) -> list[Contender]:
    """Each path that this processor runs, with one thread, and the op that the service calls."""
    by_path = {path: partial(cpu.eclut, picture, table, scale, step, threads=1, path=path) for path in cpu.paths()}
    served = partial(ops.eclut, picture, table, scale, step)
    return [
        *(Contender(upscaler(step, path), work, role="ours") for path, work in by_path.items()),
        *(Contender(upscaler(step), served, threads, role="ours") for threads in THREADS),
    ]


def upscaler(step: str, path: str = "as served") -> str:
    return f"lutra EC-LUT {step}, {path}"


def deforming(title: str, dtype: str, with_gradients: bool) -> Case:
    return Case(title, deformable.contenders(dtype, with_gradients, THREADS), deformable.YARDSTICKS, {})


def render(title: str, scale: float, dtype: torch.dtype) -> Case:
    return Case(title, rendering.contenders(scale, dtype, THREADS), rendering.YARDSTICKS, {})


def learn(title: str, scale: float) -> Case:
    return Case(title, learning.contenders(scale, THREADS), learning.YARDSTICKS, {})


def block(title: str, channels: int, dtype: torch.dtype) -> Case:
    return Case(title, naf.contenders(channels, dtype, THREADS), naf.YARDSTICKS, {})


def resample(title: str, scale: float) -> Case:
    return Case(title, resampling.contenders(scale, THREADS), resampling.YARDSTICKS, {})


def look(title: str, height: int, width: int) -> Case:
    return Case(title, resampling.looks(height, width, THREADS), resampling.LOOK_YARDSTICKS, {})


# ---- Rows and goals ----------------------------------------------------------------------------------------------


def rows_of(case: Case, rounds: int) -> list[Row]:
    faults = [fault(case, contender) for contender in case.contenders]
    timings = measure(case.contenders, rounds)
    return [
        row(case, contender, timing, ratios(case, timings, contender, timing), *found)
        for contender, timing, found in zip(case.contenders, timings, faults, strict=True)
    ]


def row(
    case: Case,
    contender: Contender,
    timing: Timing,
    faster: dict[str, float],
    error: float | None,
    differs: float | None,
) -> Row:
    low, middle, high = timing.quartiles()
    return Row(case.title, contender.name, contender.threads, contender.role, middle, low, high, faster, error, differs)


def fault(case: Case, contender: Contender) -> tuple[float | None, float | None]:
    """The largest error against the exact picture and the share of values unlike the reference's."""
    expected = case.references.get(contender.name)
    if expected is None:
        return None, None
    set_threads(contender.threads)
    made = np.asarray(contender.work())
    error = None if case.exact is None else float(np.abs(made - case.exact).max())
    return error, float(np.mean(made != expected))


def ratios(case: Case, timings: Sequence[Timing], contender: Contender, timing: Timing) -> dict[str, float]:
    """How many times faster than each yardstick: the one with as many threads, else the one with one."""
    found: dict[str, float] = {}
    for short, name in case.yardsticks.items():
        by_threads = {c.threads: t for c, t in zip(case.contenders, timings, strict=True) if c.name == name}
        yardstick = by_threads.get(contender.threads, by_threads.get(1))
        if yardstick is not None:
            found[short] = timing.times_faster_than(yardstick)
    return found


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What the project set itself, with what this run found."""

    def times(case: str, name: str, threads: int, yardstick: str) -> float | None:
        found = [r.faster.get(yardstick) for r in rows if (r.case, r.name, r.threads) == (case, name, threads)]
        return found[0] if found else None

    def percent(case: str, name: str, yardstick: str) -> float | None:
        share = times(case, name, 1, yardstick)
        return None if share is None else 100 * share

    def worst(case: str) -> float | None:
        return max((r.error for r in rows if r.case == case and r.role == "ours" and r.error is not None), default=None)

    eclut = times(upscaling(4), upscaler("lr"), 1, "Pillow")
    listed = []
    for path, *wanted in (("avx2", 10, 9, 4), ("avx512", 12, 11, 5)):
        for yardstick, least in zip(LOOK_UP_YARDSTICKS, wanted, strict=True):
            what = f"look-up, photo, one thread, {path}: times {LOOK_UP_YARDSTICKS[yardstick]}"
            listed.append(Goal(what, times(PHOTO, f"lutra, {path}", 1, yardstick), least))
    return [
        *listed,
        Goal("look-up, photo, two threads, as served: times Pillow", times(PHOTO, SERVED, 2, "Pillow"), 20),
        Goal("look-up, random pixels, one thread, as served: times Pillow", times(RANDOM, SERVED, 1, "Pillow"), 6),
        Goal("table super-resolution x4, one thread, step lr: times Pillow bicubic", eclut, 1.5),
        Goal("the same, aim", eclut, 2),
        *(
            Goal(f"{title}, one thread: times grid_sample", times(title, deformable.OURS, 1, "grid_sample"), 5)
            for title in deformable.titles()
        ),
        *(
            Goal(
                f"{title}, one thread, {path}: per cent of the peak",
                percent(title, f"lutra, {path}", rendering.SHARES[path]),
                40,
            )
            for title in rendering.titles()
            for path in ("avx2", "avx512")
        ),
        *(
            Goal(f"{title}, one thread: times Pillow", times(title, resampling.OURS, 1, "Pillow"), 3)
            for title in resampling.titles()
        ),
        Goal("largest error, tame table", worst(PHOTO), 0.51, is_ceiling=True),
        Goal("largest error, tame table, random pixels", worst(RANDOM), 0.51, is_ceiling=True),
        Goal("largest error, steep table", worst(STEEP), 1, is_ceiling=True),
    ]


# ---- Pages -------------------------------------------------------------------------------------------------------


def panels(rows: Sequence[Row]) -> list[plot.Panel]:
    """What the plot shows of the rows."""
    shown = (
        (PHOTO, 1, "Look-up, 33 nodes, 3840x2160 photo, one thread"),
        (PHOTO, 2, "The same, two threads"),
        (RANDOM, 1, "Look-up of random pixels, one thread"),
        (upscaling(4), 1, "Table super-resolution x4, 320x180 in RGB, one thread"),
        ("deformable convolution, float32", 1, "Deformable convolution, 480x320, 64 channels, one thread"),
        ("deformable convolution, bfloat16", 1, "The same in bfloat16"),
        ("render perceptron x2", 1, "Render perceptron x2 of 96x64 pixels, one thread"),
        ("resampling x4 to x2", 1, "Resampling of x4 to a megapixel of x2, three planes, one thread"),
    )
    made = []
    for case, threads, title in shown:
        bars = [plot.Bar(r.name, r.ms, r.role) for r in rows if (r.case, r.threads) == (case, threads)]
        if bars:
            made.append(plot.Panel(title, bars))
    return made


def write_docs(rows: Sequence[Row], device: str, folder: Path = DOCS) -> None:
    page = folder / "kernels.md"
    titles = list(dict.fromkeys(row.case for row in rows))
    tables = [
        f"### {title[0].upper()}{title[1:]}\n\n{report.as_markdown(report.table(of_case(rows, title)))}"
        for title in titles
    ]
    block = [
        f"{device}.",
        "![Milliseconds of each contender, on a logarithmic axis](kernels.svg)",
        *tables,
        f"### Goals\n\n{report.as_markdown(report.goal_table(goals(rows)))}",
    ]
    page.write_text(report.replace_block(page.read_text(), "\n\n".join(block)))
    (folder / "kernels.svg").write_text(plot.svg(panels(rows)))


def of_case(rows: Sequence[Row], title: str) -> list[Row]:
    return [row for row in rows if row.case == title]


# ---- Command -----------------------------------------------------------------------------------------------------


def run_on_cpu(asked: argparse.Namespace) -> None:
    ffmpeg = peers.ffmpeg_version()
    device = ", ".join(filter(None, [machine.line(*PACKAGES), ffmpeg]))
    print(device)
    print(f"{asked.rounds} rounds, interleaved; photo: {asked.photo or 'drawn from a seed'}")
    for absent in filter(None, [*peers.missing(), cpu.why_missing(), peak.why_missing()]):
        print(f"missing: {absent}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(asked, Path(folder)):
            rows += (found := rows_of(case, asked.rounds))
            print(f"\n{case.title}\n{report.as_text(report.table(found))}", flush=True)
    print(f"\n{report.as_text(report.goal_table(goals(rows)))}")
    if asked.json:
        asked.json.write_text("".join(f"{report.as_json(row, device)}\n" for row in rows))
    if asked.write_docs:
        write_docs(rows, device)


def run_on_cuda(asked: argparse.Namespace) -> None:
    kept = ["--json", str(asked.json)] if asked.json else []
    sys.argv = [sys.argv[0], "--rounds", str(asked.rounds), *kept]
    runpy.run_module("benchmarks.gpu", run_name="__main__")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--photo", type=Path, help="a photo of your own in place of the drawn one")
    parser.add_argument("--only", default="", help="cases whose title contains this")
    parser.add_argument("--json", type=Path, help="write one line of JSON for each row here")
    parser.add_argument("--write-docs", action="store_true", help="write docs/kernels.md and docs/kernels.svg")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    if asked.write_docs and (asked.only or asked.device == "cuda"):
        parser.error("--write-docs writes the whole page: it needs every case, on the CPU")
    run_on_cuda(asked) if asked.device == "cuda" else run_on_cpu(asked)


if __name__ == "__main__":
    main()
