"""Table super-resolution against its definition written out, and every path of the processor against the specification.

Everything is integers, so every comparison is exact.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels import cpu
from kernels.reference import eclut as reference
from kernels.reference.eclut import REACH, UNIT, collapse, eclut
from tests.kernels.paths import PATHS, need, on_each_path

SCALES = (2, 3, 4)
STEPS = ("lr", "hr")
SIDES = (1, 2, 17, 33, 129)
ROWS = 65536

on_each_scale = pytest.mark.parametrize("scale", SCALES)
on_each_step = pytest.mark.parametrize("step", STEPS)


@cache
def draw_maps(scale: int) -> Tensor:
    """Nine maps as step "lr" holds them, over the whole range of int8."""
    generator = torch.Generator().manual_seed(scale)
    return torch.randint(-128, 128, (ROWS, 9 * scale**2), dtype=torch.int8, generator=generator)


@cache
def draw_table(scale: int, step: str) -> Tensor:
    return draw_maps(scale) if step == "lr" else collapse(draw_maps(scale), scale)


def draw_picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * height + width)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


@cache
def specified(height: int, width: int, step: str, scale: int) -> Tensor:
    return eclut(draw_picture(height, width), draw_table(scale, step), scale, step)


def fold(place: int, size: int) -> int:
    """A place outside walks back from the edge; one beyond the other edge turns round again."""
    if size == 1:
        return 0
    while not 0 <= place < size:
        place = -place if place < 0 else 2 * (size - 1) - place
    return place


def written_out(picture: Tensor, maps: Tensor, scale: int, shift: int) -> Tensor:
    """The definition, one value after the other; the nine maps are placed `shift` large pixels apart."""
    height, width, _ = picture.shape
    pixels = picture.numpy().astype(int)
    blocks = maps.numpy().reshape(ROWS, 3, 3, scale, scale).astype(int)
    sums = np.zeros((height * scale, width * scale, 3), int)
    towards = [(1, 0), (0, -1), (-1, 0), (0, 1)]  # the pixel below once the picture is turned 0 to 3 times to the left
    for y, x, turn, colour in product(range(-1, height + 1), range(-1, width + 1), range(4), range(3)):
        down, right = towards[turn]
        a = pixels[fold(y, height), fold(x, width), colour]
        b = pixels[fold(y + down, height), fold(x + right, width), colour]
        for i, j in product(range(3), repeat=2):
            block = np.rot90(a + 6 * blocks[256 * a + b, i, j], -turn)
            place = np.zeros((3, 3), int)
            place[i, j] = 1
            (i_turned,), (j_turned,) = np.nonzero(np.rot90(place, -turn))
            for u, v in product(range(scale), repeat=2):
                row = y * scale + (i_turned - 1) * shift + u
                column = x * scale + (j_turned - 1) * shift + v
                if 0 <= row < len(sums) and 0 <= column < sums.shape[1]:
                    sums[row, column, colour] += block[u, v]
    halves_up = np.floor(sums / 36 + 0.5).astype(int)
    return torch.from_numpy(halves_up.clip(0, 255).astype(np.uint8))


@on_each_scale
@on_each_step
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5)])
def test_the_specification_equals_the_definition_written_out(size: tuple[int, int], step: str, scale: int) -> None:
    picture = draw_picture(*size)
    for maps in (draw_maps(scale), draw_maps(scale) // 8):
        table = maps if step == "lr" else collapse(maps, scale)
        wanted = written_out(picture, maps, scale, shift=scale if step == "lr" else 1)
        assert torch.equal(eclut(picture, table, scale, step), wanted)


@on_each_scale
@on_each_step
def test_a_table_of_zeros_is_the_mean_of_nine(step: str, scale: int) -> None:
    """For "lr" of the nine small pixels around, for "hr" of nine pixels of the picture with each pixel repeated."""
    picture = draw_picture(6, 7)
    larger = picture.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    columns = 9 * scale**2 if step == "lr" else (scale + 2) ** 2
    table = torch.zeros(ROWS, columns, dtype=torch.int8 if step == "lr" else torch.int16)
    values = (picture if step == "lr" else larger).double().permute(2, 0, 1)[None]
    border = "reflect" if step == "lr" else "replicate"  # a large pixel's neighbour outside is its own small pixel's
    padded = torch.nn.functional.pad(values, (1, 1, 1, 1), mode=border)
    means = (torch.nn.functional.avg_pool2d(padded, 3, stride=1) * 9).round() / 9
    wanted = (means + 0.5).floor()[0].permute(1, 2, 0).to(torch.uint8)
    if step == "lr":
        assert torch.equal(eclut(picture, table, scale), wanted.repeat_interleave(scale, 0).repeat_interleave(scale, 1))
    else:
        inside = slice(scale, -scale)
        assert torch.equal(eclut(picture, table, scale, "hr")[inside, inside], wanted[inside, inside])


@on_each_scale
def test_collapsing_sums_the_nine_maps(scale: int) -> None:
    maps = draw_maps(scale)
    table = collapse(maps, scale)
    assert table.shape == (ROWS, (scale + 2) ** 2)
    assert table.dtype == torch.int16
    assert torch.equal(2 * table.sum(1, dtype=torch.int64), UNIT * maps.sum(1, dtype=torch.int64))
    assert reference.coverage(scale).sum() == 9 * scale**2


@on_each_path
@on_each_scale
@on_each_step
@pytest.mark.parametrize("side", SIDES)
def test_every_path_equals_the_specification(side: int, step: str, scale: int, path: str) -> None:
    need(path)
    for height, width in {(side, side), (side, 5), (3, side)}:
        picture, table, wanted = (
            draw_picture(height, width),
            draw_table(scale, step),
            specified(height, width, step, scale),
        )
        for threads in (1, 3):
            assert torch.equal(cpu.eclut(picture, table, scale, step, threads=threads, path=path), wanted)


@on_each_path
@on_each_scale
@pytest.mark.parametrize(("step", "entry"), [("lr", -128), ("lr", 127), ("hr", -32768), ("hr", 32767)])
def test_extreme_tables_and_pictures_saturate(step: str, entry: int, scale: int, path: str) -> None:
    table = torch.full_like(draw_table(scale, step), entry)
    black, white = torch.zeros(3, 70, 3, dtype=torch.uint8), torch.full((70, 3, 3), 255, dtype=torch.uint8)
    both = draw_picture(5, 9) // 128 * 255
    on_black, on_white = (0, 0) if entry < 0 else (255, 255)
    assert (eclut(black, table, scale, step) == on_black).all()
    assert (eclut(white, table, scale, step) == on_white).all()
    need(path)
    for picture in (black, white, both):
        wanted = eclut(picture, table, scale, step)
        assert torch.equal(cpu.eclut(picture, table, scale, step, path=path), wanted)


@on_each_path
@on_each_scale
def test_entries_that_nine_maps_cannot_sum_to_count_as_the_nearest_that_they_can(scale: int, path: str) -> None:
    generator = torch.Generator().manual_seed(9)
    wild = torch.randint(-32768, 32768, (ROWS, (scale + 2) ** 2), dtype=torch.int16, generator=generator)
    bound = reference.coverage(scale).flatten()
    tame = wild.int().clamp(-384 * bound, 381 * bound).to(torch.int16)
    picture = draw_picture(7, 66)
    wanted = eclut(picture, tame, scale, "hr")
    assert torch.equal(eclut(picture, wild, scale, "hr"), wanted)
    need(path)
    assert torch.equal(cpu.eclut(picture, wild, scale, "hr", path=path), wanted)


def corner_entries(scale: int) -> list[int]:
    """Where a row holds the thirty-six values that meet in the first large pixel of a picture of one small one."""
    cells = np.arange(9 * scale**2).reshape(3, 3, scale, scale)
    square = cells.transpose(0, 2, 1, 3).reshape(3 * scale, 3 * scale)
    firsts = range(0, 3 * scale, scale)
    return [int(np.rot90(square, -turn)[i, j]) for turn in range(4) for i, j in product(firsts, firsts)]


@pytest.mark.parametrize("path", ["specification", *PATHS])
@on_each_scale
def test_sums_are_divided_exactly(scale: int, path: str) -> None:
    """The least and the largest sum there is, and those where codes change: at scale 2 each one, else some."""
    if path != "specification":
        need(path)
    entries = corner_entries(scale)
    assert len(set(entries)) == 36
    table = torch.zeros(ROWS, 9 * scale**2, dtype=torch.int8)
    every = 1 if scale == 2 and path != "specification" else 17
    for third in [-4608, *range(-40, 6 * 255 + 40, every), 6 * 255 + 36 * 127]:
        a = min(max(third // 6, 0), 255)
        each, more = divmod(third - 6 * a, 36)  # the sum is 36 a + 6 * entries, six times `third`
        table[257 * a, entries] = torch.tensor([each + 1] * more + [each] * (36 - more), dtype=torch.int8)
        picture = torch.full((1, 1, 3), a, dtype=torch.uint8)
        result = (
            eclut(picture, table, scale) if path == "specification" else cpu.eclut(picture, table, scale, path=path)
        )
        assert result[0, 0].tolist() == 3 * [min(max((6 * third + 18) // 36, 0), 255)]


@on_each_scale
@on_each_step
@pytest.mark.parametrize("path", ["specification", *PATHS])
def test_tiles_with_a_halo_equal_the_whole(path: str, step: str, scale: int) -> None:
    picture, table = draw_picture(23, 80), draw_table(scale, step)

    def enlarge(part: Tensor) -> Tensor:
        if path == "specification":
            return eclut(part, table, scale, step)
        need(path)
        return cpu.eclut(part, table, scale, step, path=path)

    whole = enlarge(picture)
    for top, left in product(range(0, 23, 9), range(0, 80, 31)):
        bottom, right = min(top + 9, 23), min(left + 31, 80)
        above, before = min(top, REACH), min(left, REACH)
        tile = enlarge(picture[top - above : bottom + REACH, left - before : right + REACH])
        rows = slice(above * scale, (above + bottom - top) * scale)
        columns = slice(before * scale, (before + right - left) * scale)
        wanted = whole[top * scale : bottom * scale, left * scale : right * scale]
        assert torch.equal(tile[rows, columns], wanted)


@on_each_step
def test_empty_pictures_and_views_with_strides_are_welcome(step: str) -> None:
    table = draw_table(2, step)
    assert eclut(torch.zeros(0, 5, 3, dtype=torch.uint8), table, 2, step).shape == (0, 10, 3)
    need("portable")
    for shape in ((0, 5, 3), (5, 0, 3)):
        assert cpu.eclut(torch.zeros(shape, dtype=torch.uint8), table, 2, step).numel() == 0
    view = draw_picture(20, 30)[::2, ::3].flip(1).transpose(0, 1)
    turned = table.t().contiguous().t()
    assert torch.equal(cpu.eclut(view, turned, 2, step), eclut(view.contiguous(), table, 2, step))


def test_what_does_not_belong_together_is_refused_before_it_is_read() -> None:
    need("portable")
    picture, table = draw_picture(3, 3), draw_table(2, "lr")
    with pytest.raises(ValueError, match="do not belong together"):
        cpu.eclut(picture, table, 3)
    with pytest.raises(ValueError, match="wanted scale 2, 3 or 4"):
        cpu.eclut(picture, table, 5)
    with pytest.raises(ValueError, match='path is "sse", wanted auto'):
        cpu.eclut(picture, table, 2, path="sse")
    with pytest.raises(TypeError):
        cpu.eclut(picture, table[:5], 2)
