"""Reading .cube files: the dialects that are taken, what is wrong with others by line, and what we write ourselves."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch

from kernels import ops
from kernels.reference.lut3d import identity_lut
from models import cube as cube_module
from models import cube_rows, own_lut
from models.cube import Cube, CubeError, read_cube, write_cube

INVERTING = """# 1. The sizes come first.
LUT_1D_SIZE 6
LUT_1D_INPUT_RANGE 0.0 1.0
LUT_3D_SIZE 2
LUT_3D_INPUT_RANGE 0.0 1.0
1.0 1.0 1.0
0.8 0.8 0.8
0.6 0.6 0.6
0.4 0.4 0.4
0.2 0.2 0.2
0.0 0.0 0.0
1 1 1
0 1 1
1 0 1
0 0 1
1 1 0
0 1 0
1 0 0
0 0 0
"""
CORNERS = "".join(f"{r} {g} {b}\n" for b, g, r in product((0, 1), repeat=3))
IDENTITY = "LUT_3D_SIZE 2\n" + CORNERS


def random_text(nodes_1d: int, nodes_3d: int, header: str = "", seed: int = 0) -> str:
    """Numbers a little beyond 0 to 1, of curves first."""
    numbers = np.random.default_rng(seed).uniform(-0.1, 1.1, (nodes_1d + nodes_3d**3, 3))
    sizes = [f"LUT_{kind}D_SIZE {nodes}" for kind, nodes in ((1, nodes_1d), (3, nodes_3d)) if nodes]
    rows = "\n".join(f"{r:.9g} {g:.9g} {b:.9g}" for r, g, b in numbers)
    return "\n".join([*sizes, header, rows]) + "\n"


def random_cube(nodes_1d: int, nodes_3d: int, header: str = "", seed: int = 0) -> Cube:
    return read_cube(random_text(nodes_1d, nodes_3d, header, seed).encode())


@pytest.mark.parametrize("nodes", [2, 3, 17, 33])
def test_what_is_written_is_read_back_to_the_bit(nodes: int) -> None:
    scale = torch.logspace(-20, 20, nodes, base=2)
    table = torch.randn(3, nodes, nodes, nodes, generator=torch.Generator().manual_seed(nodes)) * scale
    cube = read_cube(write_cube(table, "mine").encode())
    assert (cube.title, cube.nodes_1d, cube.nodes_3d, cube.is_plain) == ("mine", 0, nodes, True)
    assert torch.equal(own_lut.table_of(cube), table)


@pytest.mark.parametrize(
    "text",
    [
        IDENTITY.replace("\n", "\r\n"),
        IDENTITY.replace("\n", "\r"),
        "\ufeff" + IDENTITY,
        IDENTITY.rstrip("\n"),
        IDENTITY + "\n\n# the end\n",
        IDENTITY.replace("1 1 0", "\n# half of it\n\n  1\t1 0 \t"),
        IDENTITY.lower(),
        "DOMAIN_MAX 1 1.0 1e0\n\n" + IDENTITY.replace("\n", '\nTITLE "a b"\nDOMAIN_MIN 0 -0 +0\n', 1),
        "LUT_3D_INPUT_RANGE 0 1\nDOMAIN_MAX 1 1 1\n" + IDENTITY,
        "#\n" * 400_000 + IDENTITY,
    ],
)
def test_line_ends_comments_and_the_order_of_keywords_change_nothing(text: str) -> None:
    cube = read_cube(text.encode())
    assert cube.is_plain
    assert torch.equal(own_lut.table_of(cube), identity_lut(2))


def test_titles_are_kept_with_or_without_quotes() -> None:
    for title, kept in (('"Warm  evening"', "Warm  evening"), ("plain words", "plain words"), ('""', ""), ("", "")):
        assert read_cube(f"TITLE {title}\n{IDENTITY}".encode()).title == kept


def test_domains_are_those_of_the_dialect_that_says_them() -> None:
    one = read_cube(b"LUT_1D_SIZE 2\nDOMAIN_MIN 0 -1 .5\nDOMAIN_MAX 2 1 4\n0 0 0\n1 1 1\n")
    assert one.domain_1d == ((0, -1, 0.5), (2, 1, 4))
    assert one.domain_3d == cube_module.UNIT
    three = read_cube(b"LUT_3D_INPUT_RANGE -0.5 3\n" + IDENTITY.encode())
    assert three.domain_3d == ((-0.5,) * 3, (3,) * 3)
    text = INVERTING.replace("3D_INPUT_RANGE 0.0 1.0", "3D_INPUT_RANGE 0 2").replace("LUT_1D_INPUT_RANGE", "#")
    both = read_cube(("DOMAIN_MAX 3 4 5\n" + text).encode())
    assert (both.domain_1d, both.domain_3d) == (((0, 0, 0), (3, 4, 5)), ((0, 0, 0), (2, 2, 2)))


def test_the_facts_survive_json_and_give_the_table_again() -> None:
    cube = random_cube(5, 3, "DOMAIN_MIN 0 0.1 0.2")
    facts = json.loads(json.dumps(cube.facts()))
    assert Cube.of(facts, cube.numbers) == cube
    assert facts["bytes"] == len(cube.numbers) == (5 + 27) * 12
    assert facts["sha256"] != random_cube(5, 3, "DOMAIN_MIN 0 0.1 0.2", seed=9).facts()["sha256"]


def test_the_limits_are_those_of_the_look_up() -> None:
    assert (cube_module.MIN_NODES, cube_module.MAX_NODES) == (ops.MIN_NODES, ops.MAX_NODES)
    assert cube_rows.MAX_VALUE == ops.MAX_VALUE
    assert cube_module.MAX_BYTES >= 45 * cube_module.MAX_NODES**3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither LUT_1D_SIZE nor LUT_3D_SIZE"),
        ("# nothing\n", "neither LUT_1D_SIZE nor LUT_3D_SIZE"),
        (CORNERS, "line 1: neither LUT_1D_SIZE nor LUT_3D_SIZE stands before the numbers"),
        ("LUT_3D_SIZE 2", "line 1: the file ends after 0 rows of numbers, wanted 8 for LUT_3D_SIZE 2"),
        ("LUT_3D_SIZE 1\n", "line 1: LUT_3D_SIZE is '1', wanted an integer from 2 to 129"),
        ("LUT_3D_SIZE 130\n", "'130'"),
        ("LUT_3D_SIZE 2.0\n", "'2.0'"),
        ("LUT_3D_SIZE\n", "LUT_3D_SIZE is '', wanted"),
        ("LUT_3D_SIZE 2 2\n", "'2 2'"),
        ("LUT_3D_SIZE -2\n", "'-2'"),
        ("LUT_3D_SIZE " + "9" * 200 + "\n", "'999"),
        ("LUT_3D_SIZE " + "9" * 5000 + "\n", "line 1: 5012 bytes, wanted at most 250 in a line"),
        ('TITLE "' + "x" * 250 + '"\n' + IDENTITY, "line 1: 258 bytes, wanted at most 250 in a line"),
        (IDENTITY.replace("1 1 0", "0 " * 100_000), "line 5: 200000 bytes, wanted at most 250 in a line"),
        (IDENTITY.replace("0 1 0", "0 1").replace("1 1 0", "0 " * 100_000), "line 4: saw '0 1', wanted three"),
        ("LUT_1D_SIZE 65537\n", "wanted an integer from 2 to 65536"),
        ("LUT_3D_SIZE 2\n" + IDENTITY, "line 2: LUT_3D_SIZE is given again, first in line 1"),
        (IDENTITY.replace("1 1 0\n", ""), "line 8: the file ends after 7 rows of numbers, wanted 8 for LUT_3D_SIZE 2"),
        (IDENTITY + "#\n0 0 0\n", "line 11: saw '0 0 0' after the last row, wanted 8 rows of numbers"),
        (IDENTITY.replace("1 1 0", "1 1"), "line 5: saw '1 1', wanted three numbers"),
        (IDENTITY.replace("1 1 0", "1 1 0 0"), "line 5: saw '1 1 0 0', wanted three numbers"),
        (IDENTITY.replace("1 1 0", "1,1,0"), "line 5: saw '1,1,0', wanted three numbers"),
        (IDENTITY.replace("1 1 0", "1 1 0,5"), "line 5: saw '0,5', wanted a finite number"),
        (IDENTITY.replace("1 1 0", "1 nan 0"), "line 5: saw 'nan'"),
        (IDENTITY.replace("0 0 0", "nan 0 0"), "line 2: saw 'nan 0 0', wanted three numbers or one of TITLE"),
        (IDENTITY.replace("1 1 0", "1 inf 0"), "line 5: saw 'inf'"),
        (IDENTITY.replace("1 1 0", "1 1e309 0"), "line 5: saw '1e309', wanted a finite number within 2**100 of 0"),
        (IDENTITY.replace("1 1 0", "1 -1e31 0"), "line 5: saw '-1e31'"),
        (IDENTITY.replace("1 1 0", "1 1_0 0"), "line 5: saw '1_0'"),
        (IDENTITY.replace("1 1 0", "1 1-0 0"), "line 5: saw '1-0'"),
        (IDENTITY.replace("1 1 0", "1 0x1 0"), "line 5: saw '0x1'"),
        (IDENTITY.replace("1 1 0", "1 1 0" + 300 * " "), "line 5: 305 bytes, wanted at most 250 in a line"),
        (IDENTITY.replace("1 1 0", "DOMAIN_MIN 0 0 0"), "line 5: saw 'DOMAIN_MIN 0 0 0' after the first number"),
        ("SIZE 2\n" + IDENTITY, "line 1: saw 'SIZE 2', wanted three numbers or one of TITLE, LUT_1D_SIZE"),
        ("LUT_IN_VIDEO_RANGE\n" + IDENTITY, "line 1: saw 'LUT_IN_VIDEO_RANGE'"),
        ("DOMAIN_MIN 0 0\n" + IDENTITY, "line 1: DOMAIN_MIN is '0 0', wanted 3 finite numbers"),
        ("DOMAIN_MIN 0 0 inf\n" + IDENTITY, "line 1: DOMAIN_MIN is '0 0 inf'"),
        ("DOMAIN_MIN 0 1 0\n" + IDENTITY, "line 1: green goes from 1 to 1, wanted the first below the second"),
        ("LUT_3D_INPUT_RANGE 1 0\n" + IDENTITY, "line 1: red goes from 1 to 0"),
        ("LUT_3D_INPUT_RANGE 1\n" + IDENTITY, "line 1: LUT_3D_INPUT_RANGE is '1', wanted 2 finite numbers"),
        ("LUT_1D_INPUT_RANGE 0 1\n" + IDENTITY, "line 1: LUT_1D_INPUT_RANGE without a LUT_1D_SIZE"),
        ("LUT_3D_INPUT_RANGE 0 2\nDOMAIN_MAX 1 1 1\n" + IDENTITY, "line 2: DOMAIN_MAX is not what LUT_3D_INPUT_RANGE"),
        ("#" * ((1 << 20) + 1) + "\n" + IDENTITY, "line 1: no number within 1048576 bytes"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n" + 11_000 * "\n", "line 2: 11003 lines follow, wanted 2 rows"),
        (IDENTITY + "\0", "line 10: this is no text"),
        ("\x89PNG\r\n", r"line 1: saw '\xc2\x89PNG', wanted"),
    ],
)
def test_what_is_no_cube_file_is_named_by_line_with_what_was_seen(text: str, words: str) -> None:
    with pytest.raises(CubeError) as error:
        read_cube(text.encode())
    assert words in str(error.value)
    assert len(str(error.value)) < 300


def test_the_widest_table_of_the_most_nodes_is_within_the_limit() -> None:
    """What is written of any table can be read again."""
    widest = write_cube(torch.full((3, 2, 2, 2), -1.23456789e-30), "widest").splitlines()[-1]
    assert len(widest) + 1 == cube_module.ROW_BYTES
    assert cube_module.MAX_NODES**3 * cube_module.ROW_BYTES + cube_module.MAX_HEADER_BYTES < cube_module.MAX_BYTES


def test_a_file_beyond_the_limit_is_not_looked_at() -> None:
    with pytest.raises(CubeError, match="104857601 bytes, wanted at most 104857600"):
        read_cube(bytes(cube_module.MAX_BYTES + 1))
