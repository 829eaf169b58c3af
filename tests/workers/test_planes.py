"""What is enlarged on its own: alpha beside the colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.workers.enlarging import enlarge, hole, noise, picture
from workers.engine.engine import Engine

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_constant_alpha_stays_exactly_constant(level: int) -> None:
    found = enlarge(Engine(device="cpu"), picture(noise(20, 20), np.full((20, 20), level, np.uint8)), "bicubic", "3.7")
    assert found.alpha is not None
    assert (found.alpha == level).all()


def test_a_mask_keeps_its_holes_its_solids_and_its_sharpness() -> None:
    found = enlarge(Engine(device="cpu"), picture(noise(48, 48), hole()), "bicubic", "8").alpha
    assert found is not None
    soft = (found > 0) & (found < 255)
    assert soft.mean() < 0.02  # an outline about one pixel wide, not eight
    assert abs((found == 0).mean() - (hole() == 0).mean()) < 0.02
    assert found[192, 192] == 0
    assert found[0, 0] == 255


def test_soft_alpha_follows_the_cubic_without_leaving_its_range() -> None:
    ramp = np.linspace(0, 255, 40).astype(np.uint8)[None].repeat(8, 0)
    found = enlarge(Engine(device="cpu"), picture(noise(8, 40), ramp), "bilinear", "3.7").alpha
    assert found is not None
    assert (np.diff(found[10].astype(int)) >= 0).all()
    expected = cv2.resize(ramp.astype(np.float32), (148, 30), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - expected).max() <= 3


def test_sixteen_bit_alpha_stays_sixteen_bits() -> None:
    alpha = noise(20, 20, 1, np.uint16)[..., 0]
    found = enlarge(Engine(device="cpu"), picture(noise(20, 20, 3, np.uint16), alpha), "bilinear").alpha
    assert found is not None
    assert found.dtype == np.uint16
    assert found.shape == (40, 40)
