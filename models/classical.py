"""Resampling without learning: nearest, bilinear, bicubic, lanczos, area and Fourier, for any number of channels.

They enlarge by the call contract of every upscaler, shrink with antialiasing, and serve as the yardstick of the learnt
models. They do not cut, pad or clamp: a cubic or Lanczos kernel overshoots, and so does Fourier.

Sources: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981 (a = -1/2);
Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorology 18, 1979 (a = 3); Martucci, "Image resizing
in the discrete cosine transform domain", ICIP 1995 (half-sample symmetric extension).

A kernel is stretched by the ratio when an axis shrinks, its weights sum to 1, and taps beyond the window are dropped
before that. So the interior equals Pillow's `resize` everywhere; at the frame a window cut by `workers.engine.tiles` is
mirrored, while a window that ends at the frame gives Pillow's border too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import ops
from kernels.ops import Taps
from models.contract import Axis, View

UNITS = 1 << 23  # to 1, in which weights are counted: float32 holds each whole number of them below 2
FFT_SAMPLES = 1 << 22  # samples transformed at once: bounds the complex intermediate to some 100 MB


@dataclass(frozen=True)
class Kernel:
    """`weigh(distance, ratio)`: unnormalised float64 weights of input pixels; zero at `radius * ratio` and beyond.

    `distance` counts input pixels; `ratio` >= 1 is how much the axis shrinks (1: it does not).
    """

    radius: float
    weigh: Callable[[Tensor, float], Tensor]

    def reach(self, scale: float) -> int:
        """The largest distance in whole input pixels at which a weight may differ from zero."""
        return math.ceil(self.radius * max(1.0, 1 / scale))

    def halo(self, scale: float) -> int:
        """Input pixels needed beyond the two around a sample: 0 for bilinear and 1 for bicubic, more when shrinking."""
        return max(0, self.reach(scale) - 1)


def _triangle(distance: Tensor, ratio: float) -> Tensor:
    return (1 - distance.abs() / ratio).clamp(min=0)


def _keys(distance: Tensor, ratio: float) -> Tensor:
    x = distance.abs() / ratio
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _lanczos(distance: Tensor, ratio: float) -> Tensor:
    x = distance / ratio
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


def _overlap(distance: Tensor, ratio: float) -> Tensor:
    """How much of a pixel, one wide, lies in the output sample's own cell, `ratio` wide."""
    return ((1 + ratio) / 2 - distance.abs()).clamp(min=0, max=1)


KERNELS = {
    "bilinear": Kernel(1, _triangle),
    "bicubic": Kernel(2, _keys),
    "lanczos": Kernel(3, _lanczos),
    "area": Kernel(1, _overlap),  # (1 + ratio) / 2 <= ratio
}
BICUBIC = KERNELS["bicubic"]


class Resampler:
    """One separable resampler; fulfils `models.contract.Upscaler`, and shrinks too where windows hold the halo."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`; windows are float32."""
        return [self._tile(window, view) for window, view in zip(windows, views, strict=True)]

    def _tile(self, window: Tensor, view: View) -> Tensor:
        """(C, h, w) float32 -> (C, rows, cols)."""
        sides = zip((view.rows, view.cols), window.shape[1:], strict=True)
        rows, cols = (_ready(_first_alike(axis), side, self.kernel, window.device) for axis, side in sides)
        return ops.resample(window, rows, cols)


class Nearest:
    """Each sample is the pixel it lies in, unchanged; of two equally near the later one."""

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        return [
            window.index_select(-2, _pixel(view.rows).to(window.device)).index_select(
                -1, _pixel(view.cols).to(window.device)
            )
            for window, view in zip(windows, views, strict=True)
        ]


class Fourier:
    """Band-limited interpolation of the picture mirrored at its frame; each window must be the whole picture.

    A picture is a sum of cosines cos(pi k (n + 1/2) / N), k < N, per axis (DCT-II); the sum is read at the output's
    pixel centres. Constants stay constant and each of these cosines is met exactly. It rings at hard edges.
    """

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        return [self._tile(window, view) for window, view in zip(windows, views, strict=True)]

    def _tile(self, window: Tensor, view: View) -> Tensor:
        for axis, length in zip((view.rows, view.cols), window.shape[-2:], strict=True):
            if axis.origin != 0 or axis.in_size != length:
                raise ValueError("Fourier interpolation needs the whole picture in each window")
        across = _cosines(window, view.cols)
        return _cosines(across.transpose(-1, -2), view.rows).transpose(-1, -2)


def taps(axis: Axis, length: int, kernel: Kernel) -> Taps:
    """What the axis' samples are made of in a window's side of `length` pixels; their weights sum to exactly 1."""
    base, fraction = axis.positions()
    ratio = max(1.0, axis.in_size / axis.out_size)
    reach = kernel.reach(axis.scale)
    near = torch.arange(1 - reach, reach + 1)
    index = base[:, None] + near
    weight = kernel.weigh(near - fraction.double()[:, None], ratio)
    weight = torch.where((index >= 0) & (index < length), weight, 0.0)
    return _moved_inside(index[:, 0], in_units(weight / weight.sum(1, keepdim=True)), length)


def in_units(weight: Tensor) -> Tensor:
    """float64 weights (samples, taps) that sum to 1 -> float32 ones that do so exactly, added up in any order: white
    stays white to the bit. The largest of a sample takes what rounding left over."""
    units = (weight * UNITS).round()
    units.scatter_add_(1, units.argmax(1, keepdim=True), UNITS - units.sum(1, keepdim=True))
    return (units / UNITS).float()


