"""A NAF block under a code beside torch alone and beside the multiply-adds that one core can make at best.

    python -m benchmarks.naf [--seconds 5]

makes the contenders of `benchmarks.kernels`, and by itself prints, for a machine that is not quiet, the least of many
runs of each on one thread, in milliseconds of that thread's processor time. The sizes are those that `airnet-u` meets
in a picture of 480x320. Torch alone means the specification. The peak is that of `benchmarks.rendering`: as many
multiply-adds as the convolutions have, in registers alone; that of bfloat16 also where the depthwise one is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.rendering import PEAKS, SHARES, asked_seconds, peaks, print_shares
from benchmarks.rounds import Contender
from kernels import cpu, ops
from kernels.reference import naf_block as reference

Inputs = tuple[Tensor, Tensor, Tensor, ops.NafLayers]

SIZE = (320, 480)  # of the picture: half of it down and right for twice the channels
WIDTHS = (16, 32, 64, 128, 256)
DTYPES = {"": torch.float32, ", bfloat16": torch.bfloat16}
OURS, TORCH = "lutra, as served", "torch, layer by layer"
YARDSTICKS = {"torch": TORCH, **{short: PEAKS[path] for path, short in SHARES.items()}}


def titles() -> dict[str, tuple[int, torch.dtype]]:
    """The channels of each case, and the type of its picture."""
    return {
        f"NAF block, {channels} channels{named}": (channels, dtype)
        for named, dtype in DTYPES.items()
        for channels in WIDTHS
    }


def contenders(channels: int, dtype: torch.dtype, threads: Sequence[int]) -> list[Contender]:
    """Ours with one thread by each path and by the op, torch with each number of threads, the peaks with one."""
    inputs = draw_inputs(channels, dtype)
    paths = cpu.naf_paths(dtype)
    by_path = {path: partial(cpu.naf_block, *inputs, threads=1, path=path) for path in paths}
    many = ((OURS, partial(ops.naf_block, *inputs), "ours"), (TORCH, partial(by_torch, inputs), "peer"))
    return [
        *(Contender(f"lutra, {path}", work, role="ours") for path, work in by_path.items()),
        *(Contender(name, work, n, role) for name, work, role in many for n in threads),
        *peaks(multiply_adds(inputs), paths),
    ]


def by_torch(inputs: Inputs) -> Tensor:
    with torch.inference_mode():
        return reference.naf_block(*inputs)


def draw_inputs(channels: int, dtype: torch.dtype) -> Inputs:
    """The arguments of `ops.naf_block`, channels last."""
    generator = torch.Generator().manual_seed(0)
    shrunk = channels // WIDTHS[0]
    height, width = (max(1, side // shrunk) for side in SIZE)
    x = torch.randn(1, height, width, channels, generator=generator).to(dtype).permute(0, 3, 1, 2)
    scale, shift = (0.3 * torch.randn(2, 1, channels, generator=generator)).to(dtype)
    shapes = reference.layer_shapes(channels).values()
    layers = (0.1 * torch.randn(shape, generator=generator) for shape in shapes)
    return x, scale, shift, ops.NafLayers(*(layer.to(dtype) for layer in layers))


def multiply_adds(inputs: Inputs) -> float:
    """Those of the five convolutions."""
    x, *_, layers = inputs
    convolutions = (layers.conv1, layers.conv2, layers.conv3, layers.conv4, layers.conv5)
    return x[:, 0].numel() * float(sum(layer.numel() for layer in convolutions))


# ---- By itself ---------------------------------------------------------------------------------------------------


def main() -> None:
    seconds = asked_seconds(__doc__)
    for title, (channels, dtype) in titles().items():
        print_shares(title, contenders(channels, dtype, (1,)), seconds, lambda took: f"{1000 * took:8.1f} ms")


if __name__ == "__main__":
    main()
