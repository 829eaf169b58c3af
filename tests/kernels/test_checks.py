"""The checks that operations share: what they let pass, and what they say of the rest."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from kernels.library.checks import CODES, MAX_NODES, MIN_NODES, any_of, check_lut, check_storage, shape_of


def table(nodes: int, *batch: int) -> Tensor:
    return torch.zeros(1, dtype=torch.float32).expand(*batch, 3, nodes, nodes, nodes)


@pytest.mark.parametrize("nodes", [MIN_NODES, 33, MAX_NODES])
def test_tables_of_any_size_within_the_limits_pass_shared_or_one_for_each_picture(nodes: int) -> None:
    check_lut(table(nodes), None)
    check_lut(table(nodes), 4)
    check_lut(table(nodes, 4), 4)


@pytest.mark.parametrize(
    ("lut", "batch", "message"),
    [
        (table(MIN_NODES - 1), None, "lut has shape (3, 1, 1, 1), wanted (3, D, D, D) with D from 2 to 129"),
        (table(MAX_NODES + 1), None, "lut has shape (3, 130, 130, 130), wanted (3, D, D, D) with D from 2 to 129"),
        (table(5, 4), None, "lut has shape (4, 3, 5, 5, 5), wanted (3, D, D, D)"),
        (table(5, 3), 4, "lut has shape (3, 3, 5, 5, 5), wanted (3, D, D, D) or (4, 3, D, D, D)"),
        (table(5)[:2], 4, "lut has shape (2, 5, 5, 5), wanted (3, D, D, D) or (4, 3, D, D, D)"),
        (table(5)[:, 1:], None, "lut has shape (3, 4, 5, 5), wanted (3, D, D, D)"),
        (table(5)[..., 0], None, "lut has shape (3, 5, 5), wanted (3, D, D, D)"),
    ],
)
def test_a_table_of_another_shape_is_refused_with_its_shape(lut: Tensor, batch: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_lut(lut, batch)


def test_tensors_lie_on_one_device_in_plain_memory_or_are_named() -> None:
    here, there = torch.zeros(2, 2), torch.zeros(2, 2, device="meta")
    check_storage(picture=here, lut=here.t(), grad=here[:, 1:])
    with pytest.raises(ValueError, match=r"^picture is on cpu and grad on meta, wanted one device$"):
        check_storage(picture=here, lut=here, grad=there)
    with pytest.raises(ValueError, match=r"^lut is torch.sparse_coo, wanted torch.strided$"):
        check_storage(picture=here, lut=here.to_sparse())


def test_shapes_and_types_are_written_as_python_writes_them() -> None:
    assert f"{shape_of(torch.zeros(2, 0))}" == "(2, 0)"
    assert any_of(CODES) == "torch.uint8 or torch.uint16"
