"""What one takes away besides the picture: its table, the request as a program, the history of this browser."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.browser.driving import Sight
from tests.living import Lutra, as_file, opened, photo, wait_until

pytestmark = pytest.mark.browser

PHOTO = as_file(photo(60, 80, seed=11), "PNG")


def test_the_table_of_a_photo_is_saved_and_applied_to_it_again(sight: Sight) -> None:
    sight.choose(("photo.png", PHOTO))
    sight.operation("enhance")
    sight.go()
    sight.shows("succeeded")
    _, enhanced = sight.saved()
    name, table = sight.saved("#save-cube")
    assert name == "photo.cube" and b"LUT_3D_SIZE 33" in table
    sight.pick("#choose-lut", ("mine.cube", table))
    sight.at("#lut-name").get_by_text("mine.cube").wait_for()
    sight.go()
    sight.page.locator("#facts dd", has_text="lut").filter(has_not_text="lut3d").wait_for()
    assert np.array_equal(np.asarray(opened(sight.saved()[1])), np.asarray(opened(enhanced)))


def test_the_table_carries_the_strength_that_was_looked_at(sight: Sight, service: Lutra) -> None:
    sight.choose(("photo.png", PHOTO))
    sight.operation("enhance")
    sight.go()
    sight.shows("succeeded")
    sight.at("#strength").fill("50")
    served = service.post("/enhance?format=cube&strength=0.5", PHOTO).content
    assert sight.saved("#save-cube")[1] == served


def test_a_broken_table_gets_a_sentence_and_a_button_that_leaves_it_out(sight: Sight) -> None:
    sight.choose(("photo.png", PHOTO))
    sight.operation("enhance")
    sight.pick("#choose-lut", ("broken.cube", b"LUT_3D_SIZE two"))
    sight.at("#lut-name").get_by_text("broken.cube").wait_for()
    sight.go()
    sight.shows("failed")
    assert "line 1" in sight.at("#trouble-text").inner_text()
    sight.press("Leave the table out")
    sight.shows("succeeded")


@pytest.mark.parametrize("program", ["curl", "python"])
def test_what_is_copied_makes_this_very_picture(sight: Sight, tmp_path: Path, program: str) -> None:
    name = "o'hara 1.png"
    (tmp_path / name).write_bytes(PHOTO)
    sight.choose((name, PHOTO))
    sight.scale("3.7", "bicubic")
    sight.go()
    sight.shows("succeeded")
    saved, data = sight.saved()
    sight.press("As curl or Python")
    sight.press(f"Copy as {'curl' if program == 'curl' else 'Python'}")
    text = str(sight.page.evaluate("navigator.clipboard.readText()"))
    if program == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["bash", "-c", text] if program == "curl" else [sys.executable, "-c", text]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    assert saved == "o'hara 1-x3.7.png"
    assert (tmp_path / saved).read_bytes() == data


def test_this_browser_remembers_what_was_done_until_that_is_cleared(sight: Sight) -> None:
    sight.choose(("photo.png", PHOTO))
    sight.scale("3", "nearest")
    sight.go()
    sight.shows("succeeded")
    kept = "async () => (await (await import('./web/past.js')).all()).length"
    wait_until(lambda: sight.page.evaluate(kept) == 1, 60, "the history is written, beside the job")
    sight.visit("?again")
    sight.shows("empty")
    sight.at("#past-list button").get_by_text("photo.png").click()
    sight.shows("succeeded")
    assert sight.saved()[0] == "photo-x3.png"
    sight.visit("?and-again")
    sight.press("Clear the history")
    sight.at("#past").wait_for(state="hidden")
    sight.visit("?once-more")
    assert not sight.at("#past").is_visible()
