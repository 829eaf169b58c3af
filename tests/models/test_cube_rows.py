"""Rows of numbers in the text of a .cube file, and the line at fault."""

from __future__ import annotations

import tracemalloc

import pytest

from kernels.reference.lut3d import identity_lut
from models.cube import CubeError, read_cube, write_cube
from tests.models.test_cube import IDENTITY


def test_the_bad_line_is_found_far_down_in_a_large_file() -> None:
    lines = write_cube(identity_lut(33), "large").splitlines()
    lines[30_000] = "0.5 0.5"
    with pytest.raises(CubeError, match=r"line 30001: saw '0.5 0.5'"):
        read_cube("\n".join(lines).encode())


def test_comments_may_be_long_anywhere() -> None:
    long = "# " + 200_000 * "why "
    assert read_cube((long + "\n" + IDENTITY.replace("1 1 0", f"1 1 0\n  {long}")).encode()).nodes_3d == 2


def test_a_line_without_end_is_refused_before_it_is_split() -> None:
    data = ("LUT_3D_SIZE 129\n0 0 0\n" + "10 " * 5_000_000).encode()
    tracemalloc.start()
    try:
        with pytest.raises(CubeError, match="line 3: 15000000 bytes"):
            read_cube(data)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data)
    finally:
        tracemalloc.stop()
