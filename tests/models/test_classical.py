"""The classical resamplers against Pillow, OpenCV and their own definitions."""

from __future__ import annotations

import math
from itertools import product

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models import classical
from models.classical import (
    KERNELS,
    Fourier,
    Kernel,
    Nearest,
    Resampler,
    back_projected,
    finer_halo,
    from_finer,
    taps,
)
from models.contract import Axis, View
from tests.kernels.test_resample import in_full

PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SIZES = [(74, 106), (137, 196), (38, 54), (37, 53), (20, 31), (10, 200), (296, 7)]


def whole(in_size: tuple[int, int], out_size: tuple[int, int]) -> View:
    """The whole output from a window that is the whole picture, without any border."""
    rows, cols = (Axis(0, out, out, source, 0) for source, out in zip(in_size, out_size, strict=True))
    return View(rows, cols)


def weights(axis: Axis, length: int, kernel: Kernel) -> Tensor:
    """The matrix (samples, length), float64."""
    return in_full(taps(axis, length, kernel), length)


def picture(height: int = 37, width: int = 53, low: int = 64, high: int = 192) -> np.ndarray:
    """Noise; its range leaves room for overshoot, which Pillow clamps between its two passes."""
    return np.random.default_rng(height * width).integers(low, high, (height, width, 3), dtype=np.uint8)


