"""LIIF as it is served: tiled equals whole, and flat grey stays flat, with our own weights in each precision here."""

from __future__ import annotations

import numpy as np
import pytest

from tests.living import photo
from tests.workers.enlarging import PRECISIONS
from workers.engine.engine import Engine
from workers.pictures.imageio import Picture

SIDES = (64, 72)


def quiet(done: int, total: int) -> None:
    return


def enlarged(pixels: np.ndarray, scale: float, *, tile: str, precision: str) -> np.ndarray:
    """LIIF's picture in 8 bits, as integers."""
    engine = Engine(device="cpu", precision=precision, tile=tile)
    height, width = (int(side * scale + 0.5) for side in pixels.shape[:2])
    picture = Picture(pixels, None, None, None, "png", False)
    return engine.upscale(picture, model="liif", height=height, width=width, tick=quiet).pixels.astype(int)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scale", [1.5, 2, 3.7, 8])
def test_tiles_equal_the_whole_to_one_level(scale: float, precision: str) -> None:
    pixels = photo(*SIDES)
    whole = enlarged(pixels, scale, tile="4096", precision=precision)
    tiled = enlarged(pixels, scale, tile="32", precision=precision)
    difference = np.abs(whole - tiled)
    print(f"x{scale} {precision}: largest {difference.max()}, {100 * (difference > 0).mean():.3f} % differ")
    assert difference.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("level", [0, 64, 128, 200, 255])
def test_flat_grey_stays_within_one_level_and_shows_no_tile(level: int, precision: str) -> None:
    pixels = np.full((*SIDES, 3), level, np.uint8)
    after = enlarged(pixels, 3.7, tile="32", precision=precision)
    print(f"grey {level} {precision}: {after.min()} to {after.max()}")
    assert np.abs(after - level).max() <= 1
    assert np.abs(np.diff(after, axis=0)).max() <= 1 and np.abs(np.diff(after, axis=1)).max() <= 1