def _moved_inside(first: Tensor, weight: Tensor, length: int) -> Taps:
    """Runs of taps that may reach beyond a side, with weight 0 there -> the same inside it, without taps that no
    sample uses: one is left where samples are pixels."""
    used = weight.any(0).nonzero()[:, 0]
    low, count = int(used[0]), min(int(used[-1] - used[0]) + 1, length)
    moved = (first + low).clamp(0, length - count)
    tap = (moved - first)[:, None] + torch.arange(count)
    kept = weight.gather(1, tap.clamp(0, weight.shape[1] - 1))
    return Taps(moved, torch.where((tap >= 0) & (tap < weight.shape[1]), kept, 0.0))


def _first_alike(axis: Axis) -> Axis:
    """The first axis whose samples lie in its window as these do: places repeat with the scale's numerator."""
    common = math.gcd(axis.in_size, axis.out_size)
    turns, start = divmod(axis.start, axis.out_size // common)
    return replace(axis, start=start, origin=axis.origin - turns * (axis.in_size // common))


@lru_cache(maxsize=64)
def _ready(axis: Axis, length: int, kernel: Kernel, device: torch.device) -> Taps:
    """`taps` where they are wanted; most tiles of a picture share theirs."""
    with torch.inference_mode(False):  # training may be the next to use them
        first, weight = taps(axis, length, kernel)
        return Taps(first.to(device), weight.to(device))


def from_finer(fine: Tensor, view: View, factor: int, kernel: Kernel = BICUBIC) -> Tensor:
    """A window enlarged `factor` times, (C, factor * h, factor * w) -> the view's samples, antialiased.

    How a network of fixed scale reaches the scales below its own; `finer_halo` says what the window must hold.
    """
    return Resampler(kernel)(fine[None], [View(_finer(view.rows, factor), _finer(view.cols, factor))])[0]


def back_projected(
    fine: Tensor,
    lr: Tensor,
    factor: int,
    kernel: Kernel = BICUBIC,
    *,
    over: int = 1,
    belief: Tensor | None = None,
) -> Tensor:
    """A window (C, h, w) enlarged `factor` times, plus what it lacks, shrunk again, of the window it was made of.

    So its means over a few pixels are those of the window; it sees up to four pixels of both beyond a pixel's own. One
    step of Irani and Peleg, "Improving resolution by image registration", 1991. `over`, odd: what it lacks is averaged
    twice over so many pixels of the window a side, and it sees so many less one further: the means over more pixels
    are those of the window, and what is finer, as blocks of a JPEG, may be made anew. `belief` (C, h, w) in [0, 1]: how
    much of what is finer is put back all the same.
    """
    sides = [(side, factor * side) for side in lr.shape[1:]]
    down, up = (
        View(*(Axis(0, out, out, source, 0) for source, out in axes))
        for axes in (((large, small) for small, large in sides), sides)
    )
    resample = Resampler(kernel)
    lacking = lr - resample(fine[None], [down])[0]
    if over > 1:
        coarse = averaged(averaged(lacking, over), over)
        lacking = coarse if belief is None else coarse.lerp(lacking, belief)
    return fine + resample(lacking[None], [up])[0]


def averaged(window: Tensor, over: int) -> Tensor:
    """(C, h, w) -> the means of `over` pixels a side around each, odd; of fewer where the window ends."""
    return F.avg_pool2d(window, over, 1, over // 2, count_include_pad=False)


def finer_halo(factor: int, lowest_scale: float = 1.0, kernel: Kernel = BICUBIC) -> int:
    """Input pixels that `from_finer` needs beyond the two around a sample, for every scale from `lowest_scale` on."""
    return math.ceil((kernel.reach(min(1.0, lowest_scale / factor)) + factor) / factor)


def _finer(axis: Axis, factor: int) -> Axis:
    return replace(axis, in_size=axis.in_size * factor, origin=axis.origin * factor)


def _pixel(axis: Axis) -> Tensor:
    """Index in the window of the pixel that holds each sample: floor((i + 1/2) in / out), in whole numbers."""
    i = torch.arange(axis.start, axis.start + axis.count, dtype=torch.int64)
    return torch.div((2 * i + 1) * axis.in_size, 2 * axis.out_size, rounding_mode="floor") - axis.origin


def _cosines(signal: Tensor, axis: Axis) -> Tensor:
    """(C, lines, n) -> (C, lines, axis.count) along the last axis, some lines at a time."""
    channels, lines, _ = signal.shape
    result = signal.new_empty(channels, lines, axis.count)
    step = max(1, FFT_SAMPLES // (2 * max(axis.in_size, axis.out_size)))
    for channel in range(channels):
        for first in range(0, lines, step):
            band = slice(first, first + step)
            result[channel, band] = _interpolate(signal[channel, band], axis)
    return result


def _interpolate(signal: Tensor, axis: Axis) -> Tensor:
    """(lines, n) -> (lines, axis.count): the mirrored line's spectrum, moved to the finer grid's half-sample origin."""
    n, m = axis.in_size, axis.out_size
    kept = min(n, m)
    spectrum = torch.fft.rfft(torch.cat([signal, signal.flip(-1)], -1))[..., :kept]
    k = torch.arange(kept, dtype=torch.float64)
    angle = (math.pi / 2) * (k / m - k / n)
    turn = torch.polar(torch.full_like(angle, m / n), angle).to(spectrum)
    mirrored: Tensor = torch.fft.irfft(spectrum * turn, n=2 * m)
    return mirrored[..., axis.start : axis.start + axis.count]
