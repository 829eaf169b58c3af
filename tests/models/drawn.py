"""Drawn pictures in folders laid out like the real data, for tests of training and evaluation."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.lut3d import Lut3D


def draw_photo(path: Path, size: tuple[int, int], seed: int) -> None:
    """Smooth colours and some grain, (height, width)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth = np.asarray(small.resize((size[1], size[0]), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.integers(-20, 21, (*size, 3))
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path)


def draw_data(root: Path) -> Path:
    for k in range(3):
        draw_photo(root / "train" / "photos" / f"p{k}.png", (64 + k, 80), k)
        draw_photo(root / "train" / "retouch" / "input" / f"r{k}.png", (50, 60), 10 + k)
        draw_photo(root / "train" / "retouch" / "target" / f"r{k}.png", (50, 60), 20 + k)
        draw_photo(root / "bench" / "Set5" / "HR" / f"b{k}.png", (48, 61), 30 + k)
        draw_photo(root / "bench" / "kodak24" / f"k{k}.png", (40, 60), 40 + k)
        draw_photo(root / "bench" / "fivek9" / "input" / f"f{k}.png", (40, 60), 50 + k)
        draw_photo(root / "bench" / "fivek9" / "target" / f"f{k}.png", (40, 60), 60 + k)
    draw_teacher(root / "weights" / "ia3dlut_fivek_paired")
    return root


def draw_teacher(folder: Path) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(5)
    teacher = Lut3D()
    torch.save({str(k): {"LUT": teacher.luts.data[k]} for k in range(3)}, folder / "LUTs.pth")
    torch.save(teacher.classifier.state_dict(), folder / "classifier.pth")


def real_set(name: str) -> Path:
    """A benchmark below LUTRA_DATA; skips the test where it is not at hand."""
    folder = Path(os.environ.get("LUTRA_DATA", "/nowhere")) / "bench" / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not at hand: LUTRA_DATA names no folder with bench/{name}")
    return folder
