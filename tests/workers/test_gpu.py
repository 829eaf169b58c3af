"""The gauges of a GPU: set where there is one, and there alone."""

from __future__ import annotations

import importlib.util
import threading

import pytest
import torch
from prometheus_client import REGISTRY

from workers.engine import gpu

ALLOCATED, USED = "lutra_gpu_memory_allocated_bytes", "lutra_gpu_memory_used_bytes"
TOTAL, BUSY = "lutra_gpu_memory_total_bytes", "lutra_gpu_utilization_ratio"


def shown(name: str, device: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"gpu": device})


def test_a_worker_on_the_processor_has_no_gauges_of_a_gpu() -> None:
    gpu.watch(torch.device("cpu"))
    assert "gpu" not in {thread.name for thread in threading.enumerate()}
    assert shown(TOTAL, "0") is None


@pytest.mark.cuda
def test_memory_and_utilisation_of_a_gpu_are_shown() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda:0")
    held = torch.zeros(1 << 20, device=device)
    gpu.look(device)
    allocated, used, total = (shown(name, "0") or 0.0 for name in (ALLOCATED, USED, TOTAL))
    assert held.nbytes <= allocated <= used <= total
    if importlib.util.find_spec("pynvml"):
        assert 0 <= (shown(BUSY, "0") or 0.0) <= 1


def test_where_nvml_is_missing_the_memory_is_shown_and_no_utilisation_is_made_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver's answers are this test's: no machine without a GPU has any."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (300, 1000))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    gpu.look(torch.device("cuda:7"))
    assert [shown(name, "7") for name in (ALLOCATED, USED, TOTAL, BUSY)] == [200, 700, 1000, None]


def test_a_device_that_is_lost_ends_the_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(device: torch.device) -> None:
        raise RuntimeError("CUDA error: device lost")

    monkeypatch.setattr(gpu, "EVERY_S", 0.01)
    monkeypatch.setattr(gpu, "look", lost)
    gpu._keep_looking(torch.device("cuda:7"), threading.Event())
