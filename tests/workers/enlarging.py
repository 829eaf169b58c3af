"""A small network, pictures and an observer, for the tests of what the engine does tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import catalog
from models.classical import KERNELS, Resampler
from models.contract import Upscaler, View
from workers.engine.device import cpu_has_bf16
from workers.engine.engine import Engine
from workers.engine.passes import NullObserver
from workers.operations.sizes import SizeAsked, target_size
from workers.pictures.picture import Picture

CLASSICAL = ("nearest", "bilinear", "bicubic", "lanczos", "fourier")
WHOLE = "99999"
# On a processor: auto is bfloat16 where it multiplies that itself, and fp32 once more elsewhere.
PRECISIONS = ("fp32", "auto") if cpu_has_bf16() else ("fp32",)


class ConvNet(nn.Module):
    """Random and small, in the manner of EDSR: residual blocks on the input grid, then a blend that knows its phase."""

    HALO = 6  # head, two blocks of two, and the blend's next feature is within the two pixels around a sample

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)) for _ in range(2)
        )
        self.tail = nn.Conv2d(9, 3, 1)
        self.blend = Resampler(KERNELS["bilinear"])
        self.requires_grad_(False)

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        feat = self.head(windows)
        for block in self.blocks:
            feat = feat + block(feat)
        return [self._tile(feat[n : n + 1], view) for n, view in enumerate(views)]

    def _tile(self, feat: Tensor, view: View) -> Tensor:
        (blended,) = self.blend(feat, [view])
        phase = torch.outer(view.rows.positions()[1], view.cols.positions()[1])
        return torch.sigmoid(self.tail(torch.cat([blended, phase[None]])[None])[0])


class Counting(NullObserver):
    """Observes into numbers."""

    def __init__(self) -> None:
        self.models: set[str] = set()
        self.seen = {"tiles": 0, "oom": 0, "nonfinite": 0}
        self.batches: list[int] = []

    def tiles(self, model: str, count: int) -> None:
        self.models.add(model)
        self.seen["tiles"] += count

    def batch(self, model: str, size: int) -> None:
        self.batches.append(size)

    def oom_retry(self, model: str) -> None:
        self.seen["oom"] += 1

    def nonfinite_retry(self, model: str) -> None:
        self.seen["nonfinite"] += 1


def quiet(done: int, total: int) -> None:
    pass


def picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(pixels, alpha, None, None, "png", False)


def noise(height: int = 61, width: int = 83, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    top = np.iinfo(kind).max
    return np.random.default_rng(7).integers(0, top, (height, width, channels), dtype=kind, endpoint=True)


def enlarge(engine: Engine, source: Picture, model: str, scale: str = "2") -> Picture:
    height, width = target_size(source.pixels.shape[0], source.pixels.shape[1], SizeAsked(scale=scale))
    return engine.upscale(source, model=model, height=height, width=width, tick=quiet)


def apart(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def hole(size: int = 48) -> np.ndarray:
    alpha = np.full((size, size), 255, np.uint8)
    cv2.circle(alpha, (size // 2, size // 2), size // 4, 0, -1)
    return alpha


def starved(limit: int, error: Callable[[str], Exception]) -> Callable[[], Upscaler]:
    """A real network on a device with room for `limit` window pixels."""

    class Starved(ConvNet):
        def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
            if windows.shape[0] * windows.shape[2] * windows.shape[3] > limit:
                raise error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes")
            return super().forward(windows, views)

    return Starved


class Overflowing(ConvNet):
    """In half precision every third tile overflows, or all do in every precision."""

    def __init__(self, value: float, always: bool) -> None:
        super().__init__()
        self._value = value
        self._always = always
        self._calls = 0

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        made = super().forward(windows, views)
        self._calls += 1
        if self._always or self._calls % 3 == 0:
            made[0][1, 3, 4] = self._value
        return made


def in_half(engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch, *, full: Upscaler, half: Upscaler) -> None:
    """Serves `half` as the model's reduced and `full` as its float32 twin."""
    monkeypatch.setattr(engine, "_dtype", lambda *_: torch.bfloat16)
    twins = {torch.bfloat16: half, torch.float32: full}
    monkeypatch.setattr(catalog, "load", lambda name, *, dtype, **_: twins[dtype])
