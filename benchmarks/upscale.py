"""/upscale beside the networks one would run instead: SPAN of 48 channels and IMDN, in plain torch, channels last.

    python -m benchmarks.upscale [--rounds 5] [--threads 2] [--precisions bf16 fp32] [--scales 2 3.7 4]
                                 [--sizes 256x384 1000x1000] [--weights DIR] [--json FILE]
    python -m benchmarks.upscale --large     # a JPEG of a megapixel through the service, a photo of twelve, both x2

Everyone works in a process of its own, with its own memory, and takes turns: our service (a gateway and a worker, BMP
in, JPEG out; HTTP_S of its time is allowed on top), our engine, and the networks from 8-bit pixels to 8-bit pixels.
Printed are medians over the rounds, quartiles, seconds for a megapixel of output, and the median of the rounds' ratios
to SPAN; the ratio of processor seconds besides, which holds where other work is on the cores. `--weights`: a folder
with the published SPAN, converted, as `span.safetensors`; without, its weights are drawn, which take as long. Each
request changes a pixel, for the service knows a picture that it has seen.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks import machine, pictures, report
from benchmarks.peak_memory import PeakMemory, resident
from benchmarks.service import running_service
from workers import devices

MODEL = "lmliif"
HTTP_S = 0.030  # that a request may cost beside the computation
MOST = {2.0: 1.6, 4.0: 2.0}  # times SPAN's seconds
MOST_BETWEEN = 1.25  # times our own x4, for a megapixel
BETWEEN = 3.7
SERVICE, ENGINE, SPAN, IMDN = "lutra, service", "lutra, engine", "SPAN-48", "IMDN"


@dataclass(frozen=True)
class Case:
    """A picture of (height, width) to be enlarged, and how."""

    height: int
    width: int
    scale: float
    precision: str
    threads: int
    weights: Path | None = None

    @property
    def wanted(self) -> tuple[int, int]:
        return int(self.height * self.scale + 0.5), int(self.width * self.scale + 0.5)

    @property
    def megapixels(self) -> float:
        return self.wanted[0] * self.wanted[1] / 1e6

    @property
    def title(self) -> str:
        return f"{self.width}x{self.height} x{self.scale:g}, {self.precision}, {self.threads} threads"


@dataclass(frozen=True)
class Spent:
    """What a call took: seconds, those of all threads on processors, bytes beside those held before. None: unknown."""

    seconds: float
    cpu_s: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Timing:
    """What the calls of one contender took, one a round.

    `peak_bytes`: the most of any call, also of the one that does not count: our engine keeps memory from then on.
    """

    case: Case
    name: str
    spent: tuple[Spent, ...]
    peak_bytes: int = 0

    @property
    def cpu_s(self) -> float | None:
        known = [one.cpu_s for one in self.spent if one.cpu_s is not None]
        return statistics.median(known) if known else None

    def times(self, other: Timing, allowed_s: float = 0.0) -> float:
        """The median of the rounds' ratios, after what is allowed has been taken off."""
        pairs = zip(self.spent, other.spent, strict=True)
        return statistics.median((ours.seconds - allowed_s) / theirs.seconds for ours, theirs in pairs)


# ---- What runs in the process of a contender ------------------------------------------------------------------------


@cache
def photo(height: int, width: int) -> np.ndarray:
    return pictures.photo(height, width)


@cache
def engine_call(case: Case) -> Callable[[], object]:
    from workers.engine.engine import Engine
    from workers.pictures.picture import Picture

    engine = Engine(device="cpu", precision=case.precision, threads=case.threads)
    source = Picture(photo(case.height, case.width), None, None, None, "png", False)
    height, width = case.wanted
    return partial(engine.upscale, source, model=MODEL, height=height, width=width, tick=quiet)


