"""/enhance: a table of the user's own on its way through a job, tables as files, and what a result will weigh."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from models.cards import CARDS, OWN_LUT
from models.cube import Cube, read_cube
from tests.living import opened, photo
from workers.engine.engine import Engine
from workers.errors import ParameterError
from workers.operations.choice import Limits
from workers.operations.enhance import Enhance, EnhanceParameters, EnhanceQuery, TableFacts
from workers.operations.operation import Installation, Plan, Work, plan_encoding
from workers.pictures.picture import Header, Picture

ENHANCE = Enhance()
HEADER = Header("png", 64, 48, 8, has_alpha=False, is_grey=False, lossy=False)
AT = Installation({"lut3d": CARDS["lut3d"]}, Limits(8), {})
CURVES = b'TITLE "Negative"\nLUT_1D_SIZE 2\n1 1 1\n0 0 0\n'
SWAPPING = b"LUT_3D_SIZE 2\n0 0 0\n0 0 1\n0 1 0\n0 1 1\n1 0 0\n1 0 1\n1 1 0\n1 1 1\n"  # red for blue
WIDE = b"DOMAIN_MIN -1 0 0\nDOMAIN_MAX 2 1 1.5\n" + SWAPPING
SHAPED = (  # curves before a table, as Resolve writes them
    b"LUT_1D_SIZE 2\nLUT_3D_SIZE 2\nLUT_1D_INPUT_RANGE 0 2\n0 0 0\n1 1 1\n" + SWAPPING.partition(b"\n")[2]
)


def planned(table: Cube | None = None, **asked: object) -> Plan[EnhanceParameters]:
    query = EnhanceQuery.model_validate(asked)
    format_out = query.format if query.format != "auto" else "png"
    return ENHANCE.plan(query, HEADER, plan_encoding(query, format_out, HEADER), AT, table)


def ran(plan: Plan[EnhanceParameters], table: Cube | None = None) -> Picture | torch.Tensor:
    picture = Picture(photo(48, 64), None, None, None, "png", False)
    work = Work(ENHANCE, plan.card.name, plan.parameters, table)
    return ENHANCE.run(Engine(device="cpu"), picture, work, lambda done, total: None)


@pytest.mark.parametrize("data", [CURVES, SWAPPING, WIDE, SHAPED])
def test_a_table_of_the_user_is_whole_again_after_the_job_s_json(data: bytes) -> None:
    cube = read_cube(data)
    plan = planned(cube, strength=0.5)
    assert (plan.card, plan.size) == (OWN_LUT, (48, 64))
    assert plan.parameters.lut == TableFacts.model_validate(cube.facts())
    kept = json.dumps(plan.parameters.to_json())
    read = EnhanceParameters.model_validate(json.loads(kept))
    assert read == plan.parameters and ENHANCE.has_table(read)
    assert ENHANCE.table_of(read, cube.numbers) == cube


def test_without_a_table_the_job_tells_of_none() -> None:
    plan = planned()
    assert plan.card == CARDS["lut3d"]
    assert "lut" not in plan.parameters.to_json()
    assert not ENHANCE.has_table(plan.parameters) and ENHANCE.table_of(plan.parameters, b"") is None


@pytest.mark.parametrize(
    ("data", "asked", "parameter", "words"),
    [
        (SWAPPING, {"model": "lut3d"}, "model", "leave model=lut3d out"),
        (CURVES, {"format": "cube"}, "format", "has curves"),
        (WIDE, {"format": "cube"}, "format", "a domain other than 0 to 1"),
    ],
)
def test_what_a_table_of_the_user_cannot_be_asked_for_is_a_sentence(
    data: bytes, asked: dict[str, str], parameter: str, words: str
) -> None:
    with pytest.raises(ParameterError, match=words) as refused:
        planned(read_cube(data), **asked)
    assert refused.value.members["parameter"] == parameter
    planned(read_cube(data))


def test_the_table_of_a_picture_leaves_as_a_file_that_reads_as_the_same_numbers() -> None:
    plan = planned(format="cube")
    table = ran(plan)
    assert isinstance(table, torch.Tensor)
    made = ENHANCE.encode(table, plan.parameters)
    assert (made.format, made.width, made.height, made.pixels) == ("cube", 33, 33, 0)
    assert made.media_type.startswith("text/plain") and "pixels" not in made.facts()
    read = read_cube(made.data)
    assert (read.title, read.nodes_1d, read.nodes_3d) == ("Lutra", 0, 33)
    rows = np.frombuffer(read.numbers, "<f4").reshape(33, 33, 33, 3)
    assert np.array_equal(rows, table.permute(1, 2, 3, 0).numpy())
    assert len(made.data) <= ENHANCE.result_bytes(plan.parameters, 0) + 200  # its head


def test_a_table_of_the_user_leaves_as_it_came_and_half_of_it_half_way_to_what_changes_nothing() -> None:
    cube = read_cube(SWAPPING)
    whole, half = (planned(cube, format="cube", strength=strength) for strength in (1, 0.5))
    found = ENHANCE.encode(ran(whole, cube), whole.parameters)
    assert read_cube(found.data).numbers == cube.numbers
    assert ENHANCE.result_bytes(whole.parameters, 10**6) == 8 * 48
    identity = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")[::-1], -1).reshape(-1, 3)
    halved = np.frombuffer(read_cube(ENHANCE.encode(ran(half, cube), half.parameters).data).numbers, "<f4")
    assert np.array_equal(halved.reshape(-1, 3), (np.frombuffer(cube.numbers, "<f4").reshape(-1, 3) + identity) / 2)


def test_a_picture_goes_through_the_table_and_leaves_as_a_picture() -> None:
    cube = read_cube(SWAPPING)
    plan = planned(cube)
    made = ENHANCE.encode(ran(plan, cube), plan.parameters)
    assert (made.format, made.media_type, made.pixels) == ("png", "image/png", 48 * 64)
    assert np.array_equal(np.asarray(opened(made.data)), photo(48, 64)[..., ::-1])


def test_nothing_is_computed_for_strength_nought_or_a_table_and_a_table_costs_the_same_for_any_picture() -> None:
    card, size = CARDS["lut3d"], (3000, 4000)
    assert ENHANCE.computed_pixels(card, size, planned().parameters) == 12_000_000
    assert ENHANCE.computed_pixels(card, size, planned(strength=0).parameters) == 0
    table = planned(format="cube").parameters
    assert ENHANCE.computed_pixels(card, size, table) == 0
    assert ENHANCE.encode_s(table, size) == ENHANCE.encode_s(table, (1, 1)) > 0
    assert ENHANCE.encode_s(planned().parameters, size) > ENHANCE.encode_s(planned().parameters, (1, 1))
    assert ENHANCE.result_bytes(planned().parameters, 12_000_000) == 36_000_000
