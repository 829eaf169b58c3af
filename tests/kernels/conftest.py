"""What several modules of these tests share: the device, what serves the ops, the number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from kernels import cpu, cuda
from tests.kernels import cuda_on_host


@pytest.fixture(params=["host", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where the CUDA kernels run: on the processor, compiled by `cuda_on_host`, and on a device."""
    if request.param == "host":
        return cuda_on_host.stand_in(monkeypatch)
    if missing := cuda.why_missing():
        pytest.skip(missing)
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture(params=["built", "reference"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ops call on the processor."""
    if request.param == "reference":
        monkeypatch.setattr(cpu, "why_missing", lambda: "left out by this test")
    elif cpu.why_missing():
        pytest.skip(cpu.why_missing())


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
