"""A new model touches seven places at most (CONTRIBUTING.md, "Add a model"): one is added to a copy by these alone.

Five are made here. The other two, its section of docs/models.md and its tests, nothing reads to serve it.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import weights
from models.cards import BY_NAME
from models.weights import Weights

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("kernels", "models", "service", "workers")

NETWORK = '''
from dataclasses import dataclass

from torch import nn

from models.classical import KERNELS, Resampler


@dataclass(frozen=True)
class BrightConfig:
    gain: float = 1.0


class Bright(nn.Module):
    """Bilinear, and brighter by what it learnt."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.offset = nn.Conv2d(3, 3, 1)

    def forward(self, windows, views):
        brighter = windows + self.config.gain * self.offset(windows)
        return Resampler(KERNELS["bilinear"])(brighter, views)
'''
CARD = """
BRIGHT = Card(
    name="bright",
    task="upscale",
    title="Brighter",
    paper="none",
    parameters=12,
    licence="Apache-2.0",
    max_scale=8.0,
    file="bright.safetensors",
    sha256="{sha256}",
)

ALL = (BRIGHT, """
RECIPE = """
from dataclasses import dataclass

from models.train.run import Budget

BUDGETS = {"cpu": Budget(minutes=1, batch=1, lr=1e-3, patch=8)}


@dataclass
class Recipe:
    budget: Budget
    name: str = "bright"
"""
SERVED = """
import sys

sys.meta_path = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]  # of this checkout
import numpy as np
from models.cards import available
from models.train import __main__ as command
from service.cli import main
from workers.engine.engine import Engine
from workers.operations.choice import candidates
from workers.pictures.picture import Picture

assert "bright" in available()
assert "bright" in [card.name for card in candidates(available().values())]
assert command.read_arguments(["bright", "--data", "nowhere", "--device", "cpu"]).name == "bright"
grey = Picture(np.full((9, 9, 3), 100, np.uint8), None, None, None, "png", False)
found = Engine(device="cpu").upscale(grey, model="bright", height=30, width=30, tick=lambda done, total: None)
assert (found.pixels == 102).all(), found.pixels
main(["models"])
"""


def add_bright(root: Path) -> None:
    """A network, its weights, its card, its builder, its recipe."""
    (root / "models/bright.py").write_text(NETWORK)
    state = {"offset.weight": torch.zeros(3, 3, 1, 1), "offset.bias": torch.full((3,), 2 / 255)}
    sha256 = weights.save(root / "models/weights/bright.safetensors", Weights("bright", {"gain": 1.0}, state, {}))
    insert(root / "models/cards/upscale.py", r"\nALL = \(", CARD.format(sha256=sha256))
    builder = '    "bright": plain(Bright, BrightConfig),\n'
    insert(
        root / "models/catalog.py", r"from models\.cards import", "from models.bright import Bright, BrightConfig\n", 0
    )
    insert(root / "models/catalog.py", r"NETWORKS: .*\n", builder, 1)
    (root / "models/train/recipes/bright.py").write_text(RECIPE)


def insert(path: Path, pattern: str, text: str, after: int | None = None) -> None:
    """In place of what the pattern matches; with `after`, before (0) or behind (1) it."""
    before = path.read_text()
    (seen,) = re.finditer(pattern, before)
    start, end = (seen.start(), seen.end()) if after is None else (seen.span()[after],) * 2
    path.write_text(before[:start] + text + before[end:])


@pytest.mark.parametrize("path", ["workers/engine", "workers/operations/choice.py", "workers/operations/speeds.py"])
def test_the_engine_and_the_choice_read_cards_and_never_names(path: str) -> None:
    named = [
        f"{file.name}:{node.lineno}"
        for file in ((ROOT / path).rglob("*.py") if (ROOT / path).is_dir() else [ROOT / path])
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in BY_NAME
    ]
    assert named == []


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The rooms once more: the models to be changed, the others as they are."""
    unwanted = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=unwanted)
    for room in set(ROOMS) - {"models"}:
        (tmp_path / room).symlink_to(ROOT / room)
    return tmp_path


def test_a_new_model_is_served_listed_chosen_and_trained_by_five_files(copy: Path) -> None:
    before = contents(copy / "models")
    add_bright(copy)
    ran = subprocess.run(
        [sys.executable, "-c", SERVED],
        capture_output=True,
        text=True,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    assert "bright" in ran.stdout
    after = contents(copy / "models")
    assert len([path for path in after if after[path] != before.get(path)]) == 5
