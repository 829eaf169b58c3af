"""Alpha weighs colour: what hardly anybody sees decides nothing, judged as a viewer sees it, on a ground.

What is right is the premultiplied enlargement: the mean of colours weighted by kernel and alpha. Enlarged colours are
compared with it where they are seen: on black, white or grey an error of colour shows as error times alpha.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from kernels.reference.resample import Taps, resample
from models.classical import KERNELS, taps
from models.contract import Axis, View
from tests.living import photo
from tests.workers.enlarging import noise
from workers.engine import transparency
from workers.engine.engine import Engine
from workers.engine.tiles import cut
from workers.pictures.picture import Picture

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 48
RED, GREEN = (200, 40, 30), (0, 255, 0)
MODELS = ("bilinear", "bicubic", "lanczos", "fourier", "eclut", "srresnet", "liif")
Case = tuple[np.ndarray, np.ndarray]


def quiet(done: int, total: int) -> None:
    pass


def picture(pixels: np.ndarray, alpha: np.ndarray | None) -> Picture:
    return Picture(pixels, alpha, None, None, "png", False)


def enlarge(case: Case, model: str, scale: int = 3) -> Picture:
    height, width = (scale * side for side in case[1].shape)
    return Engine(device="cpu").upscale(picture(*case), model=model, height=height, width=width, tick=quiet)


def from_the_middle() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    distance: np.ndarray = np.hypot(y, x)
    return distance


def with_rim(level: int) -> Case:
    """A red disc, opaque, with a rim of two pixels of another colour and this alpha."""
    distance = from_the_middle()
    pixels = np.full((SIZE, SIZE, 3), RED, np.uint8)
    pixels[distance >= 15] = GREEN
    return pixels, np.where(distance < 15, 255, np.where(distance < 17, level, 0)).astype(np.uint8)


def surrounded(level: int) -> Case:
    pixels, alpha = with_rim(level)
    return pixels, np.where(alpha == 255, 255, level).astype(np.uint8)


def soft_edge() -> Case:
    """Eight pixels from opaque to nothing, with stray colour where hardly anything is seen."""
    alpha = np.clip((20 - from_the_middle()) / 8 * 255, 0, 255).astype(np.uint8)
    pixels = np.full((SIZE, SIZE, 3), RED, np.uint8)
    pixels[alpha < 3] = GREEN
    return pixels, alpha


def text() -> Case:
    """Dark letters whose faintest pixels are white, as cut out of a white page."""
    page = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(page).text((2, 10), "Quick 8", fill=255, font_size=14)
    alpha = np.array(page)
    pixels = np.full((SIZE, SIZE, 3), 30, np.uint8)
    pixels[alpha < 12] = 255
    return pixels, alpha


def lone_pixel() -> Case:
    """One opaque pixel in a haze of another colour."""
    pixels, alpha = np.full((SIZE, SIZE, 3), GREEN, np.uint8), np.full((SIZE, SIZE), 1, np.uint8)
    pixels[20, 20], alpha[20, 20] = RED, 255
    return pixels, alpha


def sixteen(case: Case, alpha_of: Callable[[np.ndarray], np.ndarray] = lambda alpha: alpha) -> Case:
    pixels, alpha = (part.astype(np.uint16) * 257 for part in case)
    return pixels, alpha_of(alpha)


def seen_error(found: Picture, case: Case) -> float:
    """The largest difference from the premultiplied enlargement that any ground shows, in levels of 255."""
    pixels, alpha = case
    assert found.alpha is not None
    top = np.iinfo(pixels.dtype).max
    share = alpha / top
    whole = premultiplied(np.dstack([pixels * share[..., None] * (255 / top), share]), found.alpha.shape)
    right = (whole[..., :3] / np.maximum(whole[..., 3:], 1e-9)).clip(0, 255)
    told = (whole[..., 3] > 0.5 / 255) & (found.alpha > 0)
    error = np.abs(found.pixels * (255 / top) - right) * (found.alpha / top)[..., None]
    return float(error[told].max())


def premultiplied(planes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Planes (h, w, 4) enlarged by the cubic kernel in float64, unrounded."""
    view = View(*(Axis(0, out, out, side, -4) for side, out in zip(planes.shape[:2], size, strict=True)))
    window = np.empty((planes.shape[0] + 8, planes.shape[1] + 8, 4))
    cut(planes, view, window)
    axes = (
        taps(axis, side, KERNELS["bicubic"]) for axis, side in zip((view.rows, view.cols), window.shape, strict=False)
    )
    rows, cols = (Taps(first, weight.double()) for first, weight in axes)
    return resample(torch.from_numpy(window).permute(2, 0, 1), rows, cols).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("make", [with_rim, surrounded])
