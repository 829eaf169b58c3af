"""The page of a real service in a real Chromium, for the tests of this folder. Without Chromium they are skipped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import Sight
from tests.living import Lutra, running_lutra

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
MODELS = "nearest,bicubic,lmliif,lut3d,airnet,airnet-u"
PRESETS = {
    "web": {"format": "webp", "quality": 80},
    "scan": {"restore": {"only": "jpeg"}},
    "old": {"restore": {"model": "airnet"}},
    "print": {"upscale": {"width": "1500", "model": "bicubic"}, "enhance": {"strength": 0.7}},
}


# The fixtures are of this package, not of the session: Playwright's event loop would be in the way of other tests.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on the PATH")
    arguments = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """One service for the tests that leave it unharmed; five places in its queue, so that it can be filled."""
    folder = tmp_path_factory.mktemp("lutra")
    (folder / "presets.json").write_text(json.dumps(PRESETS))
    presets = str(folder / "presets.json")
    with running_lutra(folder, LUTRA_MODELS=MODELS, LUTRA_QUEUE_SIZE="5", LUTRA_PRESETS_FILE=presets) as running:
        yield running


@pytest.fixture
def sight(chromium: Browser, service: Lutra) -> Iterator[Sight]:
    """The page, just opened, on a desktop."""
    with Sight.opened(chromium, service.port) as sight:
        yield sight
