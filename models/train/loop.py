"""The training loop of every recipe: what a step does follows from (seed, step), the rate from the share of the budget.

A run can be stopped (by a signal, or at the end of a slice) and taken up again, or start from another's weights; the
weights kept are a running average. It decides nothing about the task; that is the recipe's. What was done, by which
commit, on which data and for how long is kept with the weights.

With a budget of `steps` a resumed run goes through the same numbers as one that was never stopped. A budget of minutes
orders the rate by the clock, which never ticks the same way twice: good use of a machine, not exact. Nor is a GPU
exact, whose kernels add in changing order.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models import weights as weight_files
from models.train.capabilities import Adversary, CustomOptimizer, Exported, GradientClipper, Scheduled, WarmStart
from models.train.checkpoints import (
    CHECKPOINT,
    TRUNK,
    first_step,
    has_checkpoint,
    read_checkpoint,
    resume_path,
    write_checkpoint,
)
from models.train.journal import Journal
from models.train.provenance import as_json, check_same_network, commit, config_of, describe, facts_of
from models.train.run import Options, Recipe, Run
from models.train.schedule import decays, progress, rate_at, time_left_s

CHECKPOINT_EVERY_S = 60.0
LOG_EVERY_STEPS = 50
PREFETCH = 8  # batches that each loading process keeps ready
NEVER = 1 << 40


def train(recipe: Recipe, options: Options) -> tuple[Path, bool]:
    """Runs the recipe until budget, slice or signal end it; the weight file written, and whether the run is done."""
    torch.manual_seed(options.seed)
    if has_checkpoint(options) and not options.resume:
        raise FileExistsError(f"{options.out} holds a run: --resume goes on with it, --out names another folder")
    options.out.mkdir(parents=True, exist_ok=True)
    made_by = commit()  # of the code that runs, not of what the tree has become by the end
    origin = {"commit": made_by, "data_sha256": recipe.open(options.data, options.cache)}
    batches = load_batches(recipe, options, first_step(options, recipe.budget))
    run = start(recipe, options, origin["data_sha256"])
    with Journal(options.out, recipe.name) as journal, stop_signals() as stop:
        journal.event("start", step=run.step, seed=options.seed, **origin, **describe(recipe, run))
        run_steps(recipe, run, options, batches, journal, stop, origin)
        path, facts = save(recipe, run, options, origin)
        journal.event("end" if facts["finished"] else "stopped", **facts)
    return path, bool(facts["finished"])


def run_steps(
    recipe: Recipe,
    run: Run,
    options: Options,
    batches: Iterator[tuple[Tensor, ...]],
    journal: Journal,
    stop: threading.Event,
    origin: dict[str, str],
) -> None:
    """Step after step until the budget or the slice is used up, or `stop` is set."""
    began = saved = time.monotonic()
    before_s, before_steps = run.seconds, run.step
    slice_end = (options.began or began) + (recipe.budget.slice_minutes or math.inf) * 60
    while (share := progress(run, recipe.budget)) < 1 and not stop.is_set() and time.monotonic() < slice_end:
        rate = rate_at(share, recipe.budget)
        if decays(share, recipe.budget) and not run.decaying:
            write_checkpoint(options.out / TRUNK, run)
            run.decaying = True
        if isinstance(recipe, Scheduled):
            recipe.begin_step(share)

        loss, parts = step(recipe, run, next(batches), options, rate)
        now = time.monotonic()
        run.seconds = before_s + now - began

        if run.step % LOG_EVERY_STEPS == 0:
            pace_s = (now - began) / (run.step - before_steps)
            numbers = read_numbers({"loss": loss, **parts})
            left_s = time_left_s(run, recipe.budget, pace_s)
            journal.step(run.step, run.seconds, progress(run, recipe.budget), left_s, rate * recipe.budget.lr, numbers)

        if now - saved > CHECKPOINT_EVERY_S:
            read_numbers({"loss": loss})
            save(recipe, run, options, origin)
            saved = now

    if run.step > before_steps:
        read_numbers({"loss": loss})


def save(recipe: Recipe, run: Run, options: Options, origin: dict[str, str]) -> tuple[Path, dict[str, Any]]:
    """Writes the checkpoint, and the weights as they are by now; the weight file and the facts in it."""
    write_checkpoint(options.out / CHECKPOINT, run)
    facts = {**origin, **facts_of(recipe, run, options), "finished": progress(run, recipe.budget) >= 1}
    return export(recipe, run, options, facts), facts


def read_numbers(tensors: dict[str, Tensor]) -> dict[str, float]:
    """What is logged. Raises FloatingPointError where the loss is no number any more, before that is kept."""
    numbers = {name: float(value) for name, value in tensors.items()}
    if not math.isfinite(numbers["loss"]):
        raise FloatingPointError(f"the loss has become {numbers['loss']}; the last checkpoint stands")
    return numbers


def start(recipe: Recipe, options: Options, data_sha256: str = "") -> Run:
    """A fresh run, one that starts from weights, or the one that was stopped."""
    network = recipe.network()
    if options.init is not None:
        begun = weight_files.load(options.init)
        if isinstance(recipe, WarmStart):
            begun = recipe.inherit(begun, network)
        check_same_network(begun.config, config_of(network), options.init)
        weight_files.fill(network, begun.state_dict, recipe.name)

    network.to(options.device)
    optimizer = make_optimizer(recipe, recipe.groups(network))
    for group in optimizer.param_groups:
        group["share"] = group["lr"] / recipe.budget.lr

    run = Run(network, copy.deepcopy(network).requires_grad_(False), optimizer)
    run.identity = {"recipe": recipe.name, "seed": options.seed, "data": data_sha256, **as_json(config_of(network))}
    if isinstance(recipe, Adversary):
        recipe.prepare(torch.device(options.device))
        run.adversary = recipe

    if options.resume and has_checkpoint(options):
        read_checkpoint(resume_path(options.out, recipe.budget), run, options.device)
    return run


def make_optimizer(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Adam, or the recipe's own."""
    if isinstance(recipe, CustomOptimizer):
        return recipe.make_optimizer(groups)
    return torch.optim.Adam(groups, recipe.budget.lr, fused=True)


