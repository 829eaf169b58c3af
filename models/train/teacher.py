"""What a published SPAN makes of our photographs, made small as the benchmarks were: a second answer to learn from.

Each photograph is made small as a whole, shown to the teacher in its eight flips and transposes, and the mean is kept
in 8 bits in a cache folder, where it is looked up ever after. It decides nothing about how much the answers count.
Source: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops 2017, section
3.4 (geometric self-ensemble).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import convert
from models.contract import Axis, View
from models.layout import channels_last
from models.span import Span, SpanConfig, SpanScale
from models.srresnet import take
from models.train.data import Photos, Pixels, shrink_bicubic
from models.weights import fill

FOLDER = "weights/span"  # of the data folder: the published files
TURNS = 8


@dataclass(frozen=True)
class Lesson:
    """One photograph at one scale: the small picture (h, w, 3) and the teacher's answer (scale h, scale w, 3)."""

    small: Pixels
    answer: Pixels


@dataclass(frozen=True)
class Teacher:
    """Networks by scale; `sha256` is over the files that they come from."""

    networks: Mapping[int, SpanScale]
    sha256: str


def find_teacher(data: Path, channels: int) -> Teacher | None:
    """The published networks of so many channels; None where the data folder has none."""
    paths = sorted((data / FOLDER).glob(f"*_ch{channels}.safetensors"))
    if not paths:
        return None
    published = convert.span_weights([convert.read_checkpoint(path) for path in paths])
    span = Span(SpanConfig(**published.config))
    fill(span, published.state_dict, "span")
    channels_last(span).eval().requires_grad_(False)
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths))
    return Teacher({scale: span.of[f"x{scale}"] for scale in span.config.scales}, digest.hexdigest())  # type: ignore[misc]


def lessons(photos: Photos, teacher: Teacher, scale: int, cache: Path, make: bool = True) -> dict[int, Lesson]:
    """The lessons of one scale by the number of the photograph; those not yet in the cache are made, or left out."""
    folder = cache / f"lessons-{photos.sha256[:16]}-{teacher.sha256[:16]}-x{scale}"
    folder.mkdir(parents=True, exist_ok=True)
    known = {}
    for number, photo in enumerate(photos.pixels):
        if not (folder / f"{number}-answer.npy").is_file():
            if not make:
                continue
            write_lesson(folder, number, teach(photo, teacher.networks[scale], scale))
        small, answer = (np.load(folder / f"{number}-{what}.npy", mmap_mode="r") for what in ("small", "answer"))
        known[number] = Lesson(small, answer)
    return known


def write_lesson(folder: Path, number: int, lesson: Lesson) -> None:
    """The answer comes last and in one step: where it is, the lesson is complete."""
    np.save(folder / f"{number}-small.npy", lesson.small)
    np.save(folder / f"{number}-part.npy", lesson.answer)
    (folder / f"{number}-part.npy").replace(folder / f"{number}-answer.npy")


def teach(photo: Pixels, network: SpanScale, scale: int) -> Lesson:
    height, width = (side // scale for side in photo.shape[:2])
    small = shrink_bicubic(photo[: height * scale, : width * scale], (height, width))
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    answer = ensemble(network, x)[0].clamp(0, 1).mul(255).round().byte()
    return Lesson(small, answer.permute(1, 2, 0).contiguous().numpy())


@torch.inference_mode()
def answer(teacher: Teacher, small: NDArray[np.uint8], side: int) -> list[Pixels]:
    """What the network of the next scale, or the largest, makes of small pictures (N, h, h, 3), resized to `side`."""
    scale = next((scale for scale in sorted(teacher.networks) if scale * small.shape[1] >= side), max(teacher.networks))
    axis = Axis(0, side, side, small.shape[1], 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fine = teacher.networks[scale].enlarge(torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255)
    samples = take(fine.flatten(0, 1), View(axis, axis), scale).view(*fine.shape[:2], side, side)
    return list(samples.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy())


@torch.inference_mode()
def ensemble(network: SpanScale, x: Tensor) -> Tensor:
    """The mean of what the network makes of the eight flips and transposes."""
    answers = (turned(network.enlarge(turned(x, which)), which, back=True) for which in range(TURNS))
    return mean_of(answers)


def mean_of(tensors: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(0)


def turned(x: Tensor, which: int, back: bool = False) -> Tensor:
    """One of the eight flips and transposes of (..., h, w), or its inverse."""
    axes = [axis for bit, axis in ((1, -1), (2, -2)) if which & bit]
    if back:
        x = x.flip(axes)
        return x.transpose(-1, -2) if which & 4 else x
    x = x.transpose(-1, -2) if which & 4 else x
    return x.flip(axes)
