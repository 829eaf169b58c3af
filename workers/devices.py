"""How many GPUs and cores this process may use, found out without importing torch (the worker's parent must not)."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

UNCOUNTED_GPUS = ("/dev/dxg", "/dev/kfd")  # inside WSL; of AMD
MOST_KEPT = 4  # children for express jobs: more were not measured
NICE = 10  # weight 110 beside 1024 in Linux' scheduler


def visible_gpus() -> int:
    """NVIDIA GPUs that this process may use: what CUDA_VISIBLE_DEVICES names, else what the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return len([part for part in named.split(",") if part.strip() not in ("", "-1")])
    listed = Path("/proc/driver/nvidia/gpus")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


def may_have_gpu() -> bool:
    """Whether torch might find one, without asking it."""
    return visible_gpus() > 0 or any(Path(node).exists() for node in UNCOUNTED_GPUS)


def usable_cores() -> int:
    """Cores this process may run on: its affinity, and its share of a container's CPU time if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _cgroup_cores() or cores))


def _cgroup_cores() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


def share_cores_politely() -> None:
    """Let torch's threads spin only shortly at their barriers, then sleep; to be called before torch is imported.

    With other work on the same cores, spinning as libgomp does by default made two threads ten times slower than one;
    not spinning at all costs a quiet machine some milliseconds a picture. 1,000 turns are a few microseconds.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def stand_back() -> None:
    """Let whatever else wants a core have it first, from this thread on and in those that it starts (Linux).

    A tenth of a core is left to it beside a thread that is always at work: it is slow then, and does not starve.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def default_concurrency(device: str) -> int:
    """Worker children for bulk jobs: one a GPU where GPUs serve, one otherwise."""
    return max(1, visible_gpus()) if device in ("auto", "cuda") else 1


def computes_here(device: str) -> bool:
    """Whether it is the processor that computes, as far as can be told without asking torch."""
    return device == "cpu" or (device == "auto" and not may_have_gpu())


def default_express_concurrency(device: str) -> int:
    """Worker children kept for express jobs: one a core, MOST_KEPT at most; one where a GPU may serve, for each holds
    the models there.
    """
    return min(usable_cores(), MOST_KEPT) if computes_here(device) else 1


def child_device(device: str, index: int) -> str:
    """The device of the child in slot `index`: GPUs are dealt in turn."""
    gpus = visible_gpus()
    return f"cuda:{index % gpus}" if device in ("auto", "cuda") and gpus > 0 else device
