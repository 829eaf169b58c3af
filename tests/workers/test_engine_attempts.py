"""Tiles that fail: what counts as lack of memory, and values that are not numbers."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from models.contract import View
from tests.workers.enlarging import ConvNet, Counting, Overflowing, apart, enlarge, in_half, noise, picture
from workers.engine.attempts import attempt, is_finite, is_out_of_memory, refuse_smaller, to_full_precision
from workers.engine.engine import Engine
from workers.engine.passes import Executor
from workers.errors import InternalError, OutOfMemory

pytestmark = pytest.mark.usefixtures("one_thread")


def test_other_errors_of_a_model_are_not_taken_for_lack_of_memory(serve: Callable[..., str]) -> None:
    class Broken(ConvNet):
        def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        enlarge(Engine(device="cpu"), picture(noise()), serve(Broken))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_tile_that_overflows_in_half_precision_is_repeated_in_full(
    value: float, conv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = enlarge(Engine(device="cpu", tile="32"), picture(noise()), conv).pixels
    observe = Counting()
    engine = Engine(device="cpu", tile="32", observe=observe)
    in_half(engine, conv, monkeypatch, full=ConvNet(), half=Overflowing(value, always=False))
    assert apart(enlarge(engine, picture(noise()), conv).pixels, expected) == 0
    assert observe.seen["nonfinite"] == 2


def test_values_that_are_no_numbers_in_full_precision_are_an_error(conv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(device="cpu")
    bad = Overflowing(float("nan"), always=True)
    in_half(engine, conv, monkeypatch, full=bad, half=bad)
    with pytest.raises(InternalError, match="not numbers"):
        enlarge(engine, picture(noise()), conv)


@pytest.mark.parametrize(
    "greedy",
    [lambda: np.empty(2**60, np.uint8), lambda: torch.empty(2**60), lambda: [0] * 2**60],
    ids=("numpy", "torch", "python"),
)
def test_what_numpy_torch_and_python_say_of_memory_they_cannot_get_is_understood(greedy: Callable[[], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as failed:
        greedy()
    assert is_out_of_memory(failed.value)
    assert attempt(greedy) is None


@pytest.mark.parametrize(
    "words", ["CUDA out of memory. Tried to allocate 2 GiB", "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"]
)
def test_what_cuda_says_of_memory_is_understood_and_other_errors_of_it_pass(words: str) -> None:
    assert is_out_of_memory(torch.OutOfMemoryError(words)) and is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_an_attempt_gives_what_was_made_and_lets_go_of_what_failed() -> None:
    held: list[weakref.ref[Tensor]] = []

    def fail() -> Tensor:
        made = torch.zeros(10)
        held.append(weakref.ref(made))
        raise MemoryError

    assert attempt(lambda: 7) == 7
    assert attempt(fail) is None
    assert held[0]() is None
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 // 0)


def test_a_tile_is_finite_where_all_its_values_are() -> None:
    tile = np.full((8, 8, 3), 3e38, np.float32)  # their sum is beyond float32
    assert is_finite(tile)
    for values in ([np.nan], [np.inf], [np.inf, -np.inf]):
        broken = tile.copy()
        broken[0, : len(values), 1] = values
        assert not is_finite(broken)


def test_a_tile_that_cannot_be_smaller_is_refused_by_name_and_device() -> None:
    executor = Executor("conv", ConvNet(), torch.device("cpu"))
    refuse_smaller(executor, 33, 32, "try again later")
    with pytest.raises(OutOfMemory, match="conv ran out of memory on cpu even in tiles of 32 pixels; try again later"):
        refuse_smaller(executor, 32, 32, "try again later")


def test_full_precision_is_there_once() -> None:
    observe, full = Counting(), ConvNet()
    executor = Executor("conv", ConvNet().bfloat16(), torch.device("cpu"), full_precision=lambda: full)
    again = to_full_precision(executor, observe)
    assert again.model is full and again.full_precision is None
    assert observe.seen["nonfinite"] == 1
    with pytest.raises(InternalError, match="not numbers"):
        to_full_precision(again, observe)
