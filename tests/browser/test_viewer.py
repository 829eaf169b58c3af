"""The comparison: both pictures pixel for pixel, the divider, zoom and pan, the strength set while one looks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from PIL import Image

from service.cli import main
from tests.browser.driving import PHONE, Sight, half_transparent
from tests.living import Lutra, as_file, opened, photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect

pytestmark = pytest.mark.browser

SMALL = as_file(photo(96, 128), "PNG")


@pytest.fixture
def compared(sight: Sight) -> Iterator[Sight]:
    """A photo enlarged 3.7 times by nearest, so that both sides of the divider are known to the pixel."""
    sight.choose(("photo.png", SMALL))
    sight.scale("3.7", "nearest")
    sight.go()
    sight.shows("succeeded")
    yield sight


def frame_of(sight: Sight) -> FloatRect:
    box = sight.at(".frame").bounding_box()
    assert box is not None
    return box


def middle(sight: Sight) -> tuple[float, float]:
    box = frame_of(sight)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def divider(sight: Sight) -> int:
    sight.still()
    return int(sight.at(".divider").get_attribute("aria-valuenow") or -1)


def zoom(sight: Sight) -> str:
    sight.still()
    return str(sight.at("[data-part=zoom]").inner_text())


def drawn(sight: Sight, size: tuple[int, int]) -> np.ndarray:
    """The part of the canvas on which a picture of (width, height) lies, which is smaller than it."""
    canvas = sight.canvas()
    left, top = (canvas.shape[1] - size[0] + 1) // 2, (canvas.shape[0] - size[1] + 1) // 2
    return canvas[top : top + size[1], left : left + size[0]]


def far(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_both_sides_are_pixel_for_pixel_at_one_to_one(compared: Sight) -> None:
    size = (474, 355)
    assert zoom(compared) == "100 %"
    compared.at(".divider").press("Home")
    result = np.asarray(opened(compared.saved()[1]))
    assert far(drawn(compared, size), result) == 0
    compared.at(".divider").press("End")
    bicubic = Image.open(io.BytesIO(SMALL)).resize(size, Image.Resampling.BICUBIC)
    assert far(drawn(compared, size), np.asarray(bicubic)) <= 2  # Pillow rounds between its two passes
    assert compared.at(".tag.left").inner_text() == "Original, enlarged by bicubic"


def test_both_sides_are_blocks_of_the_same_pixels_at_eight_times(compared: Sight) -> None:
    for _ in range(5):
        compared.at("[data-part=larger]").click()
    result = opened(compared.saved()[1])
    original = Image.open(io.BytesIO(SMALL)).resize(result.size, Image.Resampling.BICUBIC)
    for key, picture in (("Home", result), ("End", original)):
        compared.at(".divider").press(key)
        canvas = compared.canvas()
        rows, columns = (
            (np.arange(long) - (long - 8 * side + 1) // 2) // 8
            for long, side in zip(canvas.shape, (result.height, result.width), strict=False)
        )
        assert far(canvas, np.asarray(picture)[rows][:, columns]) <= 2


def test_the_divider_parts_the_two_and_follows_keys_and_mouse(compared: Sight) -> None:
    assert divider(compared) == 50
    handle = compared.at(".divider")
    handle.press("ArrowRight")
    handle.press("Shift+ArrowLeft")
    handle.press("PageDown")
    assert divider(compared) == 31
    x, y = middle(compared)
    box = frame_of(compared)
    compared.page.mouse.move(box["x"] + box["width"] * 0.31, y)
    compared.page.mouse.down()
    compared.page.mouse.move(x, y, steps=5)
    compared.page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=5)
    compared.page.mouse.up()
    assert divider(compared) == 75
    assert handle.get_attribute("aria-valuetext") == "75 % original, 25 % result"


def test_zoom_goes_from_what_fits_to_eight_times(compared: Sight) -> None:
    for _ in range(5):
        compared.at("[data-part=larger]").click()
    assert zoom(compared) == "800 %"
    compared.at("[data-part=fit]").click()
    fit = int(zoom(compared).split()[0])
    box = frame_of(compared)
    assert fit == round(min(box["width"] / 474, box["height"] / 355, 8) * 100)
    compared.at(".frame").press("1")
    assert zoom(compared) == "100 %"
    compared.at(".frame").press("+")
    assert zoom(compared) in ("200 %", f"{fit} %")
    compared.at(".frame").press("0")
    assert zoom(compared) == f"{fit} %"
    compared.page.mouse.move(*middle(compared))
    compared.page.mouse.wheel(0, -2000)
    assert zoom(compared) == "800 %"


def test_both_pictures_move_in_step(compared: Sight) -> None:
    """At 800 % a shift of the view by 80 pixels shifts both sides by 80 pixels."""
    for _ in range(5):
        compared.at("[data-part=larger]").click()
    before = compared.canvas()
    compared.at(".frame").press("ArrowRight")
    moved = compared.canvas()
    half = before.shape[1] // 2
    assert far(moved[:, : half - 90], before[:, 80 : half - 10]) <= 3
    assert far(moved[:, half + 10 : -80], before[:, half + 90 :]) <= 3
    x, y = middle(compared)
    compared.page.mouse.move(x + 200, y)
    compared.page.mouse.down()
    compared.page.mouse.move(x + 280, y, steps=4)
    compared.page.mouse.up()
    assert far(compared.canvas(), before) <= 3


def test_it_opens_where_most_detail_is(sight: Sight) -> None:
    pixels = np.full((900, 1200, 3), 128, np.uint8)
    pixels[700:820, 900:1100] = np.random.default_rng(1).integers(0, 256, (120, 200, 3))
    sight.choose(("flat.png", as_file(pixels, "PNG")))
    sight.scale("3", "nearest")
    sight.go()
    sight.shows("succeeded")
    assert zoom(sight) == "100 %"
    canvas = sight.canvas().astype(int)
    assert canvas[canvas.shape[0] // 2 - 100 :, canvas.shape[1] // 2 + 40 :].std() > 40
    assert np.abs(canvas - 128).max(2).astype(bool).mean() > 0.35  # all of the noise is 600 x 360 pixels


def test_fingers_move_the_divider_and_pinch(chromium: Browser, service: Lutra) -> None:
    with Sight.opened(chromium, service.port, viewport=PHONE, has_touch=True, is_mobile=True) as sight:
        sight.choose(("photo.png", SMALL))
        sight.scale("3.7", "nearest")
        sight.go()
        sight.shows("succeeded")
        sight.at(".frame").scroll_into_view_if_needed()
        touch = sight.page.context.new_cdp_session(sight.page)
        x, y = middle(sight)

        def fingers(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": left, "y": top, "id": finger} for finger, (left, top) in enumerate(places)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        fingers("touchStart", (x, y))
        fingers("touchMove", (x + 60, y))
        fingers("touchMove", (x + 90, y))
        fingers("touchEnd")
        assert divider(sight) == round(50 + 100 * 90 / frame_of(sight)["width"])
        fingers("touchStart", (x - 120, y - 40), (x - 60, y + 40))
        fingers("touchMove", (x - 150, y - 80), (x - 30, y + 80))
        fingers("touchEnd")
        assert zoom(sight) == "200 %"


@pytest.mark.parametrize(("operation", "done"), [("enhance", "enhanced"), ("restore", "restored")])
def test_the_strength_is_set_while_one_looks_and_nothing_is_sent_again(
    sight: Sight, service: Lutra, operation: str, done: str
) -> None:
    spread = 8 if operation == "restore" else 0  # of noise, which is there to be taken off
    noise = np.random.default_rng(1).normal(0, spread, (96, 128, 3))
    muted = as_file((photo(96, 128) / 2 + 64 + noise).astype(np.uint8), "PNG")  # no colour that a table clips
    sight.choose(("photo.png", muted))
    sight.operation(operation)
    sight.go()
    sight.shows("succeeded")
    sight.at("#strength").fill("40")
    sight.at("#strength-told").get_by_text("40 %").wait_for()
    name, data = sight.saved()
    assert name == f"photo-{done}-40.png"
    assert sight.posts == [f"/{operation}?"]
    served = opened(service.post(f"/{operation}?strength=0.4", muted).content)
    assert far(np.asarray(opened(data).convert("RGB")), np.asarray(served)) <= 2
    assert far(np.asarray(opened(data).convert("RGB")), np.asarray(opened(muted))) > 2


def test_a_weakened_result_is_as_transparent_as_the_service_makes_it(sight: Sight, service: Lutra) -> None:
    pixels = half_transparent(96, 128)
    pixels[..., 3] = np.where(pixels[..., 3] > 0, 255, 100)
    pixels[..., :3] = pixels[..., :3] // 2 + 64  # no colour that a table clips
    muted = as_file(pixels, "PNG")
    sight.choose(("cut-out.png", muted))
    sight.operation("enhance")
    sight.go()
    sight.shows("succeeded")
    sight.at("#strength").fill("50")
    sight.at("#strength-told").get_by_text("50 %").wait_for()
    mixed = np.asarray(opened(sight.saved()[1]))
    served = np.asarray(opened(service.post("/enhance?strength=0.5", muted).content))
    assert mixed.shape == served.shape and (mixed[..., 3] == pixels[..., 3]).all()
    assert far(mixed[:, 64:], served[:, 64:]) <= 2
    assert far(mixed[:, :64], served[:, :64]) <= 4  # a browser keeps colours times their alpha: fewer levels of them


def cut_out(operation: str) -> bytes:
    """A PNG of pixels of each second alpha, without colours that a table clips, with noise where it is taken off."""
    noise = np.random.default_rng(1).normal(0, 8 if operation == "restore" else 0, (96, 128, 3))
    alpha = np.broadcast_to(np.arange(0, 256, 2, dtype=np.uint8), (96, 128))
    return as_file(np.dstack([(photo(96, 128) / 2 + 64 + noise).astype(np.uint8), alpha]), "PNG")


def drawn_result(sight: Sight, operation: str, strength: int | None = None) -> np.ndarray:
    """The comparison at 1:1, of which all is result; at this strength of the page's, in per cent, None: as it came."""
    sight.choose(("cut-out.png", cut_out(operation)))
    sight.operation(operation)
    sight.go()
    sight.shows("succeeded")
    if strength is not None:
        sight.at("#strength").fill(str(strength))
        sight.at("#strength-told").get_by_text(f"{strength} %", exact=True).wait_for()
    sight.at("[data-part=whole]").click()
    sight.at(".divider").press("Home")
    return drawn(sight, (128, 96))


