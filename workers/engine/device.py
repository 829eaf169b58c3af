"""The device that models run on, and what its processor can do. It loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from workers.errors import ParameterError


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N`. Raises ParameterError where torch cannot use the device asked for."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return torch.device("cuda:0" if gpus else "cpu")
    device = torch.device("cuda:0" if wanted == "cuda" else wanted)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ParameterError(f"device {wanted} is not here: torch sees {gpus} CUDA devices", parameter="device")
    return device


@cache
def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX512_BF16, AMX or ARM's BF16); without, it is slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16"))


@contextmanager
def one_thread() -> Iterator[None]:
    """For a network of a few milliseconds: on cores that are not idle, waiting for a second thread loses more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
