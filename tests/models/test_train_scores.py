"""What papers measure, against its definitions and what others compute."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.train import scores


def test_psnr_is_what_the_formula_says() -> None:
    a = np.zeros((4, 4, 3))
    assert scores.psnr(a, a) == math.inf
    assert scores.psnr(a, a + 0.1) == pytest.approx(20)
    grey = np.full((8, 8, 3), 0.5)
    assert scores.luma(grey)[0, 0] == pytest.approx((16 + 219 * 0.5) / 255)
    spoilt = grey.copy()
    spoilt[:2] = 1
    assert scores.psnr_rgb(spoilt, grey, 2) == math.inf
    assert scores.psnr_rgb(spoilt, grey, 1.5) == math.inf
    assert scores.psnr_y(grey + 0.1, grey, 1) == pytest.approx(20 - 20 * math.log10(219 / 255))


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, one window after the other, with a weighted covariance by numpy."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (p[top : top + 11, left : left + 11].ravel() for p in (x, y))
            means = [np.average(v, weights=window.ravel()) for v in (a, b)]
            c = np.cov(a, b, aweights=window.ravel(), ddof=0)
            top_ = (2 * means[0] * means[1] + 1e-4) * (2 * c[0, 1] + 9e-4)
            found.append(top_ / ((means[0] ** 2 + means[1] ** 2 + 1e-4) * (c[0, 0] + c[1, 1] + 9e-4)))
    return float(np.mean(found))


def test_ssim_is_what_its_definition_gives_window_by_window() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((19, 23))
    y = (x + 0.2 * rng.standard_normal(x.shape)).clip(0, 1)
    assert scores.ssim(x, y) == pytest.approx(slow_ssim(x, y), abs=1e-12)
    assert scores.ssim(x, x) == pytest.approx(1)
    flat, brighter = np.full((12, 12), 0.3), np.full((12, 12), 0.6)
    assert scores.ssim(flat, brighter) == pytest.approx((2 * 0.18 + 1e-4) / (0.45 + 1e-4))
    colour = np.stack([x, x, y], -1)
    assert scores.ssim(colour, np.stack([x, y, y], -1)) == pytest.approx((2 + scores.ssim(x, y)) / 3)


def test_lab_of_known_colours() -> None:
    """Values of the sRGB primaries under D65 as colour tables print them."""
    for rgb, wanted in {
        (1, 1, 1): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 1, 0): (87.73, -86.18, 83.18),
        (0, 0, 1): (32.30, 79.19, -107.86),
    }.items():
        assert scores.lab(np.array(rgb, float)) == pytest.approx(wanted, abs=0.02)
    black, white = np.zeros((2, 2, 3)), np.ones((2, 2, 3))
    assert scores.delta_e(black, white) == pytest.approx(100, abs=1e-3)