@pytest.mark.parametrize("level", [1, 2])
def test_stray_colour_that_hardly_anybody_sees_makes_no_rim(
    model: str, make: Callable[[int], Case], level: int
) -> None:
    case = make(level)
    error = seen_error(enlarge(case, model), case)
    print(f"{model} {make.__name__} {level}: {error:.1f}")
    assert error < 3


@pytest.mark.parametrize("level", [1, 20, 300])
@pytest.mark.parametrize("model", ["bicubic", "lanczos", "srresnet"])
def test_stray_colour_of_faint_16_bit_alpha_makes_no_rim(model: str, level: int) -> None:
    case = sixteen(with_rim(0), lambda alpha: np.where((alpha == 0) & (from_the_middle() < 17), level, alpha))
    case = case[0], case[1].astype(np.uint16)
    assert seen_error(enlarge(case, model), case) < 3


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("make", "model", "most"),
    [
        (soft_edge, "bicubic", 3),
        (soft_edge, "srresnet", 4),
        (text, "bicubic", 12),
        (text, "eclut", 32),
        (lone_pixel, "bicubic", 1.5),
        (lone_pixel, "lanczos", 1.5),
        (lambda: with_rim(20), "bicubic", 16),
        (lambda: with_rim(64), "bicubic", 26),
        (lambda: with_rim(200), "bicubic", 13),
    ],
)
def test_colour_is_near_the_premultiplied_enlargement(
    make: Callable[[], Case], model: str, most: float, deep: bool
) -> None:
    case = sixteen(make()) if deep else make()
    error = seen_error(enlarge(case, model), case)
    print(f"{error:.1f} of {most}")
    assert error < most


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("model", ["bicubic", "lanczos"])
def test_one_colour_under_any_alpha_stays_that_colour(model: str, deep: bool) -> None:
    alpha = soft_edge()[1]
    case = np.full((SIZE, SIZE, 3), RED, np.uint8), np.where(alpha, alpha, 0).astype(np.uint8)
    found = enlarge(sixteen(case) if deep else case, model).pixels
    assert (found == found[0, 0]).all()
    assert (found[0, 0] == np.array(RED) * (257 if deep else 1)).all()


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_as_visible_as_its_surroundings_keeps_its_colour_to_the_bit(deep: bool) -> None:
    rng = np.random.default_rng(5)
    pixels = photo(SIZE, SIZE)
    nearly = rng.integers(230, 256, (SIZE, SIZE)).astype(np.uint8)
    faint = np.where(np.arange(SIZE) < 24, 60, 255).astype(np.uint8)[None].repeat(SIZE, 0)
    for alpha, kept in ((nearly, nearly > 0), (faint, (np.arange(SIZE) < 24 - transparency.NEAR) | (faint == 255))):
        case = sixteen((pixels, alpha)) if deep else (pixels, alpha)
        assert (transparency.bleed(*case) == case[0])[kept].all()


def test_a_fade_changes_colour_smoothly_and_where_it_is_seen_not_at_all() -> None:
    alpha = np.linspace(0, 255, 256).astype(np.uint8)[None].repeat(SIZE, 0)
    pixels = photo(SIZE, 256)
    shown = transparency.bleed(pixels, alpha).astype(int)
    assert (shown == pixels)[:, 32:].all()
    assert (np.abs(shown - pixels).max((0, 2)) * alpha[0] / 255).max() < 2
    even = np.full((SIZE, 256, 3), RED, np.uint8)
    assert (transparency.bleed(even, alpha) == even).all()


