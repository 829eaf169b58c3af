"""Measures a restorer on pairs of a spoilt picture and its original, beside the spoilt one, and what it costs.

Whole pictures, not tiles. Protocol of AirNet's authors: nothing is shaved, RGB, PSNR and SSIM (uniform window) of
floats clamped to [0, 1]. Of what came in sound the largest change says more than the decibels.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.contract import ConditionedRestorer, Restorer
from models.look import look_at
from models.train.benchmarks import Trial, read_trial
from models.train.scores import Picture, luma, psnr, ssim_uniform

MOST_DB = 100.0
Array = NDArray[Any]  # (H, W, 3), uint8 or uint16
AnyRestorer = Restorer | ConditionedRestorer


@dataclass(frozen=True)
class Restored:
    """Means over the pictures of a set in RGB, and those of the spoilt input (None where it is the original);
    `ms_per_mp`, milliseconds for a megapixel, is their median.

    Over all the pictures, in levels of 255: `largest`, the largest difference of any value to the original;
    `mean_moved`, of any channel's mean. None: measured before they were looked at, as `psnr_y`, of luma."""

    model: str
    set: str
    damage: str
    pictures: int
    psnr: float
    ssim: float
    psnr_input: float | None
    ssim_input: float
    ms_per_mp: float
    psnr_y: float | None = None
    largest: float | None = None
    mean_moved: float | None = None


def evaluate_restorer(
    name: str, model: AnyRestorer, trials: Iterable[Trial], device: str = "cpu", first: int | None = None
) -> list[Restored]:
    """A row for each trial; with `first` of the first pictures alone, which is a look and no score."""
    rows: list[Restored] = []
    for trial in trials:
        scores = [judge_restored(model, spoilt, clean, device) for spoilt, clean in read_trial(trial, first)]
        cost = float(np.median([one.pop("ms_per_mp") for one in scores]))
        most = {key: float(np.max([one.pop(key) for one in scores])) for key in ("largest", "mean_moved")}
        means = {key: float(np.mean([one[key] for one in scores])) for key in scores[0]}
        before = means.pop("psnr_input")
        given = before if np.isfinite(before) else None
        row = Restored(name, trial.set, trial.damage, len(scores), **means, **most, psnr_input=given, ms_per_mp=cost)
        worst = f"largest {row.largest:.1f}, mean moved {row.mean_moved:.2f}"
        print(f"{trial.set} {trial.damage}: {row.psnr:.2f} dB ({before:.2f}), {worst}, {cost:.0f} ms/MP", flush=True)
        rows.append(row)
    return rows


def judge_restored(model: AnyRestorer, spoilt: Array, clean: Array, device: str = "cpu") -> dict[str, float]:
    """Scores of one picture and of its input, and what it took; the original's equal counts as MOST_DB."""
    began = time.perf_counter()
    restored = restore(model, spoilt, device)
    seconds = time.perf_counter() - began
    wanted, given = (one.astype(np.float64) / np.iinfo(one.dtype).max for one in (clean, spoilt))
    apart = restored - wanted
    return {
        "psnr": min(MOST_DB, psnr(restored, wanted)),
        "psnr_y": min(MOST_DB, psnr(luma(restored), luma(wanted))),
        "ssim": ssim_uniform(restored, wanted),
        "psnr_input": psnr(given, wanted),
        "ssim_input": ssim_uniform(given, wanted),
        "largest": 255 * float(np.abs(apart).max()),
        "mean_moved": 255 * float(np.abs(apart.mean((0, 1))).max()),
        "ms_per_mp": 1e9 * seconds / (clean.shape[0] * clean.shape[1]),
    }


def restore(model: AnyRestorer, spoilt: Array, device: str = "cpu") -> Picture:
    """The whole picture as one window, under a look at it where the model wants one; clamped to [0, 1]."""
    top = float(np.iinfo(spoilt.dtype).max)
    window = torch.from_numpy(spoilt.astype(np.float32)).to(device).permute(2, 0, 1)[None] / top
    with torch.inference_mode():
        if isinstance(model, ConditionedRestorer):
            restored = model(window, model.examine(look_at(spoilt).to(window.device))[0])
        else:
            restored = model(window)
        picture: Picture = restored[0].clamp(0, 1).permute(1, 2, 0).double().cpu().numpy()
    return picture
