"""The training loop of every recipe: a batch follows from (seed, step), the rate is a cosine over the time given.

A run can be stopped and taken up again (`resume`) or start from another's weights (`init`); the weights kept are a
running average. It decides nothing about the task; that is the recipe's. What was done, by which commit, on which data
and for how long is kept with the weights.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models import weights as weight_files

CHECKPOINT_EVERY_S = 60.0
LOG_EVERY_STEPS = 50
WARM_UP = 0.01  # share of the run during which the learning rate rises


class Recipe(Protocol):
    """One experiment: what is learnt, from which batches, by which loss."""

    name: str
    lr: float
    ema: float
    autocast: bool
    weight_groups: Callable[[nn.Module], list[dict[str, Any]]] | None

    def network(self) -> nn.Module: ...

    def open(self, data: Path) -> str:
        """Reads the data and returns its hash."""
        ...

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]: ...

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        """The number to lower, and what to log beside it."""
        ...


@dataclass
class Run:
    """State of a run; what a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data: Path
    out: Path
    minutes: float
    seed: int = 0
    lr: float | None = None
    resume: bool = False
    init: Path | None = None
    steps: int | None = None  # ends the run before its time


def train(recipe: Recipe, options: Options) -> Path:
    """Runs the recipe and returns the path of the weight file written."""
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    made_by = commit()  # of the code that runs, not of what the tree has become by the end
    data_hash = recipe.open(options.data)
    run = start(recipe, options)
    limit_s = options.minutes * 60
    began = saved = time.monotonic()
    before_s = run.seconds
    note(options.out, event="start", recipe=recipe.name, config=config_of(run.network), data=data_hash, step=run.step)
    while (progress := done(run, options)) < 1:
        lr = (options.lr or recipe.lr) * cosine(progress)
        loss, parts = step(recipe, run, options.seed, lr)
        now = time.monotonic()
        run.seconds = before_s + now - began
        if run.step % LOG_EVERY_STEPS == 0:
            note(options.out, step=run.step, seconds=round(run.seconds, 1), lr=lr, loss=loss, **parts)
            print(f"{recipe.name} step {run.step} loss {loss:.5f} left {limit_s - run.seconds:.0f} s", flush=True)
        if now - saved > CHECKPOINT_EVERY_S:
            write_checkpoint(options.out / "checkpoint.pt", run)
            saved = now
    write_checkpoint(options.out / "checkpoint.pt", run)
    return export(recipe, run, options, {"commit": made_by, "data_sha256": data_hash})


def start(recipe: Recipe, options: Options) -> Run:
    """A fresh run, one that starts from weights, or the one that was stopped."""
    network = recipe.network()
    if options.init is not None:
        weight_files.fill(network, weight_files.load(options.init).state_dict, recipe.name)
    groups = recipe.weight_groups(network) if recipe.weight_groups else [{"params": network.parameters()}]
    optimizer = torch.optim.Adam(groups, options.lr or recipe.lr, fused=True)
    for group in optimizer.param_groups:
        group["share"] = group["lr"] / (options.lr or recipe.lr)
    run = Run(network, copy.deepcopy(network).requires_grad_(False), optimizer)
    checkpoint = options.out / "checkpoint.pt"
    if options.resume and checkpoint.is_file():
        read_checkpoint(checkpoint, run)
    return run


def done(run: Run, options: Options) -> float:
    """Share of the run that lies behind, by time or by steps, whichever is further; 1 and more: over."""
    by_steps = run.step / options.steps if options.steps else 0.0
    return max(run.seconds / (options.minutes * 60), by_steps)


def step(recipe: Recipe, run: Run, seed: int, lr: float) -> tuple[float, dict[str, float]]:
    """One step of the optimiser on the batch of (seed, step)."""
    batch = recipe.batch(np.random.default_rng((seed, run.step)))
    run.network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.autocast and has_native_bf16()):
        loss, parts = recipe.loss(run.network, batch)
    run.optimizer.zero_grad()
    loss.backward()
    for group in run.optimizer.param_groups:
        group["lr"] = lr * group["share"]
    run.optimizer.step()
    run.step += 1
    follow(run.average, run.network, min(recipe.ema, (1 + run.step) / (10 + run.step)))
    return float(loss.detach()), parts


def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average a little towards the network."""
    with torch.no_grad():
        here = [p for p in average.state_dict().values() if p.is_floating_point()]
        there = [p for p in network.state_dict().values() if p.is_floating_point()]
        torch._foreach_lerp_(here, there, 1 - decay)


def cosine(progress: float) -> float:
    """Share of the learning rate: a short rise, then half a cosine down to nothing."""
    rise = min(1.0, (progress + 1e-4) / WARM_UP)
    return rise * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def has_native_bf16() -> bool:
    """True where the processor multiplies bfloat16 itself."""
    return bool(torch.cpu._is_avx512_bf16_supported()) or bool(torch.cpu._is_amx_tile_supported())


def write_checkpoint(path: Path, run: Run) -> None:
    state = {
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "step": run.step,
        "seconds": run.seconds,
    }
    draft = path.with_name(path.name + ".part")
    torch.save(state, draft)
    draft.replace(path)


def read_checkpoint(path: Path, run: Run) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)
    run.network.load_state_dict(state["network"])
    run.average.load_state_dict(state["average"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.seconds = state["step"], state["seconds"]


def export(recipe: Recipe, run: Run, options: Options, origin: dict[str, str]) -> Path:
    """Writes the averaged weights, in half precision, with the facts of the run."""
    facts = {
        "recipe": recipe.name,
        **origin,
        "seed": options.seed,
        "steps": run.step,
        "seconds": round(run.seconds),
        "minutes_planned": options.minutes,
        "lr": options.lr or recipe.lr,
        "started_from_weights": options.init is not None,
        "torch": torch.__version__,
    }
    config = config_of(run.network)
    path = options.out / f"{recipe.name}.safetensors"
    sha256 = weight_files.save(path, weight_files.Weights(recipe.name, config, run.average.state_dict(), facts))
    note(options.out, event="end", sha256=sha256, **facts)
    return path


def config_of(network: nn.Module) -> dict[str, Any]:
    return dataclasses.asdict(network.config)  # type: ignore[arg-type]


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


def note(out: Path, **facts: Any) -> None:
    """One line of JSON to the run's log."""
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(facts) + "\n")
    if "event" in facts:
        print(json.dumps(facts), file=sys.stderr, flush=True)
