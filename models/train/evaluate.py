"""Measures a model on benchmark folders: decibels and similarity, beside bicubic, teacher or input, and what they cost.

Super-resolution and restoration are scored on whole pictures, not tiles; LR files are as given or made as they were. It
trains nothing; tables are the business of `models.train.report`.
Protocol: HR cropped to LR times scale, border of `scale` pixels shaved, clamped; PSNR is not rounded, SSIM is
taken of 8-bit levels, luma too, as MATLAB gives them. A grey file is scored by its own values, not by a luma of them.
What restores is measured by `models.train.restoration`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.ops import lut3d_apply
from models import catalog
from models import weights as weight_files
from models.cards import ALL, CARDS
from models.contract import Axis, Upscaler, View
from models.lut3d import Lut3D
from models.train.benchmarks import Pair, find_sets, read_pairs, read_retouched
from models.train.data import Pixels, list_pictures, read_rgb, resize
from models.train.recipes.lut3d import read_teacher
from models.train.restoration import Restored
from models.train.scores import delta_e, luma, psnr, psnr_rgb, shave, ssim
from models.train.spectrum import detail_db

SCALES = (2.0, 3.0, 4.0)
LARGE_SCALES = (6.0, 8.0)
LARGE_SETS = ("Set5", "Set14")
JPEG_QUALITY = 75
WIDEST_HALO = 36
BICUBIC = "bicubic (Pillow)"
TEACHER = "ia3dlut_fivek_paired"
RETOUCHED_SETS, UNPAIRED_SET = ("fivek9",), "kodak24"
Picture = NDArray[np.floating]


@dataclass(frozen=True)
class Upscaled:
    """Means over the pictures of a set; `ms_per_mp`, milliseconds for a megapixel of output, is their median.

    `detail_db`: energy of the finest octave of luma above the original's; None: measured before it was looked at.
    """

    model: str
    set: str
    scale: float
    jpeg: int | None
    pictures: int
    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    ms_per_mp: float
    detail_db: float | None = None


@dataclass(frozen=True)
class Retouched:
    """Means over the pictures of a set, in RGB against `against`; spread is the standard deviation over them."""

    model: str
    set: str
    against: str
    pictures: int
    psnr: float
    psnr_spread: float
    psnr_min: float
    psnr_max: float
    ssim: float
    delta_e: float


Row = Upscaled | Retouched | Restored


@dataclass(frozen=True)
class Task:
    """One row to be measured."""

    name: str
    folder: Path
    scale: float
    jpeg: int | None = None


def plan(data: Path, sets: Iterable[str] = (), scales: Iterable[float] = (), jpeg: Iterable[int] = ()) -> list[Task]:
    """What is measured: all sets, x2 to x4 clean and as JPEG, beyond only clean and on small sets, or as given.

    Raises FileNotFoundError for a set that is not there.
    """
    known = find_sets(data)
    missing = [name for name in sets if name not in known]
    if missing or not known:
        raise FileNotFoundError(
            f"no set {', '.join(missing) or 'at all'} below {data}; found {', '.join(known) or 'none'}"
        )
    chosen = {name: known[name] for name in sets} if sets else known
    tasks = []
    for name, folder in chosen.items():
        usual = (*SCALES, *(LARGE_SCALES if name in LARGE_SETS else ()))
        tasks += [Task(name, folder, scale) for scale in scales or usual]
        for quality in jpeg or (JPEG_QUALITY,):
            tasks += [Task(name, folder, scale, quality) for scale in scales or SCALES if quality > 0]
    return tasks


def evaluate_upscaler(name: str, model: Upscaler, tasks: list[Task], device: str = "cpu") -> list[Upscaled]:
    """A row of the model and one of bicubic for each task."""
    halo = halo_of(name)
    rows: list[Upscaled] = []
    for task in tasks:
        pairs = list(read_pairs(task.folder, task.scale, task.jpeg))
        ours = summarise(name, task, [judge(model, pair, task.scale, device, halo) for pair in pairs])
        bicubic = summarise(BICUBIC, task, [judge(None, pair, task.scale) for pair in pairs])
        heading = f"{task.name} x{task.scale:g}" + (f" JPEG {task.jpeg}" if task.jpeg else "")
        print(f"{heading}: Y {ours.psnr_y:.2f} dB ({bicubic.psnr_y:.2f}), {ours.ms_per_mp:.0f} ms/MP", flush=True)
        rows += [ours, bicubic]
    return rows


def halo_of(name: str) -> int:
    """Input pixels around the picture that the card asks for; none for a model that sees the whole of it."""
    return next((card.frame or card.halo for card in ALL if card.name == name), 0)


def summarise(name: str, task: Task, scores: list[dict[str, float]]) -> Upscaled:
    cost = float(np.median([one.pop("ms_per_mp") for one in scores]))
    means = {key: float(np.mean([one[key] for one in scores])) for key in scores[0]}
    return Upscaled(name, task.name, task.scale, task.jpeg, len(scores), **means, ms_per_mp=cost)


def judge(
    model: Upscaler | None, pair: Pair, scale: float, device: str = "cpu", halo: int = WIDEST_HALO
) -> dict[str, float]:
    """Scores of one picture and what it took; without a model, of Pillow's bicubic."""
    size = (pair.hr.shape[0], pair.hr.shape[1])
    hr = pair.hr.astype(np.float64) / 255
    began = time.perf_counter()
    sr = upscale(model, pair.lr, size, device, halo) if model else resize(pair.lr, size).astype(np.float64) / 255
    seconds = time.perf_counter() - began
    brightness = (lambda picture: picture.mean(-1)) if pair.grey else luma
    sr_y, hr_y = shave(brightness(sr), scale), shave(brightness(hr), scale)
    return {
        "psnr_y": psnr(sr_y, hr_y),
        "ssim_y": ssim(in_levels(sr_y), in_levels(hr_y)),
        "psnr_rgb": psnr_rgb(sr, hr, scale),
        "ssim_rgb": ssim(in_levels(shave(sr, scale)), shave(hr, scale)),
        "ms_per_mp": 1e9 * seconds / (size[0] * size[1]),
        "detail_db": detail_db(sr_y, hr_y),
    }