@pytest.mark.parametrize("strength", [20, 50, 80])
@pytest.mark.parametrize("operation", ["enhance", "restore"])
def test_a_weakened_result_is_drawn_as_the_services_own_is(
    chromium: Browser, service: Lutra, operation: str, strength: int
) -> None:
    """Through pixels of any alpha: of two that are drawn over each other, both hide. Whole levels of the result, and of
    each that the browser keeps of colours times their alpha, are rounded in another order."""
    own_url = f"http://127.0.0.1:{service.port}/{operation}?strength={strength / 100}"
    with Sight.opened(chromium, service.port) as sight:
        mixed = drawn_result(sight, operation, strength)
        whole = drawn_result(sight, operation)
        sight.page.route(re.compile(rf"/{operation}\??$"), lambda route: route.continue_(url=own_url))
        own = drawn_result(sight, operation)
    apart = np.abs(mixed.astype(int) - own.astype(int))
    assert apart.max() <= 2 and (apart > 1).mean() <= 0.01
    assert far(whole, own) > 4


def test_only_colours_that_were_cut_off_differ_from_the_services_own_strength(sight: Sight, service: Lutra) -> None:
    """/enhance mixes its table before it cuts at black and white, the page what was cut."""
    sight.choose(("photo.png", SMALL))
    sight.operation("enhance")
    sight.go()
    sight.shows("succeeded")
    whole = np.asarray(opened(sight.saved()[1]))
    sight.at("#strength").fill("50")
    sight.at("#strength-told").get_by_text("50 %").wait_for()
    mixed = np.asarray(opened(sight.saved()[1]).convert("RGB"))
    served = np.asarray(opened(service.post("/enhance?strength=0.5", SMALL).content))
    inside = (whole > 0) & (whole < 255)
    assert inside.any() and far(mixed[inside], served[inside]) <= 2
    assert far(mixed, served) > 2


