"""The CUDA kernels beside a copy of the same bytes and beside what torch offers, in microseconds on the device.

    python -m benchmarks.gpu [--rounds 15] [--json FILE]

A contender's calls, each on memory of its own so that none finds its picture in the cache, are captured in one graph;
contenders take turns in replaying theirs between two events, after a warm-up. Printed are the median of a call and its
quartiles over the rounds, the bytes that must be read and written over the median, their share of what the copy
reaches, and for stored pictures the largest error against a look-up in float64. It needs a CUDA device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from benchmarks import deformable, pictures, rendering
from kernels import cuda, ops
from kernels.cuda import deform, eclut, lut3d, lut3d_float, modulated_mlp
from kernels.reference import eclut as eclut_reference
from kernels.reference import lut3d as reference
from kernels.reference import lut3d_float as float_reference

FRAME = (2160, 3840)
SMALL = ((180, 320), (540, 960))
NODES = 33
CALLS = 8  # in a graph
GOAL_US = 40.0

Work = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Contender:
    name: str
    work: Work  # on one of the inputs
    moved_bytes: int  # read and written once each
    error: float | None = None  # code values


@dataclass(frozen=True)
class Row:
    case: str
    name: str
    median_us: float
    quartiles_us: tuple[float, float]
    gigabytes_a_second: float
    share_of_copy: float
    error: float | None


# ---- Measuring -------------------------------------------------------------------------------------------------------


def measure(case: str, inputs: Sequence[Tensor], contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """The first contender is the copy."""
    captured = [capture(contender.work, inputs) for contender in contenders]
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for (graph, _), taken in zip(captured, times, strict=True):
            graph.replay()  # warm: clocks and instruction cache
            taken.append(replay_us(graph) / len(inputs))
    copy_speed = contenders[0].moved_bytes / statistics.median(times[0])
    return [row(case, contender, taken, copy_speed) for contender, taken in zip(contenders, times, strict=True)]


def capture(work: Work, inputs: Sequence[Tensor]) -> tuple[Any, list[Any]]:
    """A graph of one call an input, and what the calls gave: held, so that no two of them share their memory."""
    for one in inputs[:2]:
        work(one)
    torch.cuda.synchronize()
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = [work(one) for one in inputs]
    return graph, results


def replay_us(graph: Any) -> float:
    start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return 1000 * float(start.elapsed_time(end))


def row(case: str, contender: Contender, times_us: Sequence[float], copy_speed: float) -> Row:
    median = statistics.median(times_us)
    first, _, third = statistics.quantiles(times_us, n=4)
    speed = contender.moved_bytes / median
    return Row(case, contender.name, median, (first, third), speed / 1000, speed / copy_speed, contender.error)


# ---- Cases -----------------------------------------------------------------------------------------------------------


def cases(device: torch.device) -> Iterator[tuple[str, list[Tensor], list[Contender]]]:
    """Made one at a time, so that one case's pictures are in memory."""
    for name, draw in (("photo", pictures.photo), ("random pixels", pictures.random_pixels)):
        yield f"look-up of 8 bits, {name}", *stored_case(draw, device)
    yield "look-up of 16 bits, photo", *wide_case(device)
    yield "float look-up, photo", *float_case(device)
    for size in SMALL:
        yield f"table super-resolution x4, {size[1]}x{size[0]}", *enlarging_case(size, device)
    for name, dtype in deformable.DTYPES.items():
        yield f"deformable convolution, {name}", *deforming_case(dtype, device)
    for title, (scale, dtype) in rendering.titles().items():
        yield title, *rendering_case(scale, dtype, device)


def stored_case(draw: Callable[..., Any], device: torch.device) -> tuple[list[Tensor], list[Contender]]:
    lut = pictures.tame_lut(NODES)
    first = draw(*FRAME)
    exact = pictures.exact_look_up(first, lut)
    inputs = copies(torch.from_numpy(first), device)
    on_device, moved = lut.to(device), 2 * first.nbytes
    works: dict[str, Work] = {
        path: partial(look_up, lut3d.prepare(on_device, path)) for path in ("cells", "texture", "nodes")
    }
    works["cells, table laid out each time"] = lambda picture: lut3d.lut3d_apply(picture, on_device)
    found = [
        Contender(name, work, moved, float(np.abs(work(inputs[0]).cpu().numpy() - exact).max()))
        for name, work in works.items()
    ]
    return inputs, [Contender("copy", torch.clone, moved), *found]


def wide_case(device: torch.device) -> tuple[list[Tensor], list[Contender]]:
    inputs = copies(torch.from_numpy(pictures.photo(*FRAME).astype(np.uint16) * 257), device)
    lut = pictures.tame_lut(NODES).to(device)
    moved = 2 * inputs[0].numel() * inputs[0].element_size()
    nodes = Contender("nodes", partial(look_up, lut3d.prepare(lut, "nodes")), moved)
    return inputs, [Contender("copy", torch.clone, moved), nodes]


def float_case(device: torch.device) -> tuple[list[Tensor], list[Contender]]:
    pixels = torch.from_numpy(pictures.photo(*FRAME)).permute(2, 0, 1)[None].float() / 255
    inputs, lut = copies(pixels, device), pictures.tame_lut(NODES).to(device)
    plane = inputs[0].numel() * inputs[0].element_size()

    def gradients(module: Any) -> Work:
        return lambda picture: module.lut3d_backward(picture, picture, lut)

    return inputs, [
        Contender("copy", torch.clone, 2 * plane),
        Contender("ours, values", lambda picture: lut3d_float.lut3d(picture, lut), 2 * plane),
        Contender("grid_sample, values", lambda picture: float_reference.lut3d(picture, lut), 2 * plane),
        Contender("ours, both gradients", gradients(cuda), 3 * plane),
        Contender("grid_sample, both gradients", gradients(reference), 3 * plane),
    ]


