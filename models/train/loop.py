"""The training loop of every recipe: what a step does follows from (seed, step), the rate from the share of the budget.

A run can be stopped (by a signal, or at the end of a slice) and taken up again, or start from another's weights; the
weights kept are a running average. It decides nothing about the task; that is the recipe's. What was done, by which
commit, on which data and for how long is kept with the weights.

With a budget of `steps` a resumed run goes through the same numbers as one that was never stopped. A budget of minutes
orders the rate by the clock, which never ticks the same way twice: good use of a machine, not exact. Nor is a GPU
exact, whose kernels add in changing order.

The rate is a cosine over the budget; or, where the budget has a `decay`, constant up to its last share, which a run
with a larger budget takes back: it goes on from the state before the decay (`trunk.pt`).
Source of that schedule: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
NeurIPS 2024 (constant rate, then 1 - sqrt).
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models import weights as weight_files
from models.train.journal import Journal
from models.train.talents import Adversary, Clipper, Exported, Heir, Optimising, Staged

CHECKPOINT_EVERY_S = 60.0
LOG_EVERY_STEPS = 50
WARM_UP = 0.01  # share of the run during which the learning rate rises
PREFETCH = 8  # batches that each loading process keeps ready
NEVER = 1 << 40
CHECKPOINT, TRUNK = "checkpoint.pt", "trunk.pt"


@dataclass(frozen=True)
class Budget:
    """What a recipe may spend on one kind of device.

    `minutes` of training in all, over every slice of `slice_minutes` (None: in one go), or so many `steps`. `lr` is the
    highest rate, `patch` the side in pixels of what the network sees, `queries` the samples asked of each patch.
    `workers` processes prepare batches (0: none beside this one). `decay`: the last share of the budget, in which a
    rate that was constant falls to nothing; None: it is a cosine.
    """

    minutes: float
    batch: int
    lr: float
    patch: int
    queries: int = 0
    steps: int | None = None
    slice_minutes: float | None = None
    workers: int = 0
    decay: float | None = None


class Recipe(Protocol):
    """One experiment, a dataclass: what is learnt, from which batches, by which loss."""

    budget: Budget
    name: str
    ema: float
    autocast: bool

    def network(self) -> nn.Module: ...

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Parameters with their highest learning rates, as the optimiser takes them."""
        ...

    def open(self, data: Path, cache: Path | None = None) -> str:
        """Reads the data and returns its hash."""
        ...

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]: ...

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
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
    decaying: bool = False
    adversary: Adversary | None = None
    identity: dict[str, Any] = field(default_factory=dict)  # what a resumed run must share with the one it goes on with


@dataclass(frozen=True)
class Options:
    """Where a run reads, writes and computes, and what it starts from."""

    data: Path
    out: Path
    device: str = "cpu"
    seed: int = 0
    resume: bool = False
    init: Path | None = None
    cache: Path | None = None


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
        climb(recipe, run, options, batches, journal, stop, origin)
        path, facts = keep(recipe, run, options, origin)
        journal.event("end" if facts["finished"] else "stopped", **facts)
    return path, bool(facts["finished"])


