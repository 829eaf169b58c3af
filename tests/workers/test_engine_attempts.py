"""Tiles that fail: what counts as lack of memory, and values that are not numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from torch import Tensor

from models.contract import View
from tests.workers.enlarging import ConvNet, Counting, Overflowing, apart, enlarge, in_half, noise, picture
from workers.engine.engine import Engine
from workers.errors import InternalError

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
