"""`python -m models.train evaluate NAME --data DIR`: the scores that stand on the cards, with bicubic beside them.

Super-resolution is scored on whole pictures, not tiles, from the LR files as given (x2 to x4) or from LR made by Pillow
(x6, x8). It trains nothing and writes nothing but the table it prints.
Protocol: reference/HR cropped to LR times scale, border of `scale` pixels shaved, clamped, not rounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.ops import lut3d_apply
from models import catalog
from models import weights as weight_files
from models.contract import Axis, Upscaler, View
from models.lut3d import Lut3D
from models.train.data import Pixels, list_pictures, read_rgb, resize
from models.train.recipes.lut3d import read_teacher
from models.train.scores import psnr, psnr_rgb, psnr_y

SETS = ("Set5", "Set14", "BSD100")
SCALES = (2, 3, 4)
LARGE_SCALES = (6, 8)
Picture = NDArray[np.floating]


def evaluate(name: str, weights: Path | None, data: Path) -> dict[str, float]:
    """Scores of a model of the catalogue, or of a weight file of it."""
    model = catalog.load(name) if weights is None else read_model(name, weights)
    if isinstance(model, Lut3D):
        return evaluate_lut3d(model, read_teacher(data / "weights" / "ia3dlut_fivek_paired"), data)
    return evaluate_upscaler(model, data) | evaluate_upscaler(model, data, ("Set5", "Set14"), LARGE_SCALES)


def keep_scores(path: Path, scores: dict[str, float]) -> str:
    """Writes the scores into the header of a weight file; returns its new sha256. The tensors stay bit for bit."""
    found = weight_files.load(path)
    rounded = {key: round(value, 3) for key, value in scores.items()}
    return weight_files.save(path, dataclasses.replace(found, facts={**found.facts, "scores": rounded}))


def read_model(name: str, path: Path) -> Any:
    """The network in a weight file, in eval mode and float32."""
    found = weight_files.load(path)
    network = catalog.build(name, found.config)
    weight_files.fill(network, found.state_dict, name)
    return network.eval().requires_grad_(False)


def evaluate_upscaler(
    model: Upscaler, data: Path, sets: tuple[str, ...] = SETS, scales: tuple[int, ...] = SCALES, halo: int = 36
) -> dict[str, float]:
    """{'Set5 x2 Y': dB, 'Set5 x2 Y bicubic': dB, ...}; means over the pictures of each set."""
    scores: dict[str, float] = {}
    for name in sets:
        for scale in scales:
            rows = [judge(model, lr, hr, scale, halo) for lr, hr in pairs(data / "bench" / name, scale)]
            for key in rows[0]:
                scores[f"{name} x{scale} {key}"] = float(np.mean([row[key] for row in rows]))
            print("  ".join(f"{k} {v:.3f}" for k, v in list(scores.items())[-4:]), flush=True)
    return scores


def judge(model: Upscaler, lr: Pixels, hr: Pixels, scale: int, halo: int) -> dict[str, float]:
    """Scores of one picture, and those of bicubic."""
    reference = hr.astype(np.float64) / 255
    sr = upscale(model, lr, (hr.shape[0], hr.shape[1]), halo)
    bicubic = resize(lr, (hr.shape[0], hr.shape[1])).astype(np.float64) / 255
    return {
        "Y": psnr_y(sr, reference, scale),
        "RGB": psnr_rgb(sr, reference, scale),
        "Y bicubic": psnr_y(bicubic, reference, scale),
        "RGB bicubic": psnr_rgb(bicubic, reference, scale),
    }


def upscale(model: Upscaler, lr: Pixels, out_size: tuple[int, int], halo: int = 36) -> Picture:
    """The whole picture as one window, continued by reflection as in service; clamped to [0, 1]."""
    height, width = lr.shape[:2]
    top, left = min(halo, height - 1), min(halo, width - 1)
    padded = np.pad(lr, ((top, top), (left, left), (0, 0)), mode="reflect")
    window = torch.from_numpy(padded.astype(np.float32) / 255).permute(2, 0, 1)[None]
    rows = Axis(0, out_size[0], out_size[0], height, -top)
    cols = Axis(0, out_size[1], out_size[1], width, -left)
    with torch.inference_mode():
        (sr,) = model(window, [View(rows, cols)])
    picture: Picture = sr.clamp(0, 1).permute(1, 2, 0).double().numpy()
    return picture


def pairs(folder: Path, scale: int) -> Iterator[tuple[Pixels, Pixels]]:
    """(LR, HR) of a benchmark folder; LR made by Pillow's bicubic where the folder has none of this scale."""
    for path in list_pictures(folder / "HR"):
        hr = read_rgb(path)
        small = next(iter((folder / f"LRx{scale}").glob(f"{path.stem}.*")), None) if scale in SCALES else None
        size = (hr.shape[0] // scale, hr.shape[1] // scale)
        lr = read_rgb(small) if small else resize(hr[: size[0] * scale, : size[1] * scale], size)
        yield lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale]


def evaluate_lut3d(model: Lut3D, teacher: Lut3D, data: Path) -> dict[str, float]:
    """dB against the teacher on kodak24; against expert C on fivek9, with the teacher and the input beside."""
    kodak = [read_rgb(path) for path in list_pictures(data / "bench" / "kodak24")]
    inputs = list_pictures(data / "bench" / "fivek9" / "input")
    targets = list_pictures(data / "bench" / "fivek9" / "target")
    expert = [(read_rgb(a), read_rgb(b)) for a, b in zip(inputs, targets, strict=True)]
    return {
        "kodak24 RGB against teacher": mean(lambda p: psnr_8bit(retouch(model, p), retouch(teacher, p)), kodak),
        "kodak24 RGB input against teacher": mean(lambda p: psnr_8bit(p, retouch(teacher, p)), kodak),
        "fivek9 RGB": mean(lambda p: psnr_8bit(retouch(model, p[0]), p[1]), expert),
        "fivek9 RGB teacher": mean(lambda p: psnr_8bit(retouch(teacher, p[0]), p[1]), expert),
        "fivek9 RGB input": mean(lambda p: psnr_8bit(p[0], p[1]), expert),
        "fivek9 RGB against teacher": mean(lambda p: psnr_8bit(retouch(model, p[0]), retouch(teacher, p[0])), expert),
    }


def retouch(model: Lut3D, pixels: Pixels) -> Pixels:
    """The picture as served: predictor on the reduced picture, one look-up."""
    picture = torch.from_numpy(np.array(pixels))
    with torch.inference_mode():
        lut = model.lut(picture.permute(2, 0, 1)[None].float() / 255)
        return lut3d_apply(picture, lut).numpy()


def psnr_8bit(a: Pixels, b: Pixels) -> float:
    return psnr(a.astype(np.float64) / 255, b.astype(np.float64) / 255)


def mean(score: Callable[[Any], float], items: list[Any]) -> float:
    return float(np.mean([score(item) for item in items]))
