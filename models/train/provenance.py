"""How weights came to be: recipe, network, commit, machine. It is kept with the weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import weights as weight_files
from models.train.run import Options, Recipe, Run


def describe(recipe: Recipe, run: Run) -> dict[str, Any]:
    """The whole configuration: every field of the recipe, and of the network as it is."""
    return {"recipe": dataclasses.asdict(recipe), "config": config_of(run.network)}  # type: ignore[call-overload]


def facts_of(recipe: Recipe, run: Run, options: Options) -> dict[str, Any]:
    """How weights came to be. Paths of this machine are nobody's business."""
    device = torch.device(options.device)
    return {
        "recipe": dataclasses.asdict(recipe),  # type: ignore[call-overload]
        "seed": options.seed,
        "steps": run.step,
        "seconds": round(run.seconds),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "started_from": weight_files.load(options.init).network if options.init else None,
        "started_from_sha256": sha256_of(options.init) if options.init else None,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def config_of(network: nn.Module) -> dict[str, Any]:
    config: dict[str, Any] = dataclasses.asdict(network.config)  # type: ignore[call-overload]
    return config


def commit() -> str:
    """Commit of the code, with a plus where the tree was changed; empty outside a checkout."""
    try:
        root = Path(__file__).resolve().parent
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def check_same_network(theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> None:
    """Weights may have the right shapes and another meaning: another base, another norm. Raises WeightsError."""
    stored = as_json(ours)
    for name, value in theirs.items():
        if name in stored and stored[name] != value:
            raise weight_files.WeightsError(f"{path} was made with {name} {value!r}, this recipe has {stored[name]!r}")


def as_json(facts: dict[str, Any]) -> dict[str, Any]:
    """As a file holds them: tuples are lists there."""
    stored: dict[str, Any] = json.loads(json.dumps(facts))
    return stored