def test_a_format_that_the_browser_cannot_show_is_asked_for_as_png(sight: Sight) -> None:
    sight.choose(("scan.tif", as_file(photo(48, 64), "TIFF")))
    sight.scale("2", "nearest")
    sight.at("#estimate").get_by_text("128 × 96 pixels").wait_for()  # its size is read from its header
    sight.go()
    sight.shows("succeeded")
    assert "the result stands alone" in sight.at("#unseen").inner_text()
    name, data = sight.saved()
    assert (name, opened(data).format, opened(data).size) == ("scan-x2.png", "PNG", (128, 96))


def test_what_a_preset_weakened_is_not_mixed_once_more(sight: Sight) -> None:
    sight.choose(("photo.png", SMALL))
    sight.operation("enhance")
    sight.at("#preset").select_option("print")
    sight.go()
    sight.shows("succeeded")
    assert not sight.at("#strength-row").is_visible()
    assert sight.posts == ["/enhance?preset=print"]


def test_that_the_strength_is_a_mix_is_said_where_it_is_less_than_all(sight: Sight) -> None:
    sight.choose(("photo.png", SMALL))
    sight.operation("enhance")
    sight.go()
    sight.shows("succeeded")
    assert not sight.at("#mixed").is_visible()
    sight.at("#strength").fill("40")
    sight.at("#mixed").get_by_text("Mixed here of original and result, and saved as a PNG without EXIF.").wait_for()