def in_levels(values: Picture) -> Picture:
    """Rounded to what 8 bits hold."""
    return np.round(values * 255) / 255


def upscale(
    model: Upscaler, lr: Pixels, out_size: tuple[int, int], device: str = "cpu", halo: int = WIDEST_HALO
) -> Picture:
    """The whole picture as one window, continued by reflection as in service; clamped to [0, 1]."""
    height, width = lr.shape[:2]
    top, left = min(halo, height - 1), min(halo, width - 1)
    padded = np.pad(lr, ((top, top), (left, left), (0, 0)), mode="reflect")
    window = torch.from_numpy(padded.astype(np.float32) / 255).permute(2, 0, 1)[None].to(device)
    rows = Axis(0, out_size[0], out_size[0], height, -top)
    cols = Axis(0, out_size[1], out_size[1], width, -left)
    with torch.inference_mode():
        (sr,) = model(window, [View(rows, cols)])
    picture: Picture = sr.clamp(0, 1).permute(1, 2, 0).double().cpu().numpy()
    return picture


def evaluate_retoucher(name: str, model: Lut3D, data: Path, sets: Iterable[str] = RETOUCHED_SETS) -> list[Retouched]:
    """Against the target on sets of pairs, with input and teacher beside; against the teacher on kodak24."""
    teacher = read_teacher(data / "weights" / TEACHER) if (data / "weights" / TEACHER).is_dir() else None
    judged = {name: model, "teacher": teacher} if teacher else {name: model}

    rows: list[Retouched] = []
    for set_name, folder in find_sets(data, "input").items():
        if set_name not in sets:
            continue
        inputs, targets = zip(*read_retouched(folder), strict=True)
        for who, network in judged.items():
            rows.append(compare(who, set_name, "target", [retouch(network, before) for before in inputs], targets))
        rows.append(compare("input", set_name, "target", inputs, targets))

    if teacher and (data / "bench" / UNPAIRED_SET).is_dir():
        photos = [read_rgb(path) for path in list_pictures(data / "bench" / UNPAIRED_SET)]
        taught = [retouch(teacher, photo) for photo in photos]
        rows.append(compare(name, UNPAIRED_SET, "teacher", [retouch(model, photo) for photo in photos], taught))
        rows.append(compare("input", UNPAIRED_SET, "teacher", photos, taught))

    if not rows:
        raise FileNotFoundError(f"below {data} lie neither {', '.join(sets)} nor {UNPAIRED_SET} with the teacher")
    return rows


