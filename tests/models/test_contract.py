"""Where the samples of a tile lie in its window: exact, the same for every cut, and of whole pixels at whole scales."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
import torch

from models.contract import Axis


@pytest.mark.parametrize(("in_size", "out_size"), [(7, 7), (7, 14), (7, 26), (100, 371), (1000, 1001), (49999, 199997)])
def test_positions_are_those_of_exact_fractions(in_size: int, out_size: int) -> None:
    start, count, origin = out_size // 3, min(50, out_size - out_size // 3), -2
    base, part = Axis(start, count, out_size, in_size, origin).positions()
    exact = [(i + Fraction(1, 2)) * in_size / out_size - Fraction(1, 2) for i in range(start, start + count)]
    assert base.tolist() == [floor(place) - origin for place in exact]
    assert part.tolist() == pytest.approx([float(place - floor(place)) for place in exact], abs=1e-7)
    assert base.dtype == torch.int64 and part.dtype == torch.float32


def test_every_cut_has_the_positions_of_the_whole() -> None:
    whole_base, whole_part = Axis(0, 371, 371, 100, 0).positions()
    for start, stop in ((0, 1), (17, 200), (370, 371)):
        base, part = Axis(start, stop - start, 371, 100, -3).positions()
        assert torch.equal(base - 3, whole_base[start:stop])
        assert torch.equal(part, whole_part[start:stop])


def test_pixels_lie_on_pixels_at_scale_1_and_halfway_between_at_2() -> None:
    base, part = Axis(0, 5, 5, 5, 0).positions()
    assert base.tolist() == [0, 1, 2, 3, 4] and not part.any()
    base, part = Axis(0, 4, 10, 5, 0).positions()
    assert (base.tolist(), part.tolist()) == ([-1, 0, 0, 1], [0.75, 0.25, 0.75, 0.25])


def test_the_scale_is_that_of_this_axis() -> None:
    assert Axis(0, 1, 371, 100, 0).scale == 3.71
