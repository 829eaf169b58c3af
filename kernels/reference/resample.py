"""The specification of resampling along rows and columns by runs of weighted pixels, in plain PyTorch.

Sample i of an axis is the sum of weight[i, k] * pixel[first[i] + k] over k; the rows are made first, of them the
columns. It does not check its arguments; that is `kernels.ops`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BAND_PIXELS = 1 << 20  # of the picture as floats at a time, or as many as one row of samples wants


class Taps(NamedTuple):
    """What the samples of one axis are made of: a run of pixels each, wholly inside the axis, in ascending order."""

    first: Tensor  # (samples,) int64
    weight: Tensor  # (samples, taps), of the planes' type


def resample(planes: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """planes (C, h, w) -> (C, rows, cols)."""
    tall = _blend(planes, rows)
    return _blend(tall.transpose(1, 2), cols).transpose(1, 2).contiguous()


def resample_codes(picture: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """picture (H, W, C) uint8 or uint16 -> (C, rows, cols) float32, shares of the largest code."""
    top = 255.0 if picture.dtype == torch.uint8 else 65535.0
    bands = [torch.empty(picture.shape[2], 0, len(cols.first), dtype=torch.float32, device=picture.device)]
    step = max(1, BAND_PIXELS // max(1, picture.shape[1] * rows.weight.shape[1]))
    for first, weight in zip(torch.split(rows.first, step), torch.split(rows.weight, step), strict=True):
        begin, end = (int(first[0]), int(first[-1]) + weight.shape[1]) if len(first) else (0, 0)
        planes = picture[begin:end].to(torch.float32).permute(2, 0, 1)
        bands.append(resample(planes, Taps(first - begin, weight), cols) / top)
    return torch.cat(bands, 1)


def _blend(planes: Tensor, taps: Taps) -> Tensor:
    """(C, h, w) -> (C, samples, w)."""
    out = planes.new_zeros(len(planes), len(taps.first), planes.shape[2])
    for k, weight in enumerate(taps.weight.detach().unbind(1)):
        out += planes.index_select(1, taps.first + k) * weight[:, None]
    return out


def resample_backward(grad: Tensor, rows: Taps, cols: Taps, height: int, width: int) -> Tensor:
    """The gradient by the samples (C, rows, cols) -> that by the planes (C, height, width)."""
    return resample(grad, transposed(rows, height), transposed(cols, width))


def transposed(taps: Taps, length: int) -> Taps:
    """The way back, from the samples to an axis of `length` pixels: what pixel j gives to sample i, i gives to j."""
    first, weight = taps
    count, reach = weight.shape
    pixel = torch.arange(length, device=first.device)
    begin = torch.searchsorted(first, pixel - (reach - 1))  # the first sample that reads the pixel
    longest = int((torch.searchsorted(first, pixel, right=True) - begin).amax()) if count else 0
    begin = begin.clamp(max=max(0, count - longest))
    sample = begin[:, None] + torch.arange(longest, device=first.device)
    tap = pixel[:, None] - first[sample]
    back = weight[sample, tap.clamp(0, reach - 1)]
    return Taps(begin, torch.where((tap >= 0) & (tap < reach), back, 0.0))
