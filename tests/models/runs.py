"""Small runs of three recipes, by the loop and by the command line, and what they left in their logs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.liif import LiifConfig
from models.train import loop
from models.train.recipes import liif, liif_real, lut3d
from models.train.run import Budget, Run

SMALL = {
    "liif": Budget(minutes=1, batch=2, lr=1e-4, patch=12, queries=20, steps=2),
    "liif-real": Budget(minutes=1, batch=2, lr=1e-4, patch=12, queries=20, steps=2),
    "lut3d": Budget(minutes=1, batch=2, lr=1e-4, patch=256, queries=16, steps=2),
}
MODULES: dict[str, Any] = {"liif": liif, "liif-real": liif_real, "lut3d": lut3d}
TINY = LiifConfig(width=16, blocks=2, hidden=32, bilinear_base=True, cell_scale_limit=4.0)


def small(name: str, **changed: Any) -> Any:
    recipe = MODULES[name].Recipe(dataclasses.replace(SMALL[name], **changed))
    if name == "lut3d":
        return dataclasses.replace(recipe, pair_every=2)
    return dataclasses.replace(recipe, config=TINY)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def curve(out: Path) -> dict[int, float]:
    """{step: loss} of a run's log."""
    return {line["step"]: line["loss"] for line in lines(out) if "loss" in line}


def words(name: str, data: Path, out: Path, *more: str) -> list[str]:
    threads = ["--threads", str(torch.get_num_threads())]
    shrunk = ["--batch", "2", "--set", "budget.patch=12", "--set", "budget.queries=16", "--device", "cpu"]
    if name != "lut3d":
        shrunk += [word for key in ("width=16", "blocks=2", "hidden=32") for word in ("--set", f"config.{key}")]
    return [name, "--data", str(data), "--out", str(out), *shrunk, *threads, *more]


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """A real signal arrives during that step."""
    whole: Callable[..., Any] = loop.step

    def step(recipe: Any, run: Run, *more: Any) -> Any:
        if run.step + 1 == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(recipe, run, *more)

    monkeypatch.setattr(loop, "step", step)