def as_window(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def as_pixels(tile: Tensor) -> np.ndarray:
    return (tile * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize(("name", "size"), list(product(PILLOW, SIZES)))
def test_a_resampler_equals_pillow_to_one_level_up_and_down(name: str, size: tuple[int, int]) -> None:
    source = picture()
    (tile,) = Resampler(KERNELS[name])(as_window(source), [whole((37, 53), size)])
    resized = Image.fromarray(source).resize((size[1], size[0]), PILLOW[name])
    assert apart(as_pixels(tile), np.asarray(resized)) <= 1


@pytest.mark.parametrize("size", [(74, 106), (137, 196), (20, 31), (37, 53)])
def test_nearest_equals_pillow_exactly(size: tuple[int, int]) -> None:
    source = picture(low=0, high=255)
    (tile,) = Nearest()(as_window(source), [whole((37, 53), size)])
    resized = Image.fromarray(source).resize((size[1], size[0]), Image.Resampling.NEAREST)
    assert apart(as_pixels(tile), np.asarray(resized)) == 0


@pytest.mark.parametrize("size", [(20, 31), (10, 17), (36, 52), (1, 1)])
def test_area_is_the_exact_mean_of_each_cell(size: tuple[int, int]) -> None:
    source = picture(low=0, high=255).astype(np.float32)
    (tile,) = Resampler(KERNELS["area"])(torch.from_numpy(source).permute(2, 0, 1)[None], [whole((37, 53), size)])
    expected = cv2.resize(source, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(tile.permute(1, 2, 0).numpy() - expected).max() < 1e-3


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("source", "out"), [(1, 1), (1, 7), (5, 8), (7, 26), (26, 7), (100, 3)])
def test_weights_sum_to_one_and_are_those_of_the_mirrored_axis(name: str, source: int, out: int) -> None:
    matrix = weights(Axis(0, out, out, source, 0), source, KERNELS[name])
    assert torch.allclose(matrix.sum(1), torch.ones(out, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(matrix, matrix.flip(0, 1), atol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("scale", [3.7, 1.0, 0.9, 0.31])
def test_the_stated_halo_holds_every_tap(name: str, scale: float) -> None:
    source, out = 100, round(100 * scale)
    axis = Axis(0, out, out, source, -1000)
    matrix = weights(axis, 3000, KERNELS[name])
    base = axis.positions()[0]
    used = (matrix.abs() > 1e-7).nonzero()
    reach = KERNELS[name].halo(out / source)
    assert bool((used[:, 1] >= base[used[:, 0]] - reach).all())
    assert bool((used[:, 1] <= base[used[:, 0]] + 1 + reach).all())


def test_cubic_interpolation_reproduces_a_parabola_inside() -> None:
    axis = Axis(0, 100, 100, 27, 0)
    line = torch.arange(27, dtype=torch.float64) ** 2
    place = (torch.arange(100, dtype=torch.float64) + 0.5) * 0.27 - 0.5
    found = weights(axis, 27, KERNELS["bicubic"]) @ line
    assert torch.allclose(found[10:-10], (place**2)[10:-10], atol=1e-4)


@pytest.mark.parametrize(("source", "out"), [(37, 137), (37, 20), (1, 5), (2, 3), (5, 5), (16, 31)])
def test_fourier_meets_every_cosine_of_its_basis(source: int, out: int) -> None:
    kept = min(source, out)
    k = torch.arange(kept, dtype=torch.float64)[:, None]
    given = torch.cos(math.pi * k * (torch.arange(source, dtype=torch.float64) + 0.5) / source)
    expected = torch.cos(math.pi * k * (torch.arange(out, dtype=torch.float64) + 0.5) / out)
    (tile,) = Fourier()(given.float()[None, None], [View(Axis(0, kept, kept, kept, 0), Axis(0, out, out, source, 0))])
    assert (tile[0].double() - expected).abs().max() < 1e-5


def test_fourier_tiles_are_parts_of_the_whole() -> None:
    window = as_window(picture())
    (full,) = Fourier()(window, [whole((37, 53), (91, 140))])
    (part,) = Fourier()(window, [View(Axis(13, 20, 91, 37, 0), Axis(100, 33, 140, 53, 0))])
    assert torch.allclose(part, full[:, 13:33, 100:133], atol=1e-6)


def test_fourier_refuses_a_window_that_is_not_the_whole_picture() -> None:
    with pytest.raises(ValueError, match="whole picture"):
        Fourier()(torch.zeros(1, 3, 10, 10), [View(Axis(0, 20, 20, 10, -1), Axis(0, 20, 20, 10, 0))])


@pytest.mark.parametrize("model", [*(Resampler(kernel) for kernel in KERNELS.values()), Nearest(), Fourier()])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_is_resampled_each_by_itself(model: Resampler, channels: int) -> None:
    window = torch.rand(1, channels, 9, 11, generator=torch.Generator().manual_seed(1))
    view = whole((9, 11), (23, 17))
    (tile,) = model(window, [view])
    (alone,) = model(window[:, -1:], [view])
    assert tile.shape == (channels, 23, 17)
    assert torch.allclose(tile[-1:], alone, atol=1e-6)


@pytest.mark.parametrize("model", [*(Resampler(kernel) for kernel in KERNELS.values()), Nearest(), Fourier()])
def test_a_constant_stays_constant(model: Resampler) -> None:
    (tile,) = model(torch.full((1, 1, 13, 7), 0.3), [whole((13, 7), (48, 26))])
    assert (tile - 0.3).abs().max() < 1e-6


def test_a_finer_window_comes_down_to_the_scale_asked_for() -> None:
    """x4 by nearest, then down to x3.7 with antialiasing: the window's halo suffices, and Pillow says the same."""
    source, factor, out = 40, 4, 148
    halo = finer_halo(factor)
    row = torch.rand(1, 1, source, generator=torch.Generator().manual_seed(2))
    fine = row.repeat_interleave(factor, -1)
    (expected,) = Resampler(KERNELS["bicubic"])(fine[None], [whole((1, source * factor), (1, out))])
    start, count = 60, 30
    first = (2 * start + 1) * source // (2 * out) - 1 - halo
    last = (2 * (start + count) + 1) * source // (2 * out) + 1 + halo
    cols = Axis(start, count, out, source, first)
    part = fine[..., first * factor : (last + 1) * factor].expand(-1, factor, -1)
    found = from_finer(part, View(Axis(0, 1, 1, 1, 0), cols), factor)
    assert torch.allclose(found[0, 0], expected[0, 0, start : start + count], atol=1e-6)


@pytest.mark.parametrize("in_size, out_size", [(7, 11), (12, 18), (10, 37), (40, 40), (9, 72)])
def test_axes_taken_for_alike_have_the_same_weights(in_size: int, out_size: int) -> None:
    """Wherever a tile begins: what is kept between tiles is what would have been computed."""
    kernel = KERNELS["bicubic"]
    for start in range(out_size):
        count = min(5, out_size - start)
        axis = Axis(start, count, out_size, in_size, start * in_size // out_size - 3)
        wanted = weights(axis, 12, kernel)
        alike = classical._first_alike(axis)
        assert torch.equal(weights(alike, 12, kernel), wanted)
        ready = classical._ready(alike, 12, kernel, torch.device("cpu"))
        assert torch.equal(in_full(ready, 12), wanted) and not ready.weight.is_inference()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("source", "out"), [(13, 48), (48, 13), (40, 37), (1, 5), (3, 300), (200, 3), (9, 9)])
def test_white_stays_white_to_the_bit(name: str, source: int, out: int) -> None:
    (tile,) = Resampler(KERNELS[name])(torch.ones(1, 2, source, source + 4), [whole((source, source + 4), (out, 7))])
    assert torch.equal(tile, torch.ones(2, out, 7))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("source", "out"), [(13, 48), (48, 13), (1, 5), (2, 7), (100, 3)])
def test_taps_are_inside_and_what_the_kernel_weighs(name: str, source: int, out: int) -> None:
    """Against the definition in float64; also where the kernel is wider than the picture."""
    kernel, axis = KERNELS[name], Axis(0, out, out, source, 0)
    first, weight = found = taps(axis, source, kernel)
    assert bool((first >= 0).all()) and bool((first + weight.shape[1] <= source).all())
    assert bool((first.diff() >= 0).all()) and weight.dtype == torch.float32
    place = (torch.arange(out, dtype=torch.float64) + 0.5) * source / out - 0.5
    wanted = kernel.weigh(torch.arange(source) - place[:, None], max(1.0, source / out))
    wanted = wanted / wanted.sum(1, keepdim=True)
    assert (in_full(found, source) - wanted).abs().max() < 1e-6


@pytest.mark.parametrize("name", KERNELS)
def test_an_axis_that_keeps_its_size_has_one_tap_a_sample(name: str) -> None:
    first, weight = taps(Axis(3, 20, 40, 40, 1), 30, KERNELS[name])
    assert first.tolist() == [*range(2, 22)] and weight.shape == (20, 1) and bool((weight == 1).all())
    window = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(3))
    view = View(Axis(3, 20, 40, 40, 1), Axis(3, 20, 40, 40, 1))
    assert torch.equal(Resampler(KERNELS[name])(window, [view])[0], window[0, :, 2:22, 2:22])


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("out", [(61, 90), (240, 301), (50, 64)])
def test_a_tile_has_the_bits_of_the_whole(name: str, out: tuple[int, int]) -> None:
    """Inside, where both windows hold every tap."""
    fine = torch.rand(1, 3, 120, 150, generator=torch.Generator().manual_seed(4))
    model = Resampler(KERNELS[name])
    (full,) = model(fine, [whole((120, 150), out)])
    rows, cols = (Axis(one // 3, one // 5, one, side, 11) for one, side in zip(out, (120, 150), strict=True))
    (part,) = model(fine[..., 11:, 11:-7], [View(rows, cols)])
    assert torch.equal(part, full[:, rows.start :, cols.start :][:, : rows.count, : cols.count])


@pytest.mark.parametrize("out", [(20, 33), (37, 26), (80, 80)])
def test_gradients_come_back_from_a_finer_window(out: tuple[int, int]) -> None:
    fine = torch.rand(6, 40, 40, generator=torch.Generator().manual_seed(5)).requires_grad_()
    view = whole((10, 10), out)
    samples = from_finer(fine, view, 4)
    grad = torch.rand(samples.shape, generator=torch.Generator().manual_seed(6))
    (by_fine,) = torch.autograd.grad(samples, fine, grad)
    down, across = (weights(Axis(0, one, one, 40, 0), 40, KERNELS["bicubic"]) for one in out)
    assert torch.allclose(samples.double(), down @ fine.detach().double() @ across.T, atol=1e-6)
    assert torch.allclose(by_fine.double(), down.T @ grad.double() @ across, atol=1e-5)


def test_what_is_projected_back_has_the_means_of_what_it_was_made_of() -> None:
    lr = torch.rand(3, 14, 12, generator=torch.Generator().manual_seed(0))
    fine = 3 * torch.rand(3, 56, 48, generator=torch.Generator().manual_seed(1))
    projected = back_projected(fine, lr, 4)
    missing = lr - F.interpolate(fine[None], (14, 12), mode="bicubic", antialias=True)[0]
    wanted = fine + F.interpolate(missing[None], (56, 48), mode="bicubic", antialias=True)[0]
    assert (projected - wanted).abs().max() < 1e-5
    colours = projected[:, 8:-8, 8:-8].mean((1, 2)) - lr[:, 2:-2, 2:-2].mean((1, 2))
    assert colours.abs().max() < 0.1 * (fine.mean((1, 2)) - lr.mean((1, 2))).abs().max() + 0.02


def test_projected_back_over_means_it_keeps_them_and_what_is_finer_stays_as_it_was_made() -> None:
    lr = torch.full((3, 40, 36), 0.5)
    finer = 0.1 * (torch.arange(160)[:, None] // 16 + torch.arange(144) // 16).remainder(2)  # squares of four pixels
    darker = (finer - 0.2).expand(3, -1, -1)
    projected = back_projected(darker, lr, 4, over=9)
    inner = (slice(None), slice(48, -48), slice(48, -48))
    assert (projected[inner].mean() - 0.5).abs() < 0.002
    assert (projected - darker)[inner].std() < 0.05 * darker.std()
    assert (back_projected(darker, lr, 4) - 0.5)[inner].std() < 0.5 * darker.std()