@cache
def network_call(name: str, case: Case) -> Callable[[], object]:
    """The whole picture at once, from 8-bit pixels to 8-bit pixels."""
    import torch

    from benchmarks.imdn import Imdn
    from models import catalog
    from models.layout import channels_last
    from models.span import SpanScale

    torch.set_num_threads(case.threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[case.precision]
    network: torch.nn.Module
    if name == IMDN:
        network = Imdn(int(case.scale))
    elif case.weights:
        network = catalog.load("span", weights_dir=case.weights).of[f"x{case.scale:g}"]
    else:
        network = SpanScale(48, int(case.scale))
    channels_last(network.to(dtype)).eval()
    pixels, work = photo(case.height, case.width), network.enlarge if isinstance(network, SpanScale) else network

    def call() -> object:
        with torch.inference_mode():
            lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            sr = work(lr if isinstance(network, SpanScale) else lr.to(dtype, memory_format=torch.channels_last))
            return sr[0].float().clamp_(0, 1).mul_(255).round_().byte().permute(1, 2, 0).contiguous().numpy()

    return call


def spend(name: str, case: Case) -> Spent:
    """One call."""
    work = engine_call(case) if name == ENGINE else network_call(name, case)
    with PeakMemory() as memory:
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    return Spent(seconds, cpu_s, memory.bytes)


def quiet(done: int, total: int) -> None:
    """Nobody follows the progress."""


# ---- Turns ----------------------------------------------------------------------------------------------------------


Turn = Callable[[Case], Spent]


@contextmanager
def contenders(precision: str, threads: int) -> Iterator[dict[str, Turn]]:
    """Everyone ready, each in a process of its own."""
    with ExitStack() as stack:
        settings = {"LUTRA_PRECISION": precision, "LUTRA_MODELS": MODEL, "OMP_NUM_THREADS": str(threads)}
        client = stack.enter_context(running_service(settings))
        turns: dict[str, Turn] = {SERVICE: partial(service_turn, client)}
        for name in (ENGINE, SPAN, IMDN):
            pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            turns[name] = partial(process_turn, pool, name)
        yield turns


def process_turn(pool: ProcessPoolExecutor, name: str, case: Case) -> Spent:
    return pool.submit(spend, name, case).result()


def service_turn(client: httpx.Client, case: Case) -> Spent:
    data = encoded(changed(photo(case.height, case.width)), "BMP")
    return Spent(post(client, data, {"scale": f"{case.scale:g}", "model": MODEL, "format": "jpeg"})[0])


def post(client: httpx.Client, data: bytes, query: dict[str, str]) -> tuple[float, httpx.Response]:
    """Seconds from the first byte sent to the last one received."""
    start = time.perf_counter()
    answer = client.post("/upscale", params=query, content=data, headers={"Prefer": "wait=600"})
    seconds = time.perf_counter() - start
    if answer.status_code != 200:
        raise SystemExit(f"{answer.status_code}: {answer.text}")
    return seconds, answer


def changed(pixels: np.ndarray) -> np.ndarray:
    """The same with a first pixel that it never had."""
    other = pixels.copy()
    other[0, 0] = np.frombuffer(time.monotonic_ns().to_bytes(8, "little")[:3], np.uint8)
    return other


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return file.getvalue()


def measure(turns: dict[str, Turn], case: Case, rounds: int) -> list[Timing]:
    """The contenders that have the scale in turn, after one call each that does not count."""
    chosen = [name for name in turns if case.scale in MOST or name in (SERVICE, ENGINE)]
    spent: dict[str, list[Spent]] = {name: [] for name in chosen}
    for round_ in range(rounds + 1):
        for place in range(len(chosen)):
            name = chosen[(place + round_) % len(chosen)]
            spent[name].append(turns[name](case))
    peaks = {name: max(call.peak_bytes or 0 for call in all_) for name, all_ in spent.items()}
    return [Timing(case, name, tuple(all_[1:]), peaks[name]) for name, all_ in spent.items()]


# ---- What came out --------------------------------------------------------------------------------------------------


def table(timings: Sequence[Timing]) -> list[list[str]]:
    """A head and a line for each contender of one case."""
    span = next((one for one in timings if one.name == SPAN), None)
    lines = [["", "s", "quartiles", "s/MP out", "times SPAN", "CPU s", "times SPAN", "MiB"]]
    for one in timings:
        low, middle, high = np.percentile([call.seconds for call in one.spent], (25, 50, 75))
        allowed = HTTP_S if one.name == SERVICE else 0.0
        times = f"{one.times(span, allowed):.2f}" if span else ""
        cpu = f"{one.cpu_s:.3f}" if one.cpu_s else ""
        cpu_times = f"{one.cpu_s / span.cpu_s:.2f}" if one.cpu_s and span and span.cpu_s else ""
        peak = f"{one.peak_bytes / 2**20:.0f}" if one.peak_bytes else ""
        spread, each = f"{low:.3f} to {high:.3f}", f"{middle / one.case.megapixels:.4f}"
        lines.append([one.name, f"{middle:.3f}", spread, each, times, cpu, cpu_times, peak])
    return lines


def goals(timings: Sequence[Timing]) -> list[report.Goal]:
    """What is wanted of the service beside SPAN, and of a scale between beside x4."""
    by = {(one.case, one.name): one for one in timings}
    found = []
    for case in dict.fromkeys(one.case for one in timings):
        ours = by[case, SERVICE]
        if case.scale in MOST:
            times = ours.times(by[case, SPAN], HTTP_S)
            found.append(report.Goal(f"service over SPAN, {case.title}", times, MOST[case.scale], is_ceiling=True))
        fixed = by.get((Case(**{**asdict(case), "scale": 4.0}), SERVICE))
        if case.scale == BETWEEN and fixed:
            times = ours.times(fixed) * fixed.case.megapixels / case.megapixels
            found.append(report.Goal(f"over x4 a megapixel, {case.title}", times, MOST_BETWEEN, is_ceiling=True))
    return found


def print_large(precision: str, threads: int) -> None:
    """A photo as it comes from a camera or the web, at x2: by the model `auto` takes, and by ours for clean ones."""
    settings = {"LUTRA_PRECISION": precision, "OMP_NUM_THREADS": str(threads)}
    with running_service(settings) as client:
        for height, width, kind, model in ((1000, 1000, "JPEG", MODEL), (1000, 1000, "JPEG", "auto")):
            query = {"scale": "2", "model": model, "format": "jpeg"}
            for _ in range(2):
                seconds, answer = post(client, encoded(changed(photo(height, width)), kind), query)
            print(f"{width}x{height} {kind} x2, service, {precision}, model={model}: {seconds:.2f} s", flush=True)
            print(f"  {answer.headers['x-lutra-model']}; {answer.headers['server-timing']}", flush=True)
    case = Case(3000, 4000, 2.0, precision, threads)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        process_turn(pool, ENGINE, Case(64, 64, 2.0, precision, threads))
        held = pool.submit(resident, "VmRSS").result()
        spent = process_turn(pool, ENGINE, case)
        # Not what the call alone added: what the photo was made with lies free in the process, and is taken again.
        peak = pool.submit(resident, "VmHWM").result() - held
    took, parts = f"{spent.seconds:.1f} s, {spent.cpu_s:.1f} CPU s", (peak, case.megapixels * 3e6, 12e6 * 3)
    peak_mib, result, photo_mib = (part / 2**20 for part in parts)
    memory = f"{peak_mib:.0f} MiB, the photo's {photo_mib:.0f} and the result's {result:.0f} among them"
    print(f"{case.title}, engine: {took}, {memory}", flush=True)


def size_of(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def main() -> None:
    devices.share_cores_politely()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=devices.usable_cores())
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"], choices=("bf16", "fp32"))
    parser.add_argument("--scales", nargs="+", type=float, default=[2.0, BETWEEN, 4.0])
    parser.add_argument("--sizes", nargs="+", type=size_of, default=[(256, 384), (1000, 1000)], help="HEIGHTxWIDTH")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--json", type=Path, help="append what was measured, a line each")
    asked = parser.parse_args()
    line = machine.line("torch")
    print(line, flush=True)
    for precision in asked.precisions:
        if asked.large:
            print_large(precision, asked.threads)
            continue
        timings: list[Timing] = []
        with contenders(precision, asked.threads) as turns:
            for size in asked.sizes:
                for scale in asked.scales:
                    case = Case(size[0], size[1], scale, precision, asked.threads, asked.weights)
                    timings += (found := measure(turns, case, asked.rounds))
                    print(f"\n{case.title}\n{report.as_text(table(found))}", flush=True)
        print(f"\n{report.as_text(report.goal_table(goals(timings)))}", flush=True)
        if asked.json:
            with asked.json.open("a") as file:
                file.writelines(json.dumps({"machine": line, **asdict(one)}, default=str) + "\n" for one in timings)


if __name__ == "__main__":
    main()
