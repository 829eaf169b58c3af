"""The reduction by areas: the compiled sums against the specification, and both against means written out.

Tolerance 2e-6: the specification adds up to some hundred numbers in float32, the compiled kernel adds integers.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels import cpu, ops
from kernels.reference import area

TOLERANCE = 2e-6


def draw(height: int, width: int, channels: int, dtype: torch.dtype) -> Tensor:
    top = 255 if dtype == torch.uint8 else 65535
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, top + 1, (height, width, channels), generator=generator).to(dtype)


def written_out(picture: Tensor, height: int, width: int) -> Tensor:
    top = 255 if picture.dtype == torch.uint8 else 65535
    rows, columns, _ = picture.shape
    out = torch.empty(height, width, picture.shape[2], dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            own = picture[y * rows // height : -(-(y + 1) * rows // height)]
            own = own[:, x * columns // width : -(-(x + 1) * columns // width)]
            out[y, x] = own.double().mean((0, 1)) / top
    return out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (5, 7, 5, 7), (17, 33, 4, 9), (33, 17, 32, 1), (129, 40, 1, 40)])
def test_every_form_gives_the_means_written_out(
    size: tuple[int, int, int, int], channels: int, dtype: torch.dtype
) -> None:
    picture = draw(*size[:2], channels, dtype)
    wanted = written_out(picture, *size[2:])
    for result in (ops.area_mean(picture, *size[2:]), area.area_mean(picture, *size[2:])):
        assert result.dtype == torch.float32
        assert (result.double() - wanted).abs().max() < TOLERANCE


def test_the_specification_in_bands_is_the_specification_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw(200, 90, 3, torch.uint8)
    whole = area.area_mean(picture, 77, 31)
    monkeypatch.setattr(area, "BAND_PIXELS", 1000)
    assert torch.equal(area.area_mean(picture, 77, 31), whole)


@pytest.mark.skipif(bool(cpu.why_missing()), reason=cpu.why_missing())
def test_threads_change_nothing_and_views_are_read_as_they_are() -> None:
    picture = draw(120, 150, 4, torch.uint8)[10:, :, :3]
    one = ops.area_mean(picture.contiguous(), 48, 48)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(ops.area_mean(picture, 48, 48), one)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("picture", "size", "words"),
    [
        (torch.zeros(4, 4, dtype=torch.uint8), (2, 2), "wanted (height, width, channels)"),
        (torch.zeros(0, 4, 3, dtype=torch.uint8), (1, 2), "none of them 0"),
        (torch.zeros(4, 4, 3), (2, 2), "wanted torch.uint8 or torch.uint16"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (5, 2), "size is 5x2"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (2, 0), "size is 2x0"),
    ],
)
def test_bad_input_is_refused_with_what_was_seen(picture: Tensor, size: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match="wanted") as raised:
        ops.area_mean(picture, *size)
    assert words in str(raised.value)


def test_the_op_is_well_behaved() -> None:
    picture = draw(9, 8, 3, torch.uint8)
    torch.library.opcheck(torch.ops.lutra.area_mean.default, (picture, 4, 3))


def test_the_default_type_of_torch_changes_nothing() -> None:
    picture, before = draw(9, 8, 3, torch.uint8), torch.get_default_dtype()
    wanted = ops.area_mean(picture, 4, 3)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(ops.area_mean(picture, 4, 3), wanted)
    finally:
        torch.set_default_dtype(before)


def test_areas_of_any_height_are_summed() -> None:
    tall = torch.full((70_000, 1, 1), 65535, dtype=torch.int32).to(torch.uint16)
    assert abs(float(ops.area_mean(tall, 1, 1)) - 1) < 1e-3
