"""The words of picture input and output: sizes upright, and values without gaps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from workers.pictures.picture import Header, plain, turned


@pytest.mark.parametrize(("orientation", "size"), [(1, (4, 3)), (2, (4, 3)), (4, (4, 3)), (5, (3, 4)), (8, (3, 4))])
def test_a_picture_that_lies_on_its_side_is_told_upright(orientation: int, size: tuple[int, int]) -> None:
    assert turned(4, 3, orientation) == size


def test_pixels_are_counted() -> None:
    assert Header("png", 4, 3, 8, has_alpha=False, is_grey=False, lossy=False).pixels == 12


def test_values_are_laid_without_gaps_and_stay_what_they_are() -> None:
    values = np.arange(5 * 7 * 4, dtype=np.uint16).reshape(5, 7, 4)
    for view in (values, values[::2, ::3], values[:, :, 1][:, :, None], values[::-1], values.transpose(1, 0, 2)):
        made = plain(view)
        np.testing.assert_array_equal(made, view)
        _, width, channels = made.shape
        assert made.strides == (width * channels * 2, channels * 2, 2)


def test_the_words_are_told_without_numpy() -> None:
    program = "import sys, workers.pictures.picture; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
