"""Every CUDA kernel on awkward sizes, for tools that watch memory.

compute-sanitizer python -m tests.kernels.touch_all
"""

from __future__ import annotations

import sys
from itertools import product

import torch

from kernels import cuda
from kernels.cuda import deform, eclut, lut3d, lut3d_float, modulated_mlp, resample
from kernels.reference.lut3d import identity_lut
from kernels.reference.modulated_mlp import Layers, Places, Samples, layer_shapes
from kernels.reference.resample import Taps


def touch_stored(device: torch.device) -> None:
    for nodes, pixels, dtype in product((2, 20, 33), (1, 255, 1025), (torch.uint8, torch.uint16)):
        picture = torch.randint(0, torch.iinfo(dtype).max, (1, pixels, 3)).to(dtype).to(device)
        lut3d.lut3d_apply(picture, identity_lut(nodes).to(device))
    lut3d.lut3d_apply(
        torch.full((33, 31, 3), 255, dtype=torch.uint8, device=device), identity_lut(17).to(device), "texture"
    )


def touch_float(device: torch.device) -> None:
    for batch, nodes, dtype in product((1, 3), (2, 33), (torch.float32, torch.float64)):
        colours = torch.rand(batch, 3, 17, 31, dtype=dtype, device=device)
        own = identity_lut(nodes, dtype).to(device).expand(batch, 3, nodes, nodes, nodes)
        for lut in (own, own[0]):
            lut3d_float.lut3d_backward(lut3d_float.lut3d(colours, lut), colours, lut)


def touch_enlarging(device: torch.device) -> None:
    for scale, size in product((2, 3, 4), ((1, 1), (2, 45), (19, 3))):
        picture = torch.randint(0, 256, (*size, 3), dtype=torch.uint8).to(device)
        eclut.eclut(picture, torch.zeros(65536, 9 * scale**2, dtype=torch.int8, device=device), scale, "lr")
        eclut.eclut(picture, torch.zeros(65536, (scale + 2) ** 2, dtype=torch.int16, device=device), scale, "hr")


def touch_deforming(device: torch.device) -> None:
    for channels, dtype in product((1, 33, 64), (torch.float32, torch.float64, torch.bfloat16)):
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        x, weight = (
            torch.randn(shape, device=device).to(dtype) for shape in ((2, channels, 7, 9), (5, channels, 3, 3))
        )
        offset = 4 * torch.randn(2, 18, 7, 9, dtype=wide, device=device)
        offset[:, 3], offset[:, 4] = float("nan"), 1e30
        mask = torch.rand(2, 9, 7, 9, dtype=wide, device=device)
        deform.deform_conv2d_backward(deform.deform_conv2d(x, offset, mask, weight), x, offset, mask, weight)


def touch_rendering(device: torch.device) -> None:
    shapes = layer_shapes()
    weights = [torch.randn(shape, device=device) for shape in shapes]
    layers = Layers(weights, [torch.randn(shape[0], device=device) for shape in shapes])
    for (height, width), scale, dtype in product(((1, 1), (2, 45), (19, 3)), (1, 5), (torch.float32, torch.bfloat16)):
        modulations = torch.randn(208, height, width, device=device).to(dtype)
        floors = (torch.arange(-1, scale * side, device=device) // scale for side in (height, width))
        rows, cols = (Places(floor, torch.rand(len(floor), device=device)) for floor in floors)
        base = torch.rand(3, len(rows.floor), len(cols.floor), device=device)
        modulated_mlp.modulated_mlp(modulations, base, Samples(rows, cols, (1.0, 1.0)), layers)


def touch_resampling(device: torch.device) -> None:
    for (height, width), (rows, cols), taps in product(((8, 8), (33, 300)), ((1, 1), (45, 257)), (1, 8)):
        tall, wide = (
            Taps(
                torch.arange(samples, device=device) * (side - taps) // max(1, samples - 1),
                torch.rand(samples, taps, device=device),
            )
            for samples, side in ((rows, height), (cols, width))
        )
        made = resample.resample(torch.rand(3, height, width, device=device), tall, wide)
        resample.resample_backward(made, tall, wide, height, width)


def main() -> int:
    if missing := cuda.why_missing():
        print(missing)
        return 1
    device = torch.device("cuda", torch.cuda.current_device())
    for touch in (touch_stored, touch_float, touch_enlarging, touch_deforming, touch_rendering, touch_resampling):
        touch(device)
    torch.cuda.synchronize()
    print("every kernel ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
