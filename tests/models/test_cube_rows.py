"""Rows of numbers in the text of a .cube file, and the line at fault."""

from __future__ import annotations

import tracemalloc

import pytest

from kernels.reference.lut3d import identity_lut
from models import cube_rows
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


def test_rows_are_read_past_comments_empty_lines_and_any_white_space() -> None:
    block = b"0 .5 1\n\n# 9 9 9\n  # 9 9\n\t-1e-3 +2 3.\t\n" + b"4 5 6 " + b" " * 100
    assert cube_rows.numbers_of(block, 7) == [0, 0.5, 1, -0.001, 2, 3, 4, 5, 6]
    assert cube_rows.numbers_of(b"\n# nothing\n", 7) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"1 2", "saw '1 2', wanted three numbers"),
        (b"1 2 3 4", "saw '1 2 3 4', wanted three numbers"),
        (b"1 2 0x3", "saw '0x3', wanted a finite number within 2\\*\\*100 of 0"),
        (b"1 2e99 3", "saw '2e99', wanted a finite number"),
        (b"1 - 3", "saw '-', wanted a finite number"),
        (b"domain_max 1 1 1", "saw 'domain_max 1 1 1' after the first number, wanted keywords before it"),
        (b"1 2 3" + b" " * 300, "305 bytes, wanted at most 250 in a line"),
    ],
)
def test_the_first_line_at_fault_is_named_with_its_number(line: bytes, words: str) -> None:
    block = b"0 0 0\n# comment, comment\n" + line + b"\n1 1\n"
    with pytest.raises(CubeError, match=f"^line 14: {words}") as error:
        cube_rows.numbers_of(block, 12)
    assert error.value.line == 14


def test_the_row_beyond_the_last_is_named() -> None:
    with pytest.raises(CubeError, match=r"^line 5: saw '3 3 3' after the last row, wanted 2 rows"):
        cube_rows.refuse_more(b"1 1 1\n# no row\n\n2 2 2\n3 3 3\n4 4 4", 1, 2, "2 rows")


def test_a_word_is_a_number_where_a_table_may_hold_it() -> None:
    largest = b"1267650600228229401496703205376"
    for word, value in ((b"-0.25", -0.25), (b"1e-400", 0.0), (largest, 2.0**100)):
        assert cube_rows.number(word) == value
    for word in (b"", b"nan", b"inf", b"1_0", b"0x1", b"1e31", b"-1e31", b"1-0", b"1" * 300):
        assert cube_rows.number(word) is None


def test_what_was_seen_is_shown_short_and_printable() -> None:
    assert cube_rows.shown([b"a", b"\x00\xff", "é".encode()]) == r"'a \x00\xff \xc3\xa9'"
    assert cube_rows.shown([b"x" * 1000]) == f"'{60 * 'x'}'..."
