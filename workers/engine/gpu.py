"""What the GPU of a worker child is doing, for `/metrics`; on any other device nothing is shown.

Its utilisation is NVML's, by the package nvidia-ml-py, and missing where that is not installed or may not ask.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec

import torch

from workers import metrics
from workers.log import Log

EVERY_S = 5.0  # three looks for one scrape

log = Log(__name__)


def watch(device: torch.device) -> None:
    """Set the gauges of this GPU from now on, in a thread; a device that is none has no gauges."""
    if device.type == "cuda":
        threading.Thread(target=_keep_looking, args=(device, threading.Event()), name="gpu", daemon=True).start()


def look(device: torch.device) -> None:
    """Set its gauges once."""
    gpu = str(device.index or 0)
    free, total = torch.cuda.mem_get_info(device)
    metrics.GPU_MEMORY.labels(gpu).set(torch.cuda.memory_allocated(device))
    metrics.GPU_MEMORY_USED.labels(gpu).set(total - free)
    metrics.GPU_MEMORY_TOTAL.labels(gpu).set(total)
    busy = utilization(device)
    if busy is not None:
        metrics.GPU_UTILIZATION.labels(gpu).set(busy)


def utilization(device: torch.device) -> float | None:
    """The share of the last moment in which a kernel ran, 0 to 1; None where NVML cannot tell."""
    if find_spec("pynvml") is None:
        return None
    from pynvml import NVMLError

    try:
        return torch.cuda.utilization(device) / 100
    except (NVMLError, RuntimeError):
        return None


def _keep_looking(device: torch.device, never: threading.Event) -> None:
    while not never.wait(EVERY_S):
        try:
            look(device)
        except RuntimeError as error:  # the device is lost; its jobs say so
            log.warning("the gauges of the GPU stand still", reason=str(error))
            return
