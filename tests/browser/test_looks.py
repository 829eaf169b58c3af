"""How the page looks and sounds: nothing that axe finds, targets large enough, keys alone are enough. Leaves pictures.

`pytest tests/browser/test_looks.py` leaves them in build/screenshots.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.browser.draw_example import FILE, draw_example
from tests.browser.driving import PHONE, Sight, half_transparent
from tests.living import Lutra, as_file, opened, photo, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

EXAMPLE = ("otter.png", FILE.read_bytes())


def empty(sight: Sight) -> None:
    sight.shows("empty")


def chosen(sight: Sight) -> None:
    sight.choose(EXAMPLE)
    sight.at("#scale").fill("3.7")
    sight.at("#estimate").get_by_text("1,776 × 1,184 pixels").wait_for()


def refused(sight: Sight) -> None:
    chosen(sight)
    sight.at("#scale").fill("9")
    sight.at("#estimate.refused").wait_for()


def preset(sight: Sight) -> None:
    sight.choose(EXAMPLE)
    sight.at("#preset").select_option("print")
    sight.at("#estimate").get_by_text("1,500 × 1,000 pixels").wait_for()


def running(sight: Sight) -> None:
    sight.choose(("long.jpg", as_file(photo(640, 960, seed=time.time_ns() % 2**32))))
    sight.scale("4", "lmliif")
    sight.at("summary").click()
    sight.go()
    sight.shows("running")
    sight.at("#running-text").get_by_text("Tile").wait_for()


def result(sight: Sight) -> None:
    chosen(sight)
    sight.go()
    sight.shows("succeeded")


def zoomed(sight: Sight) -> None:
    result(sight)
    for _ in range(2):
        sight.at("[data-part=larger]").click()
    sight.at("[data-part=zoom]").get_by_text("400 %").wait_for()


def enhanced(sight: Sight) -> None:
    sight.choose(EXAMPLE)
    sight.operation("enhance")
    sight.go()
    sight.shows("succeeded")
    sight.at("#strength").fill("60")


def restored(sight: Sight) -> None:
    sight.at("[data-example=restore]").click()
    sight.shows("succeeded")


def transparent(sight: Sight) -> None:
    sight.choose(("cut-out.png", as_file(half_transparent(320, 480), "PNG")))
    sight.go()
    sight.shows("succeeded")


def several(sight: Sight) -> None:
    others = [(f"otter-{seed}.png", as_file(np.asarray(draw_example(seed)), "PNG")) for seed in (3, 4, 5)]
    sight.choose(EXAMPLE, *others)
    sight.scale("2", "bicubic")
    sight.at("summary").click()
    sight.go()
    sight.at("li[data-phase=succeeded]").nth(3).wait_for()
    sight.at("#list .open").first.click()
    sight.shows("succeeded")


def failed(sight: Sight) -> None:
    sight.choose(("broken.jpg", as_file(photo(480, 720))[:900]))
    sight.scale("2", "nearest")
    sight.go()
    sight.shows("failed")


def programs(sight: Sight) -> None:
    chosen(sight)
    sight.press("As curl or Python")


STATES: dict[str, Callable[[Sight], None]] = {
    one.__name__: one
    for one in (
        *(empty, chosen, refused, preset, running, result, zoomed),
        *(enhanced, restored, transparent, several, failed, programs),
    )
}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2},
}


def violations(sight: Sight) -> list[str]:
    """What axe finds, each with its rule and its elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(sight.page).response["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found]


SETTLED = "() => !document.getAnimations().some(one => one instanceof CSSTransition)"


def finish(sight: Sight) -> None:
    """A job that still runs would be in the way of the next test."""
    if sight.at("#cancel").is_visible():
        sight.at("#cancel").click()
        sight.shows("cancelled")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_read_by_everybody(chromium: Browser, service: Lutra, state: str, look: str) -> None:
    with Sight.opened(chromium, service.port, **LOOKS[look]) as sight:
        STATES[state](sight)
        wait_until(lambda: bool(sight.page.evaluate(SETTLED)), 60, "colours have changed")
        sight.screenshot(f"{state}-{look}", whole=(look == "phone" or state == "several") and state != "programs")
        assert violations(sight) == []
        finish(sight)


SMALL = """() => [...document.querySelectorAll("button, a, input, select, summary, [role=slider]")]
  .filter(one => one.checkVisibility() && !one.disabled)
  .map(one => [one, one.matches("[type=radio], [type=checkbox]") ? one.closest("label") : one])
  .map(([one, hit]) => [one, hit.getBoundingClientRect()])
  .filter(([one, box]) => !one.matches(".skip") && (box.width < 44 || box.height < 44))
  .map(([one, box]) => `${one.id || one.textContent || one.outerHTML}: ${box.width} x ${box.height}`)"""
WIDER = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.mark.parametrize("state", ["empty", "chosen", "preset", "enhanced", "restored", "several", "failed"])
def test_a_finger_hits_everything_and_nothing_is_wider_than_the_phone(
    chromium: Browser, service: Lutra, state: str
) -> None:
    with Sight.opened(chromium, service.port, **LOOKS["phone"]) as sight:
        STATES[state](sight)
        assert sight.page.evaluate(SMALL) == []
        assert not sight.page.evaluate(WIDER)


def test_the_operations_stand_side_by_side_on_a_narrow_phone(chromium: Browser, service: Lutra) -> None:
    narrow = {**LOOKS["phone"], "viewport": {"width": 360, "height": 740}}
    with Sight.opened(chromium, service.port, **narrow) as sight:
        boxes = [one.bounding_box() for one in sight.at("#operations label").all()]
        assert len({box["y"] for box in boxes if box}) == 1
        assert not sight.page.evaluate(WIDER)


def focused(sight: Sight) -> str:
    told = "(e => e.id || e.dataset.part || e.value || e.textContent)(document.activeElement)"
    return str(sight.page.evaluate(told))


def test_keys_alone_are_enough(sight: Sight) -> None:
    """In the order in which one reads: skip, choose, settings, send; then the comparison, and save."""
    keys = sight.page.keyboard
    keys.press("Tab")
    assert "Skip" in focused(sight)
    sight.choose(EXAMPLE)
    sight.at("#form").press("Tab")
    sight.at("[name=operation]:checked").focus()
    order = []
    for _ in range(6):
        order.append(focused(sight))
        keys.press("Tab")
    assert order[:4] == ["upscale", "scale", "scale-slider", "scale"]
    sight.at("#scale").fill("2")
    keys.press("Enter")
    sight.shows("succeeded")
    sight.at("[data-part=fit]").focus()
    for wanted in ("whole", "smaller", "larger", "frame", "divider", "save"):
        keys.press("Tab")
        assert focused(sight) == wanted
    with sight.page.expect_download():
        keys.press("Enter")


def test_enter_alone_sends_a_photo_and_saves_its_result(sight: Sight) -> None:
    """What the keyboard was on is gone each time; it is then on what one would press next."""
    sight.choose(("photo.jpg", as_file(photo(seed=22))))
    assert focused(sight) == "go"
    sight.page.keyboard.press("Enter")
    sight.shows("succeeded")
    assert focused(sight) == "save"
    with sight.page.expect_download() as started:
        sight.page.keyboard.press("Enter")
    assert started.value.suggested_filename == "photo-x2.jpg"


MOVING = """() => [...document.querySelectorAll("*")].map(one => getComputedStyle(one))
  .filter(style => parseFloat(style.transitionDuration) > 0 || style.animationName !== "none").length"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_by_itself_for_whom_that_is_too_much(chromium: Browser, service: Lutra, motion: str) -> None:
    with Sight.opened(chromium, service.port, reduced_motion=motion) as sight:
        chosen(sight)
        assert (sight.page.evaluate(MOVING) == 0) is (motion == "reduce")


OFF = """() => [...document.querySelectorAll("button")].filter(one => one.disabled)
  .map(one => getComputedStyle(one).backgroundColor)"""


@pytest.mark.parametrize("look", ["light", "dark"])
def test_no_button_looks_switched_off_under_the_pointer(chromium: Browser, service: Lutra, look: str) -> None:
    """The pointer still lies on the button that sent the photo when that offers to send it again."""
    with Sight.opened(chromium, service.port, reduced_motion="reduce", **LOOKS[look]) as sight:
        off = set(sight.page.evaluate(OFF))
        result(sight)
        seen = {}
        for button in sight.at("button:enabled:visible").all():
            button.hover()
            seen[button.inner_text()] = button.evaluate("one => getComputedStyle(one).backgroundColor")
        assert "Upscale again" in seen and len(off) == 2  # a button with a ground of its own, and one without
        assert [name for name, colour in seen.items() if colour in off] == []


def test_a_phone_shows_what_was_started_below(chromium: Browser, service: Lutra) -> None:
    with Sight.opened(chromium, service.port, **LOOKS["phone"]) as sight:
        chosen(sight)
        sight.at("#go").scroll_into_view_if_needed()
        assert sight.page.evaluate("document.querySelector('#stage').getBoundingClientRect().bottom < innerHeight / 2")
        sight.go()
        assert sight.page.evaluate("document.querySelector('#stage').getBoundingClientRect().top >= 0")
        sight.shows("succeeded")


def test_a_screen_reader_is_told_how_it_goes(sight: Sight) -> None:
    sight.page.evaluate("""() => {
      window.heard = [];
      new MutationObserver(() => heard.push(document.querySelector("#live").textContent))
        .observe(document.querySelector("#live"), {childList: true, characterData: true, subtree: true});
    }""")
    sight.choose(("photo.jpg", as_file(photo(seed=21))))
    sight.scale("2", "nearest")
    sight.go()
    sight.shows("succeeded")
    heard = sight.page.evaluate("heard")
    assert "1 picture chosen" in heard and "photo.jpg: done" in heard


def test_the_example_is_what_its_script_draws() -> None:
    kept, drawn = np.asarray(opened(FILE.read_bytes()), int), np.asarray(draw_example(), int)
    assert kept.shape == (320, 480, 3) and np.abs(kept - drawn).mean() < 1
