"""The state of a run in a file, and from which one a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from models import weights as weight_files
from models.train.run import Budget, Options, Run
from models.train.schedule import decays, share_of

CHECKPOINT, TRUNK = "checkpoint.pt", "trunk.pt"


def has_checkpoint(options: Options) -> bool:
    return (options.out / CHECKPOINT).is_file()


def first_step(options: Options, budget: Budget) -> int:
    """The step at which this run begins."""
    if not (options.resume and has_checkpoint(options)):
        return 0
    return int(read_state(resume_path(options.out, budget))["step"])


def resume_path(out: Path, budget: Budget) -> Path:
    """The state before the decay where that is over, or too early for a budget that has grown; else the last one."""
    last, trunk = out / CHECKPOINT, out / TRUNK
    if not trunk.is_file() or not read_state(last).get("decaying"):
        return last
    state = read_state(trunk)
    return last if decays(share_of(state["step"], state["seconds"], budget), budget) else trunk


def read_state(path: Path, device: str = "cpu") -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


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
