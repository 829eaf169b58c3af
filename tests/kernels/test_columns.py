"""The deformable convolution by columns, a band of pixels at a time, on this processor."""

from __future__ import annotations

import pytest
import torch

from kernels import cpu
from tests.kernels.test_deform import assert_as_specified, built, draw_inputs


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("column_bytes", [1, 1 << 13, 1 << 16])
def test_bands_of_any_height_give_the_whole(
    column_bytes: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "COLUMN_BYTES", column_bytes)
    assert_as_specified(draw_inputs(2, 17, 6, 13, 21, dtype))
