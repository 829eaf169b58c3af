"""The page of `lutra rate` in a real Chromium: what people see of a picture that they score."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from service.rate import KEPT, Session, find_stimuli, make_server
from tests.browser.driving import half_transparent
from tests.browser.test_viewer import SQUARES, colours_of
from tests.living import as_file, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SQUARE = 12  # pixels a side


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of the page, on which a cut-out by two variants is scored."""
    for variant in ("one", "other"):
        (tmp_path / variant).mkdir()
        (tmp_path / variant / "cut-out.png").write_bytes(as_file(half_transparent(96, 128), "PNG"))
    session = Session(find_stimuli(tmp_path), tmp_path / KEPT)
    server = make_server(session, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{session.token}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_squares_are_seen_through_what_is_transparent_and_not_through_the_rest(
    chromium: Browser, address: str, scheme: Literal["light", "dark"]
) -> None:
    page = chromium.new_page(color_scheme=scheme)
    page.goto(address)
    for place in ("1 of 2", "2 of 2"):
        picture = page.get_by_alt_text(f"picture {place}")
        shown = np.asarray(opened(picture.screenshot()).convert("RGB"))
        assert shown.shape == (96, 128, 3)
        assert colours_of(shown[:, :64]) == SQUARES
        board = np.add.outer(np.arange(96) // SQUARE, np.arange(64) // SQUARE) % 2
        assert all(len(colours_of(shown[:, :64][board == colour])) == 1 for colour in (0, 1))
        assert np.array_equal(shown[:, 64:], half_transparent(96, 128)[:, 64:, :3])
        page.get_by_role("button", name="4 good").click()
    assert "Thank you" in page.inner_text("h1")
    page.close()