@pytest.mark.parametrize("deep", [False, True])
def test_bands_make_one_picture(deep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    alpha = cv2.GaussianBlur(rng.integers(0, 256, (300, 60)).astype(np.float32), (0, 0), 9)
    alpha = ((alpha - alpha.mean()) * 40).clip(0, 255).astype(np.uint8)
    case = sixteen((photo(300, 60), alpha)) if deep else (photo(300, 60), alpha)
    whole = transparency.bleed(*case)
    means = transparency.seen_means(case[0], case[1], 100, 20)
    monkeypatch.setattr(transparency, "BAND_ROWS", 16)
    assert np.abs(transparency.bleed(*case).astype(int) - whole).max() <= 1
    assert np.array_equal(transparency.seen_means(case[0], case[1], 100, 20), means)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_the_same_alpha_everywhere_changes_no_colour(level: int) -> None:
    pixels = photo(20, 30)
    assert transparency.bleed(pixels, np.full((20, 30), level, np.uint8)) is pixels


def test_nearest_keeps_the_values_of_colour_and_alpha_also_where_nothing_is_seen() -> None:
    for case in (soft_edge(), with_rim(1), sixteen(text())):
        found = enlarge(case, "nearest")
        for part, source in ((found.pixels, case[0]), (found.alpha, case[1])):
            assert part is not None
            assert (part == source.repeat(3, 0).repeat(3, 1)).all()


def test_restoring_leaves_the_own_colour_of_faint_pixels() -> None:
    for case in (with_rim(1), with_rim(60), sixteen(soft_edge())):
        found = Engine(device="cpu").restore(picture(*case), model="airnet", strength=1e-9, tick=quiet)
        visible = case[1] > 0
        assert np.abs(found.pixels.astype(int) - case[0])[visible].max() <= 1


def test_restoring_sees_no_stray_colour_in_a_rim() -> None:
    engine = Engine(device="cpu")
    pixels, alpha = surrounded(1)
    clean = np.full_like(pixels, RED)
    seen = alpha == 255
    found, right = (
        engine.restore(picture(colours, alpha), model="airnet", tick=quiet).pixels[seen].astype(int)
        for colours in (pixels, clean)
    )
    assert np.abs(found - right).max() <= 1


# What the predictor of /enhance sees


def table(case: Case) -> torch.Tensor:
    return Engine(device="cpu").fused_table(picture(*case), model="lut3d", strength=1.0)


@pytest.mark.parametrize("level", [1, 300])
@pytest.mark.parametrize("stray", [GREEN, (255, 255, 255), (0, 0, 0)])
def test_colour_that_hardly_anybody_sees_moves_no_table(stray: tuple[int, int, int], level: int) -> None:
    alpha = np.full((300, 400), 65535, np.uint16)
    alpha[:, 200:] = level
    clean = photo(300, 400).astype(np.uint16) * 257
    pixels = clean.copy()
    pixels[:, 200:] = np.array(stray) * 257
    right = table((clean, np.where(alpha == level, 0, alpha).astype(np.uint16)))
    moved = float((table((pixels, alpha)) - right).abs().max())
    whole = float((table((pixels, np.full_like(alpha, 65535))) - right).abs().max())
    print(f"moved by {moved * 255:.2f} levels, counted in full by {whole * 255:.1f}")
    assert moved < 0.05 * whole
    assert moved < 1.5 / 255


def test_a_cell_is_the_mean_of_its_pixels_weighted_by_alpha() -> None:
    pixels, alpha = photo(8, 8), np.full((8, 8), 250, np.uint8)
    alpha[::2] = 255
    found = transparency.seen_means(pixels, alpha, 4, 4)
    weight = alpha.astype(float)[..., None].reshape(4, 2, 4, 2, 1)
    right = (pixels.reshape(4, 2, 4, 2, 3) * weight).sum((1, 3)) / weight.sum((1, 3)) / 255
    assert np.abs(found - right).max() < 1e-6
    deep = transparency.seen_means(*sixteen((pixels, alpha)), 4, 4)
    assert np.abs(deep - right).max() < 2e-5


def test_a_lone_opaque_pixel_is_all_that_the_predictor_sees() -> None:
    found = transparency.seen_means(*lone_pixel(), SIZE, SIZE) * 255
    assert np.abs(found - RED).max() < 2


def test_colour_bleeds_from_the_nearest_visible_pixel_across_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(200, 40)
    alpha = np.zeros((200, 40), np.uint8)
    alpha[[30, 170]] = 3
    once = transparency.bleed(pixels, alpha)
    assert (once[0:31] == pixels[30]).all()
    assert (once[30] == pixels[30]).all()
    assert (once[30 + transparency.REACH + 1 : 170 - transparency.REACH] == once[98, 0]).all()
    monkeypatch.setattr(transparency, "BAND_ROWS", 16)
    assert (transparency.bleed(pixels, alpha) == once).all()


def test_a_picture_without_holes_or_without_anything_visible_is_not_copied() -> None:
    pixels = noise(5, 5)
    for alpha in (np.full((5, 5), 9, np.uint8), np.zeros((5, 5), np.uint8)):
        assert transparency.bleed(pixels, alpha) is pixels