def climb(
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
    slice_s = (recipe.budget.slice_minutes or math.inf) * 60
    while (share := progress(run, recipe.budget)) < 1 and not stop.is_set() and time.monotonic() - began < slice_s:
        rate = rate_at(share, recipe.budget)
        if decays(share, recipe.budget) and not run.decaying:
            write_checkpoint(options.out / TRUNK, run)
            run.decaying = True
        if isinstance(recipe, Staged):
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
            keep(recipe, run, options, origin)
            saved = now
    if run.step > before_steps:
        read_numbers({"loss": loss})


def keep(recipe: Recipe, run: Run, options: Options, origin: dict[str, str]) -> tuple[Path, dict[str, Any]]:
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
        if isinstance(recipe, Heir):
            begun = recipe.inherit(begun, network)
        check_same_network(begun.config, config_of(network), options.init)
        weight_files.fill(network, begun.state_dict, recipe.name)
    network.to(options.device)
    optimizer = make_optimizer(recipe, recipe.groups(network))
    for group in optimizer.param_groups:
        group["share"] = group["lr"] / recipe.budget.lr
    run = Run(network, copy.deepcopy(network).requires_grad_(False), optimizer)
    run.identity = {"recipe": recipe.name, "seed": options.seed, "data": data_sha256, **as_told(config_of(network))}
    if isinstance(recipe, Adversary):
        recipe.prepare(torch.device(options.device))
        run.adversary = recipe
    if options.resume and has_checkpoint(options):
        read_checkpoint(where_to_go_on(options.out, recipe.budget), run, options.device)
    return run


def make_optimizer(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Adam, or the recipe's own."""
    if isinstance(recipe, Optimising):
        return recipe.make_optimizer(groups)
    return torch.optim.Adam(groups, recipe.budget.lr, fused=True)


def check_same_network(theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> None:
    """Weights may have the right shapes and another meaning: another base, another norm. Raises WeightsError."""
    told = as_told(ours)
    for name, value in theirs.items():
        if name in told and told[name] != value:
            raise weight_files.WeightsError(f"{path} was made with {name} {value!r}, this recipe has {told[name]!r}")


def as_told(facts: dict[str, Any]) -> dict[str, Any]:
    """As a file tells them: tuples are lists there."""
    told: dict[str, Any] = json.loads(json.dumps(facts))
    return told


def has_checkpoint(options: Options) -> bool:
    return (options.out / CHECKPOINT).is_file()


def first_step(options: Options, budget: Budget) -> int:
    """The step at which this run begins."""
    if not (options.resume and has_checkpoint(options)):
        return 0
    return int(read_state(where_to_go_on(options.out, budget))["step"])


def where_to_go_on(out: Path, budget: Budget) -> Path:
    """The state before the decay where that is over, or too early for a budget that has grown; else the last one."""
    last, trunk = out / CHECKPOINT, out / TRUNK
    if not trunk.is_file() or not read_state(last).get("decaying"):
        return last
    state = read_state(trunk)
    return last if decays(share_of(state["step"], state["seconds"], budget), budget) else trunk


def read_state(path: Path, device: str = "cpu") -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


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
        sampler=range(step, NEVER),  # type: ignore[arg-type]
        batch_size=None,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
    )
    return iter(loader)


def progress(run: Run, budget: Budget) -> float:
    """Share of the budget that lies behind: of its steps where it has some, else of its minutes."""
    return share_of(run.step, run.seconds, budget)


def share_of(steps: int, seconds: float, budget: Budget) -> float:
    return steps / budget.steps if budget.steps else seconds / (budget.minutes * 60)


def time_left_s(run: Run, budget: Budget, pace_s: float) -> float:
    return (budget.steps - run.step) * pace_s if budget.steps else budget.minutes * 60 - run.seconds


def step(
    recipe: Recipe, run: Run, batch: tuple[Tensor, ...], options: Options, rate: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of the optimiser at `rate`, a share of the highest learning rate."""
    torch.manual_seed((options.seed << 32) + run.step)  # for dropout and its like
    device = torch.device(options.device)
    batch = tuple(tensor.to(device, non_blocking=True) for tensor in batch)
    run.network.train()
    with computing(recipe, device):
        loss, parts = recipe.loss(run.network, batch)
    run.optimizer.zero_grad()
    loss.backward()
    if isinstance(recipe, Clipper):
        recipe.clip(run.network)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * recipe.budget.lr * group["share"]
    run.optimizer.step()
    if run.adversary is not None:
        parts = {**parts, **run.adversary.after_step(rate)}
    run.step += 1
    follow(run.average, run.network, min(recipe.ema, (1 + run.step) / (10 + run.step)))
    return loss.detach(), parts


@contextlib.contextmanager
def computing(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """New tensors on the device; matrix products in bfloat16 where the recipe allows and the device has it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.autocast and has_native_bf16(device)), device:
        yield


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


def rate_at(share: float, budget: Budget) -> float:
    """Share of the highest learning rate when `share` of the budget lies behind."""
    if budget.decay is None:
        return cosine(share)
    rise = min(1.0, (share + 1e-4) / WARM_UP)
    left = min(1.0, (1 - min(share, 1.0)) / budget.decay)
    return rise * (1 - math.sqrt(1 - left))


def decays(share: float, budget: Budget) -> bool:
    """Whether the rate, constant so far, is falling by now."""
    return budget.decay is not None and share > 1 - budget.decay


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

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_checkpoint(path: Path, run: Run) -> None:
    state = {
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "step": run.step,
        "seconds": run.seconds,
        "decaying": run.decaying,
        "adversary": run.adversary.state_dict() if run.adversary else None,
        "identity": json.dumps(run.identity),
    }
    draft = path.with_name(path.name + ".part")
    torch.save(state, draft)
    draft.replace(path)


def read_checkpoint(path: Path, run: Run, device: str = "cpu") -> None:
    state = read_state(path, device)
    before = json.loads(state.get("identity", "{}"))
    for name, value in before.items():
        if run.identity.get(name, value) != value:
            seen = f"{name} {value!r}, this one has {run.identity[name]!r}"
            raise weight_files.WeightsError(f"the run in {path.parent} was begun with {seen}")
    run.network.load_state_dict(state["network"])
    run.average.load_state_dict(state["average"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.seconds = state["step"], state["seconds"]
    run.decaying = state.get("decaying", False)
    if run.adversary is not None:
        run.adversary.load_state_dict(state["adversary"])


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


def export(recipe: Recipe, run: Run, options: Options, facts: dict[str, Any]) -> Path:
    """Writes the averaged weights, in half precision, with the facts of the run."""
    path = options.out / f"{recipe.name}.safetensors"
    kept = run.average.exported() if isinstance(run.average, Exported) else run.average
    weight_files.save(path, weight_files.Weights(recipe.name, config_of(kept), kept.state_dict(), facts))
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