def enlarging_case(size: tuple[int, int], device: torch.device) -> tuple[list[Tensor], list[Contender]]:
    inputs = copies(torch.from_numpy(pictures.photo(*size)), device)
    table = pictures.upscale_table(4).to(device)
    squares = eclut_reference.collapse(table.cpu(), 4).to(device)
    moved = 17 * inputs[0].numel()

    def bicubic(picture: Tensor) -> Tensor:
        return F.interpolate(picture.permute(2, 0, 1)[None].float(), scale_factor=4, mode="bicubic")

    larger = torch.empty(moved // 2, dtype=torch.uint8, device=device)
    return inputs, [
        Contender("copy", lambda _: larger.clone(), moved),
        Contender("step lr", lambda picture: eclut.eclut(picture, table, 4, "lr"), moved),
        Contender("step hr", lambda picture: eclut.eclut(picture, squares, 4, "hr"), moved),
        Contender("torch bicubic, float", bicubic, moved),
    ]


def deforming_case(dtype: torch.dtype, device: torch.device) -> tuple[list[Tensor], list[Contender]]:
    drawn, grad = deformable.draw_inputs(dtype)
    x, *rest = (tensor.to(device) for tensor in drawn)
    offset, mask, weight = rest
    planes = sum(tensor.numel() * tensor.element_size() for tensor in rest[:2])
    picture, grad = x.numel() * x.element_size(), grad.to(device)
    works: dict[str, Work] = {
        "ours, values": lambda x: deform.deform_conv2d(x, *rest),
        "grid_sample, values": lambda x: deformable.by_grid_sample(x, *rest),
        "conv2d, which deforms nothing": lambda x: deformable.convolved(x, *rest),
    }
    values = [Contender(name, work, 2 * picture + planes) for name, work in works.items()]
    backward = Contender(
        "ours, all gradients",
        lambda x: deform.deform_conv2d_backward(grad, x, offset, mask, weight),
        3 * picture + 2 * planes,
    )
    return copies(x, device), [Contender("copy", torch.clone, 2 * picture), *values, backward]


def rendering_case(scale: float, dtype: torch.dtype, device: torch.device) -> tuple[list[Tensor], list[Contender]]:
    inputs = rendering.draw_inputs(scale, dtype)
    modulations, drawn = inputs[0], 4 * 3 * rendering.count_samples(inputs)
    rest = tree_map_only(Tensor, lambda tensor: tensor.to(device), inputs[1:])
    picture = modulations.numel() * modulations.element_size()
    ours = Contender("ours", lambda x: modulated_mlp.modulated_mlp(x, *rest), picture + 2 * drawn)
    return copies(modulations, device), [Contender("copy", torch.clone, 2 * picture), ours]


def look_up(table: lut3d.Table, picture: Tensor) -> Tensor:
    return lut3d.look_up(picture, table)


def copies(picture: Tensor, device: torch.device) -> list[Tensor]:
    return [picture.to(device).clone() for _ in range(CALLS)]


def door_us(device: torch.device, calls: int = 50) -> float:
    """One call of the op, checks and host included, on one 4K photo after the other."""
    picture, lut = torch.from_numpy(pictures.photo(*FRAME)).to(device), pictures.tame_lut(NODES).to(device)
    ops.lut3d_apply(picture, lut)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        ops.lut3d_apply(picture, lut)
    torch.cuda.synchronize()
    return 1e6 * (time.perf_counter() - start) / calls


# ---- Telling ---------------------------------------------------------------------------------------------------------


def machine_line(device: torch.device) -> str:
    day = datetime.now(UTC).date().isoformat()
    return (
        f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, {FRAME[1]}x{FRAME[0]}, {NODES} nodes, {day}"
    )


def told(found: Row) -> str:
    low, high = found.quartiles_us
    error = "" if found.error is None else f"  off by {found.error:.4f}"
    speed = f"{found.gigabytes_a_second:8.0f} GB/s {100 * found.share_of_copy:5.0f} % of the copy"
    return f"  {found.name:34} {found.median_us:9.1f} us ({low:.1f} to {high:.1f}) {speed}{error}"


def goal_line(rows: Sequence[Row]) -> str:
    ours = [found for found in rows if found.case == "look-up of 8 bits, photo" and found.name != "copy"]
    best = min(ours, key=lambda found: found.median_us)
    verdict = "met" if best.median_us <= GOAL_US else "missed"
    return f"goal of {GOAL_US:.0f} us for a 4K photo of 8 bits: {verdict} by {best.name}, {best.median_us:.1f} us"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    asked, _ = parser.parse_known_args(arguments)
    if missing := cuda.why_missing():
        print(f"nothing to measure: {missing}")
        return 1
    device = torch.device("cuda", torch.cuda.current_device())
    print(machine_line(device))
    rows: list[Row] = []
    with torch.no_grad():
        for case, inputs, contenders in cases(device):
            print(case)
            found = measure(case, inputs, contenders, asked.rounds)
            print("\n".join(map(told, found)))
            rows += found
        print(f"op lut3d_apply, host included: {door_us(device):.0f} us a call")
    print(goal_line(rows))
    if asked.json:
        asked.json.write_text("".join(f"{json.dumps(asdict(found))}\n" for found in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
