"""Antialiased bicubic resampling beside dense matrices, torch's own and Pillow's.

    python -m benchmarks.resampling [--seconds 5]

makes the contenders of `benchmarks.kernels`, and by itself prints, for a machine that is not quiet, the least of many
runs of each on one thread, in milliseconds of that thread's processor time.

What a network of x4 makes, three planes of floats, becomes a megapixel at the scale asked for: larger scales read less
and write as much. All use the same kernel, with a = -1/2, and drop what lies beyond the frame. Dense matrices, of which
the taps are a small part, are one product for each axis, as fast as torch multiplies. Pillow has the same picture in 8
bits, and its planes as floats, one by one.

And what the predictor of `lut3d` sees of a stored picture (`resample_codes`), beside torch's own two steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks import machine
from benchmarks.pictures import photo
from benchmarks.rendering import least_seconds
from benchmarks.rounds import Contender, set_threads
from kernels import cpu, ops
from models.classical import BICUBIC, taps
from models.contract import Axis
from models.lut3d import REDUCE, SEEN_SIDE, reduced_size, seen, shrink

SIDE = 1000  # samples of either axis
FINER = 4  # the scale of what is resampled
SCALES = (2.0, 3.7, 8.0)
OURS = "lutra, as served"
MATRICES, TORCH = "torch, dense matrices", "torch interpolate, antialias"
PILLOW, PILLOW_FLOATS = "Pillow, 8 bits", "Pillow, planes of floats"
AREAS, TORCH_LOOK = "lutra area_mean, then torch", "torch, area and bilinear"
LOOKS = {"what lut3d sees of 512x512": (512, 512), "what lut3d sees of 3840x2160": (2160, 3840)}
LOOK_YARDSTICKS = {"torch": TORCH_LOOK}
YARDSTICKS = {"matrices": MATRICES, "torch": TORCH, "Pillow": PILLOW}


def titles() -> dict[str, float]:
    """The scale of each case."""
    return {f"resampling x{FINER} to x{scale:g}": scale for scale in SCALES}


def contenders(scale: float, threads: Sequence[int]) -> list[Contender]:
    """Ours with one thread by each path and by the op, torch with each number of threads, Pillow with its one."""
    planes = draw_planes(scale)
    axis = taps(Axis(0, SIDE, SIDE, planes.shape[1], 0), planes.shape[1], BICUBIC)
    full = in_full(axis, planes.shape[1])
    by_path = {path: partial(cpu.resample, planes, axis, axis, threads=1, path=path) for path in cpu.paths()}
    many: tuple[tuple[str, Callable[[], object], str], ...] = (
        (OURS, partial(ops.resample, planes, axis, axis), "ours"),
        (MATRICES, lambda: (full @ planes) @ full.T, "peer"),
        (TORCH, partial(interpolated, planes), "peer"),
    )
    return [
        *(Contender(f"lutra, {path}", work, role="ours") for path, work in by_path.items()),
        *(Contender(name, work, n, role) for name, work, role in many for n in threads),
        Contender(PILLOW, by_pillow([Image.fromarray(as_pixels(planes))])),
        Contender(PILLOW_FLOATS, by_pillow([Image.fromarray(plane.numpy()) for plane in planes])),
    ]


def looks(height: int, width: int, threads: Sequence[int]) -> list[Contender]:
    """What `lut3d` sees of a picture: in one reading, as served; by areas and then linearly; by torch alone."""
    picture = torch.from_numpy(photo(height, width))
    size = reduced_size(height, width)

    def by_torch() -> Tensor:
        return linearly(shrink(picture.permute(2, 0, 1)[None].float() / 255, REDUCE))

    many: tuple[tuple[str, Callable[[], object], str], ...] = (
        (OURS, partial(seen, picture), "ours"),
        (AREAS, lambda: linearly(ops.area_mean(picture, *size).permute(2, 0, 1)[None]), "ours"),
        (TORCH_LOOK, by_torch, "peer"),
    )
    return [Contender(name, work, n, role) for name, work, role in many for n in threads]


def linearly(picture: Tensor) -> Tensor:
    return F.interpolate(picture, (SEEN_SIDE, SEEN_SIDE), mode="bilinear", align_corners=False)


def draw_planes(scale: float) -> Tensor:
    """(3, h, w) from 1/4 to 3/4: nothing overshoots, so nobody clamps."""
    side = round(SIDE * FINER / scale)
    return 0.25 + 0.5 * torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))


def in_full(axis: ops.Taps, length: int) -> Tensor:
    """The matrix (samples, length) that its taps are a part of."""
    first, weight = axis
    place = first[:, None] + torch.arange(weight.shape[1])
    return torch.zeros(len(first), length).scatter_(1, place, weight)


def interpolated(planes: Tensor) -> Tensor:
    return F.interpolate(planes[None], (SIDE, SIDE), mode="bicubic", antialias=True)[0]


def as_pixels(planes: Tensor) -> NDArray[np.uint8]:
    """(3, h, w) in [0, 1] -> (h, w, 3)."""
    return planes.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()


def by_pillow(images: Sequence[Image.Image]) -> Callable[[], list[Image.Image]]:
    return lambda: [image.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in images]


# ---- By itself ---------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case")
    asked = parser.parse_args()
    print(machine.line("torch", "pillow"))
    set_threads(1)
    for title, scale in titles().items():
        works = {one.name: one.work for one in contenders(scale, (1,))}
        print(f"\n{title}")
        tell(works, asked.seconds)
    for title, size in LOOKS.items():
        print(f"\n{title}")
        tell({one.name: one.work for one in looks(*size, (1,))}, asked.seconds)


def tell(works: dict[str, Callable[[], object]], seconds: float) -> None:
    for name, took in least_seconds(works, seconds).items():
        print(f"  {name:30} {1000 * took:8.2f} ms")


if __name__ == "__main__":
    main()
