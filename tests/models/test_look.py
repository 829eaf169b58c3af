"""A look at a picture: crops from all over it as they are, and the whole by its means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import look
from models.look import CROP_SIDE, MOST_CROPS, REDUCED_SIDE, look_at


def draw(*size: int, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, size).astype(kind)


@pytest.mark.parametrize(
    ("length", "starts"),
    [(1, [0]), (128, [0]), (129, [0, 1]), (256, [0, 128]), (300, [0, 86, 172]), (1000, [0, 290, 581, 872])],
)
def test_crops_cover_a_short_side_and_are_spread_over_a_long_one(length: int, starts: list[int]) -> None:
    assert look.corners(length, min(length, CROP_SIDE)) == starts


def test_crops_are_the_picture_s_own_pixels_and_the_whole_its_means() -> None:
    pixels = draw(300, 128, 3)
    seen = look_at(pixels)
    assert seen.crops.shape == (1, 3, 3, CROP_SIDE, CROP_SIDE)
    wanted = torch.from_numpy(pixels[172:]).permute(2, 0, 1).float() / 255
    assert torch.equal(seen.crops[0, 2], wanted)
    assert seen.whole.shape == (1, 3, REDUCED_SIDE, REDUCED_SIDE)
    assert torch.allclose(seen.whole.mean((0, 2, 3)), torch.from_numpy(pixels / 255).float().mean((0, 1)), atol=2e-3)


def test_a_large_picture_costs_no_more_than_its_crops() -> None:
    assert look_at(np.zeros((3000, 4000, 1), np.uint8)).crops.shape[1] == MOST_CROPS**2


def test_a_picture_of_a_few_pixels_is_seen_as_it_is() -> None:
    pixels = draw(3, 5, 1, kind=np.uint16)
    seen = look_at(pixels)
    assert (seen.crops.shape, seen.whole.shape) == ((1, 1, 3, 3, 5), (1, 3, 3, 5))
    assert torch.allclose(seen.crops[0, 0], seen.whole[0])
    assert torch.allclose(seen.whole[0, 1], torch.from_numpy(pixels[..., 0] / 65535).float())


def test_it_knows_the_shorter_side_of_the_picture_wherever_it_goes() -> None:
    seen = look_at(draw(300, 128, 3))
    assert seen.short_side == seen.to(torch.device("cpu")).short_side == 128