def compare(model: str, name: str, against: str, ours: Sequence[Pixels], wanted: Sequence[Pixels]) -> Retouched:
    pairs = [(a.astype(np.float64) / 255, b.astype(np.float64) / 255) for a, b in zip(ours, wanted, strict=True)]
    decibels = np.array([psnr(a, b) for a, b in pairs])
    row = Retouched(
        model=model,
        set=name,
        against=against,
        pictures=len(pairs),
        psnr=float(decibels.mean()),
        psnr_spread=float(decibels.std(ddof=1)) if len(pairs) > 1 and np.isfinite(decibels).all() else 0.0,
        psnr_min=float(decibels.min()),
        psnr_max=float(decibels.max()),
        ssim=float(np.mean([ssim(a, b) for a, b in pairs])),
        delta_e=float(np.mean([delta_e(a, b) for a, b in pairs])),
    )
    print(
        f"{name} {model} against {against}: {row.psnr:.2f} dB (spread {row.psnr_spread:.2f}), dE {row.delta_e:.2f}",
        flush=True,
    )
    return row


def retouch(model: Lut3D, pixels: Pixels) -> Pixels:
    """The picture as served: predictor on the reduced picture, one look-up."""
    picture = torch.from_numpy(np.array(pixels))
    with torch.inference_mode():
        lut = model.lut(picture.permute(2, 0, 1)[None].float() / 255)
        return lut3d_apply(picture, lut).numpy()


def scores_of(rows: Sequence[Row], name: str) -> dict[str, float]:
    """The rows as they stand on a card, {'Set5 x2 Y': dB, 'Set5 x2 Y bicubic': dB, ...}."""
    scores: dict[str, float] = {}
    for row in rows:
        if isinstance(row, Upscaled):
            key = f"{row.set} x{row.scale:g}" + (f" JPEG {row.jpeg}" if row.jpeg else "")
            beside = "" if row.model == name else " bicubic"
            scores[f"{key} Y{beside}"] = round(row.psnr_y, 2)
            if not beside:
                scores |= {f"{key} Y SSIM": round(row.ssim_y, 4), f"{key} RGB": round(row.psnr_rgb, 2)}
        elif isinstance(row, Restored):
            key = f"{row.set} {row.damage} RGB"
            scores |= {key: round(row.psnr, 2), f"{key} SSIM": round(row.ssim, 4)}
            if row.psnr_input is not None:
                scores[f"{key} input"] = round(row.psnr_input, 2)
            elif row.largest is not None:
                scores[f"{key} largest change"] = round(row.largest, 1)
            if row.psnr_y is not None and "JPEG" in row.damage:
                scores[f"{row.set} {row.damage} Y"] = round(row.psnr_y, 2)
        else:
            key = f"{row.set} RGB" + (" against teacher" if row.against == "teacher" else "")
            beside = "" if row.model == name else f" {row.model}"
            scores[key + beside] = round(row.psnr, 2)
            if not beside:
                scores |= {f"{key} spread": round(row.psnr_spread, 2), f"{key} dE 76": round(row.delta_e, 2)}
    return scores


def keep_scores(path: Path, scores: dict[str, float]) -> str:
    """Writes the scores into the header of a weight file; returns its new sha256. The tensors stay bit for bit."""
    weights = weight_files.load(path)
    return weight_files.save(path, dataclasses.replace(weights, facts={**weights.facts, "scores": scores}))


def read_model(
    name: str, path: Path | None = None, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Any, str | None]:
    """The network in a weight file, or the served one, in eval mode; and the hash of its weights."""
    if path is None and name in CARDS:
        return catalog.load(name, device, dtype), CARDS[name].sha256
    path = path or catalog.OUR_WEIGHTS / f"{name}.safetensors"
    weights = weight_files.load(path)
    network = catalog.build(name, weights.config)
    weight_files.fill(network, weights.state_dict, name)
    return catalog.serve(network, device, dtype), hashlib.sha256(path.read_bytes()).hexdigest()