def test_a_small_result_fills_a_phone_of_fine_pixels(chromium: Browser, service: Lutra) -> None:
    with Sight.opened(chromium, service.port, viewport=PHONE, is_mobile=True, device_scale_factor=2) as sight:
        sight.choose(("photo.png", SMALL))
        sight.scale("2", "nearest")
        sight.go()
        sight.shows("succeeded")
        assert zoom(sight) == "200 %"


SQUARES = {(0x68, 0x72, 0x76), (0x86, 0x8F, 0x93)}
BACKDROP = (0x20, 0x26, 0x2A)


def colours_of(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(map(int, pixel)) for pixel in np.unique(pixels.reshape(-1, 3), axis=0)}


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG 2.2, contrast ratio of two sRGB colours."""
    linear = [
        np.where((c := np.array(rgb) / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for rgb in (one, other)
    ]
    light, dark = sorted((float(rgb @ [0.2126, 0.7152, 0.0722]) + 0.05 for rgb in linear), reverse=True)
    return light / dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_squares_are_seen_through_what_is_transparent(
    chromium: Browser, service: Lutra, scheme: Literal["light", "dark"]
) -> None:
    with Sight.opened(chromium, service.port, color_scheme=scheme) as sight:
        sight.choose(("cut-out.png", as_file(half_transparent(96, 128), "PNG")))
        sight.at("#list img.thumb").wait_for()
        preview = np.asarray(opened(sight.at("#preview-image").screenshot()).convert("RGB"))
        assert colours_of(preview[4:-4, 4:60]) == SQUARES
        sight.scale("2", "nearest")
        sight.go()
        sight.shows("succeeded")
        for side in ("Home", "End"):
            sight.at(".divider").press(side)
            shown = drawn(sight, (256, 192))
            assert colours_of(shown[:, :120]) == SQUARES
            assert (shown[0, 0] != shown[0, 12]).any() or (shown[0, 0] != shown[12, 0]).any()
        thumb = np.asarray(opened(sight.at("#list img.thumb").screenshot()).convert("RGB"))
        assert colours_of(thumb[8:40, 4:20]) == SQUARES
    for square in SQUARES:
        assert min(contrast(square, ink) for ink in ((0, 0, 0), (255, 255, 255))) >= 3


def test_nothing_is_seen_through_an_opaque_photo_also_along_its_rim(sight: Sight) -> None:
    sight.choose(("photo.jpg", as_file(np.full((1001, 777, 3), 255, np.uint8))))
    sight.at("#preview-image").wait_for()
    preview = np.asarray(opened(sight.at("#preview").screenshot()).convert("RGB"))
    assert {(255, 255, 255)} < colours_of(preview) and not SQUARES & colours_of(preview)
    sight.scale("1.1", "nearest")
    sight.go()
    sight.shows("succeeded")
    sight.at("[data-part=fit]").click()
    assert not SQUARES & colours_of(sight.canvas())


def test_the_page_of_lutra_compare_has_the_same_squares(chromium: Browser, tmp_path: Path) -> None:
    (picture := tmp_path / "cut-out.png").write_bytes(as_file(half_transparent(96, 128), "PNG"))
    assert main(["compare", str(picture), "--scale", "2", "--models", "nearest"]) == 0
    page = chromium.new_page()
    page.goto((tmp_path / "cut-out-compared.html").as_uri())
    shown = np.asarray(opened(page.locator(".view").screenshot()).convert("RGB"))
    page.close()
    assert colours_of(shown) > SQUARES
