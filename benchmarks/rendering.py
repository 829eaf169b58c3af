"""LM-LIIF's render perceptron beside torch alone and beside the multiply-adds that one core can make at best.

    python -m benchmarks.rendering [--seconds 5]

makes the contenders of `benchmarks.kernels`, and by itself prints, for a machine that is not quiet, the least of many
short runs of each on one thread, in seconds of that thread's processor time for a million samples. Torch alone means
the specification: the four neighbours gathered, a band of rows at a time. The peak makes as many multiply-adds as the
kernel has to, in registers alone, so what is `times the peak` is the share of it that the kernel reaches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks import machine, peak
from benchmarks.rounds import Contender, set_threads
from kernels import cpu, ops
from kernels.reference import modulated_mlp as reference
from models.contract import Axis

Inputs = tuple[Tensor, Tensor, ops.Samples, ops.Layers]

SIZE = (64, 96)  # input pixels
SCALES = (2.0, 3.7, 4.0)
DTYPES = {"": torch.float32, ", modulations in bfloat16": torch.bfloat16}
OURS, TORCH = "lutra, as served", "torch, four neighbours gathered"
PEAKS = {path: f"multiply-adds in registers, {path}" for path in peak.AT_ONCE}
SHARES = {path: f"the peak of {path}" for path in PEAKS}
YARDSTICKS = {"torch": TORCH, **{short: PEAKS[path] for path, short in SHARES.items()}}


def titles() -> dict[str, tuple[float, torch.dtype]]:
    """The scale of each case, and the type of its modulations."""
    return {
        f"render perceptron x{scale:g}{named}": (scale, dtype) for scale in SCALES for named, dtype in DTYPES.items()
    }


def contenders(scale: float, dtype: torch.dtype, threads: Sequence[int]) -> list[Contender]:
    """Ours with one thread by each path and by the op, torch with each number of threads, the peaks with one."""
    inputs = draw_inputs(scale, dtype)
    by_path = {path: partial(cpu.modulated_mlp, *inputs, threads=1, path=path) for path in cpu.paths()}
    layers = ((OURS, partial(ops.modulated_mlp, *inputs), "ours"), (TORCH, partial(by_torch, inputs), "peer"))
    return [
        *(Contender(f"lutra, {path}", work, role="ours") for path, work in by_path.items()),
        *(Contender(name, work, n, role) for name, work, role in layers for n in threads),
        *peaks(multiply_adds(inputs), cpu.paths()),
    ]


def peaks(count: float, paths: Sequence[str]) -> list[Contender]:
    """Those of `paths` that are known."""
    known = [] if peak.why_missing() else [path for path in peak.AT_ONCE if path in paths]
    return [Contender(PEAKS[path], partial(peak.multiply_adds, path, count), role="limit") for path in known]


def by_torch(inputs: Inputs) -> Tensor:
    with torch.inference_mode():
        return reference.modulated_mlp(*inputs)


def draw_inputs(scale: float, dtype: torch.dtype) -> Inputs:
    """The arguments of `ops.modulated_mlp`; modulations with channels last."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    rows, cols = (Axis(0, round(side * scale), round(side * scale), side, 0) for side in SIZE)
    modulations = (0.3 * draw(*SIZE, reference.CHANNELS)).to(dtype).permute(2, 0, 1)
    base = draw(3, rows.count, cols.count).sigmoid()
    weights = [draw(*shape) * (2 / shape[1]) ** 0.5 for shape in reference.layer_shapes()]
    biases = [0.1 * draw(shape[0]) for shape in reference.layer_shapes()]
    places = ops.Places(*rows.positions()), ops.Places(*cols.positions())
    samples = ops.Samples(*places, (2 / rows.scale, 2 / cols.scale))
    return modulations, base, samples, ops.Layers(weights, biases)


def count_samples(inputs: Inputs) -> int:
    _, _, samples, _ = inputs
    return len(samples.rows.floor) * len(samples.cols.floor)


def multiply_adds(inputs: Inputs) -> float:
    """How many the kernel has to make: those of its method, each input pixel prepared once; padding does not count."""
    units, hidden, colours = reference.UNITS, reference.HIDDEN, reference.COLOURS
    answer = 2 * units + (hidden - 1) * (units + 1) * units  # the way to the sample, then layers with their gain
    sample = 4 * (answer + units) + units * colours  # blend, last layer
    pixel = (units + 1 + hidden - 1) * units  # latent code, gain of the first layer, shifts of the others
    return count_samples(inputs) * sample + inputs[0][0].numel() * pixel


# ---- By itself ---------------------------------------------------------------------------------------------------


def least_seconds(works: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The least processor time of this thread that a call of each took; they take turns for so long."""
    least = dict.fromkeys(works, float("inf"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, work in works.items():
            start = time.thread_time()
            work()
            least[name] = min(least[name], time.thread_time() - start)
    return least


def print_shares(title: str, contenders: Sequence[Contender], seconds: float, told: Callable[[float], str]) -> None:
    """The least processor time of each on this thread, as it is `told`, and of ours the share of their peak."""
    least = least_seconds({one.name: one.work for one in contenders}, seconds)
    print(f"\n{title}")
    for name, took in least.items():
        limit = least.get(PEAKS.get(name.removeprefix("lutra, "), ""))
        share = f", {limit / took:.0%} of the peak" if limit else ""
        print(f"  {name:36} {told(took)}{share}")


def asked_seconds(description: str | None) -> float:
    """For each case, by the command line; the machine is named, and one thread set."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case")
    asked = parser.parse_args()
    print(machine.line("torch"))
    set_threads(1)
    return float(asked.seconds)


def a_megapixel(samples: int, took: float) -> str:
    return f"{1e6 * took / samples:.4f} s"


def main() -> None:
    seconds = asked_seconds(__doc__)
    for title, (scale, dtype) in titles().items():
        told = partial(a_megapixel, count_samples(draw_inputs(scale, dtype)))
        print_shares(title, contenders(scale, dtype, (1,)), seconds, told)


if __name__ == "__main__":
    main()