class Batches(Dataset[tuple[Tensor, ...]]):
    """The batch of each step; it follows from (seed, step) alone, whoever prepares it."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        return self.recipe.batch(np.random.default_rng((self.seed, step)))


def load_batches(recipe: Recipe, options: Options, step: int) -> Iterator[tuple[Tensor, ...]]:
    """Batches from `step` on. Its processes are forked here, before this one has anything to do with a GPU."""
    workers = min(recipe.budget.workers, len(os.sched_getaffinity(0)))
    loader = DataLoader(
        Batches(recipe, options.seed),
        sampler=range(step, NEVER),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
    )
    return iter(loader)


def step(
    recipe: Recipe, run: Run, batch: tuple[Tensor, ...], options: Options, rate: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of the optimiser at `rate`, a share of the highest learning rate."""
    torch.manual_seed((options.seed << 32) + run.step)  # for dropout and its like
    device = torch.device(options.device)
    batch = tuple(tensor.to(device, non_blocking=True) for tensor in batch)

    run.network.train()
    with precision_context(recipe, device):
        loss, parts = recipe.loss(run.network, batch)

    run.optimizer.zero_grad()
    torch.autograd.backward(loss)
    if isinstance(recipe, GradientClipper):
        recipe.clip(run.network)

    for group in run.optimizer.param_groups:
        group["lr"] = rate * recipe.budget.lr * group["share"]
    run.optimizer.step()
    if run.adversary is not None:
        parts = {**parts, **run.adversary.after_step(rate)}

    run.step += 1
    update_average(run.average, run.network, min(recipe.ema, (1 + run.step) / (10 + run.step)))
    return loss.detach(), parts


@contextlib.contextmanager
def precision_context(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """New tensors on the device; matrix products in bfloat16 where the recipe allows and the device has it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.autocast and has_native_bf16(device)), device:
        yield


def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average a little towards the network."""
    with torch.no_grad():
        here = [p for p in average.state_dict().values() if p.is_floating_point()]
        there = [p for p in network.state_dict().values() if p.is_floating_point()]
        torch._foreach_lerp_(here, there, 1 - decay)


def has_native_bf16(device: torch.device) -> bool:
    """True where the device multiplies bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported()) or bool(torch.cpu._is_amx_tile_supported())


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """SIGTERM and SIGINT ask the run to end after its step; a second one ends it as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def request_stop(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def export(recipe: Recipe, run: Run, options: Options, facts: dict[str, Any]) -> Path:
    """Writes the averaged weights, in half precision, with the facts of the run."""
    path = options.out / f"{recipe.name}.safetensors"
    kept = run.average.exported() if isinstance(run.average, Exported) else run.average
    weight_files.save(path, weight_files.Weights(recipe.name, config_of(kept), kept.state_dict(), facts))
    return path
