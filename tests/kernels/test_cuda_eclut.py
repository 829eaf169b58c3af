"""Table super-resolution by the CUDA kernels has every bit of the reference: on a processor by `cuda_on_host`, and the
same checks on a device (-m cuda)."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from kernels.cuda import eclut
from kernels.reference import eclut as ec_reference
from tests.kernels.draws import draw_codes, generator, same_bits


@cache
def ec_table(scale: int, step: str) -> Tensor:
    maps = torch.randint(-128, 128, (65536, 9 * scale * scale), generator=generator(scale)).to(torch.int8)
    return maps if step == "lr" else ec_reference.collapse(maps, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_table_super_resolution_gives_every_bit_of_the_reference(device: torch.device, step: str, scale: int) -> None:
    table = ec_table(scale, step)
    for size in ((1, 1), (1, 2), (2, 1), (2, 2), (1, 50), (3, 4), (17, 18), (33, 129)):
        picture = draw_codes(torch.uint8, *size, 3)
        wanted = ec_reference.eclut(picture, table, scale, step)
        assert same_bits(eclut.eclut(picture.to(device), table.to(device), scale, step).cpu(), wanted)


@pytest.mark.parametrize("step", ["lr", "hr"])
def test_extreme_tables_are_clamped_as_the_reference_clamps(device: torch.device, step: str) -> None:
    picture = draw_codes(torch.uint8, 9, 10, 3)
    for value in (-32768, -128, 127, 32767):
        table = ec_table(2, step).clone()
        table[:] = max(-128, min(127, value)) if step == "lr" else value
        wanted = ec_reference.eclut(picture, table, 2, step)
        assert same_bits(eclut.eclut(picture.to(device), table.to(device), 2, step).cpu(), wanted)


def test_entries_that_nine_maps_cannot_have_count_as_the_nearest_they_can(device: torch.device) -> None:
    """High and low ones in turn, so that their sums stay among the codes."""
    picture = draw_codes(torch.uint8, 17, 18, 3)
    high = torch.rand(65536, 16, generator=generator(0)) < 0.5
    table = torch.where(high, 32767, -32768).to(torch.int16)
    wanted = ec_reference.eclut(picture, table, 2, "hr")
    assert ((wanted > 0) & (wanted < 255)).double().mean() > 0.2
    assert same_bits(eclut.eclut(picture.to(device), table.to(device), 2, "hr"), wanted)


def test_pictures_higher_than_a_grid_go_round(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eclut, "MAX_GRID_Y", 3)
    picture, table = draw_codes(torch.uint8, 10, 4, 3), ec_table(3, "lr")
    wanted = ec_reference.eclut(picture, table, 3)
    assert same_bits(eclut.eclut(picture.to(device), table.to(device), 3).cpu(), wanted)


def test_views_and_empty_pictures_are_enlarged(device: torch.device) -> None:
    picture = draw_codes(torch.uint8, 12, 13, 3).to(device)
    wide = torch.cat([torch.zeros(1, 36, dtype=torch.int8), ec_table(2, "lr")]).to(device)
    table = wide[1:]  # begins 36 bytes into its memory
    view = picture[1::2, ::3]
    assert same_bits(eclut.eclut(view, table, 2), eclut.eclut(view.contiguous(), table.clone(), 2))
    assert eclut.eclut(picture[:0], table, 2).shape == (0, 26, 3)
