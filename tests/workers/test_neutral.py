"""Neutral stays neutral: a picture that says grey in three channels leaves every model with three equal ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models.cards import CARDS
from models.cube import read_cube, write_cube
from tests.living import photo
from workers.engine import neutral
from workers.engine.engine import Engine
from workers.operations.sizes import SizeAsked, target_size
from workers.pictures.picture import Picture

ENLARGING = [name for name, card in CARDS.items() if card.task == "upscale"]
RESTORING = [name for name, card in CARDS.items() if card.task == "restore"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def quiet(done: int, total: int) -> None:
    pass


def halftone(kind: type = np.uint8, size: int = 40) -> np.ndarray:
    """(size, size, 1): a checker, lines, dots and noise, in which networks find colour."""
    y, x = np.mgrid[:size, :size]
    half = size // 2
    values = np.where((x + y) % 2, 255, 0)
    values[:half, half:] = np.where(x % 2, 255, 20)[:half, half:]
    values[half:, :half] = np.where((x % 3 == 0) & (y % 3 == 0), 0, 230)[half:, :half]
    values[half:, half:] = np.random.default_rng(3).integers(0, 256, (size - half, size - half))
    return (values[..., None] * (np.iinfo(kind).max // 255)).astype(kind)


def picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(pixels, alpha, None, None, "png", False)


def better(source: Picture, model: str, tile: str, scale: str = "1.7") -> np.ndarray:
    engine = Engine(device="cpu", tile=tile)
    if model in RESTORING:
        return engine.restore(source, model=model, tick=quiet).pixels
    height, width = target_size(source.pixels.shape[0], source.pixels.shape[1], SizeAsked(scale=scale))
    return engine.upscale(source, model=model, height=height, width=width, tick=quiet).pixels


def is_grey(pixels: np.ndarray) -> bool:
    assert pixels.shape[2] == 3
    return bool((pixels == pixels[..., :1]).all())


@pytest.mark.parametrize("tile", ["auto", "24"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("model", [*ENLARGING, *RESTORING])
def test_neutral_pictures_leave_neutral_and_as_grey_ones_do(model: str, kind: type, tile: str) -> None:
    grey = halftone(kind)
    found = better(picture(grey.repeat(3, 2)), model, tile)
    assert found.dtype == kind
    assert is_grey(found)
    assert (found[..., :1] == better(picture(grey), model, tile)).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("model", ["bicubic", "fourier", "eclut", "srresnet", "airnet"])
def test_what_is_invisible_does_not_make_a_neutral_picture_colour(model: str, kind: type) -> None:
    grey, top = halftone(kind).repeat(3, 2), np.iinfo(kind).max
    alpha: np.ndarray = np.full(grey.shape[:2], top, kind)
    alpha[5:15, 10:30] = 0
    alpha[15:20, 10:30] = top // 3
    grey[alpha == 0] = (0, top, 30)
    assert is_grey(better(picture(grey, alpha), model, "auto"))


def test_one_pixel_of_colour_makes_a_picture_colour() -> None:
    for row, col in ((0, 0), (39, 39), (17, 23)):
        for channel in range(3):
            pixels = halftone().repeat(3, 2)
            pixels[row, col, channel] ^= 1
            assert neutral.single_channel(pixels) is pixels
    assert neutral.single_channel(halftone().repeat(3, 2)).shape == (40, 40, 1)
    assert not is_grey(better(picture(photo(40, 40)), "srresnet", "auto"))


@pytest.mark.parametrize("strength", [0.4, 1.0])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_enhance_does_not_tint_a_neutral_picture(kind: type, strength: float) -> None:
    engine, grey = Engine(device="cpu"), halftone(kind)
    found = engine.enhance(picture(grey.repeat(3, 2)), strength=strength, tick=quiet).pixels
    assert is_grey(found)
    as_grey = engine.enhance(picture(grey), strength=strength, tick=quiet).pixels
    assert np.abs(found[..., :1].astype(int) - as_grey).max() <= 1


def test_enhance_looks_at_what_is_visible_to_tell_a_neutral_picture() -> None:
    engine, grey = Engine(device="cpu"), halftone().repeat(3, 2)
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[5:15, 10:30] = 0
    grey[alpha == 0] = (0, 255, 30)
    found = engine.enhance(picture(grey, alpha), tick=quiet).pixels
    assert (found == found[..., :1])[alpha > 0].all()
    alpha[5, 10] = 1
    assert not torch.equal(*engine.fused_table(picture(grey, alpha), model="lut3d", strength=1.0)[:2])


def test_the_table_of_a_neutral_picture_sent_back_gives_the_same_picture_and_another_may_tint() -> None:
    engine, source = Engine(device="cpu"), picture(halftone().repeat(3, 2))
    table = engine.fused_table(source, model="lut3d", strength=1.0)
    own = read_cube(write_cube(table, "own").encode())
    assert (engine.enhance(source, own=own, tick=quiet).pixels == engine.enhance(source, tick=quiet).pixels).all()
    sepia = read_cube(
        b"LUT_3D_SIZE 2\n" + b"".join(b"%d %d 0.%d\n" % (n & 1, n >> 1 & 1, 7 * (n >> 2)) for n in range(8))
    )
    assert not is_grey(engine.enhance(source, own=sepia, tick=quiet).pixels)


def test_a_one_pixel_picture_of_each_kind_is_told_right() -> None:
    assert neutral.is_neutral(np.full((1, 1, 3), 9, np.uint8))
    assert not neutral.is_neutral(np.array([[[9, 9, 8]]], np.uint8))


def test_bands_beyond_the_first_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neutral, "BAND_ROWS", 4)
    pixels = halftone().repeat(3, 2)
    assert neutral.is_neutral(pixels)
    pixels[-1, -1, 2] ^= 1
    assert not neutral.is_neutral(pixels)


def test_a_colour_picture_is_told_by_a_few_of_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    compare = neutral._has_equal_channels

    def counted(part: np.ndarray, alpha: np.ndarray | None) -> bool:
        looked_at.append(part.size)
        return compare(part, alpha)

    monkeypatch.setattr(neutral, "_has_equal_channels", counted)
    letterbox = photo(600, 800)
    letterbox[:200] = letterbox[-200:] = 0
    assert not neutral.is_neutral(letterbox)
    assert sum(looked_at) < letterbox.size / 1000
