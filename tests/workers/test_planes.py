"""What is enlarged on its own: alpha beside the colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from models.classical import Nearest
from models.contract import Upscaler
from tests.workers.enlarging import ConvNet, enlarge, hole, noise, picture, quiet
from workers.engine import tiles, transparency
from workers.engine.engine import Engine
from workers.engine.passes import Executor, NullObserver, Progress
from workers.engine.planes import ALPHA, PlanePass, alpha_pass, shown_colours
from workers.engine.sweep import sweep

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


def test_alpha_is_enlarged_on_the_processor_by_its_own_filter_and_by_nearest_where_colours_are() -> None:
    alpha = noise(20, 30, 1)[..., 0]
    soft, kept = alpha_pass(alpha, (40, 60), None), alpha_pass(alpha, (40, 60), Nearest())
    for one in (soft, kept):
        assert (one.executor.name, one.executor.device.type, one.batch) == (ALPHA, "cpu", 1)
        assert (one.picture.shape, one.result.shape) == ((20, 30, 1), (40, 60, 1))
        assert one.result.dtype == np.uint8
        plan = sweep(
            one.executor,
            one.picture,
            one.result,
            one.plan,
            batch=one.batch,
            progress=Progress(quiet, len(one.plan)),
            observe=NullObserver(),
        )
        assert plan == one.plan
    assert (kept.result[..., 0] == alpha.repeat(2, 0).repeat(2, 1)).all()
    assert len(np.unique(soft.result)) > len(np.unique(alpha)) // 2 and (soft.result != kept.result).any()


def test_channels_are_swept_at_once_but_one_by_one_where_each_window_is_the_whole_picture() -> None:
    executor: Executor[Upscaler] = Executor("conv", ConvNet(), torch.device("cpu"))

    def parts(channels: int, halo: int | None) -> list[tuple[int, int]]:
        pixels, result = noise(6, 8, channels), np.zeros((12, 16, 3), np.uint8)
        plan = tiles.plan((6, 8), (12, 16), tile=(12, 16), halo=halo)
        found = PlanePass(executor, pixels, result, plan, 1).parts()
        for source, target in found:
            target[...] += source[0, 0].max()
        assert (result == (pixels[0, 0] if len(found) > 1 else pixels[0, 0].max())).all()
        return [(source.shape[2], target.shape[2]) for source, target in found]

    assert parts(3, 2) == [(3, 3)]
    assert parts(3, None) == [(1, 1)] * 3
    assert parts(1, None) == parts(1, 2) == [(1, 3)]


def test_a_model_is_shown_the_colours_that_are_seen_within_its_reach() -> None:
    pixels, alpha = noise(48, 48), hole()
    assert shown_colours(picture(pixels), 6) is pixels
    shown = shown_colours(picture(pixels, alpha), 6)
    assert (shown[alpha == 255] == pixels[alpha == 255]).all()
    assert (shown[alpha == 0] != pixels[alpha == 0]).any()
    assert (shown == transparency.bleed(pixels, alpha, 6)).all()
