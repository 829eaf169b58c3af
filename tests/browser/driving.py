"""The page under a test's hands: what a person does with it, and what must hold whatever is done.

Whatever a test does, the page asks no other host, breaks its own policy nowhere and logs no error.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from tests.living import opened, photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Locator, Page

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS = 60_000
DESKTOP = {"width": 1360, "height": 860}
PHONE = {"width": 390, "height": 844}
# What the browser itself says of an answer that is no success; the page shows those to its reader.
EXPECTED = ("Failed to load resource", "net::ERR_INTERNET_DISCONNECTED")


def half_transparent(height: int, width: int) -> np.ndarray:
    """(H, W, 4) uint8: a photo of which the left half is not there."""
    alpha = np.where(np.arange(width) < width // 2, 0, 255).astype(np.uint8)
    return np.dstack([photo(height, width), np.broadcast_to(alpha, (height, width))])


class Sight:
    """One tab. `posts`: paths of what was sent with POST, in order."""

    def __init__(self, page: Page, port: int) -> None:
        self.page, self.port = page, port
        self.posts: list[str] = []
        self.faults: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", self._ask)
        page.on("console", lambda message: self._log(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    @classmethod
    @contextmanager
    def opened(cls, browser: Browser, port: int, **options: Any) -> Iterator[Sight]:
        """A new tab without a past; `options`: of the browser's context."""
        context = browser.new_context(viewport=options.pop("viewport", DESKTOP), **options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        try:
            sight = cls(context.new_page(), port)
            sight.visit()
            yield sight
            assert not sight.faults, sight.faults
        finally:
            context.close()

    def visit(self, path: str = "") -> None:
        self.page.goto(f"http://127.0.0.1:{self.port}/{path}")
        self.page.wait_for_load_state("networkidle")

    def _ask(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != f"127.0.0.1:{self.port}":
            self.faults.append(f"asked another host: {request.url}")
        if request.method == "POST":
            self.posts.append(f"{parts.path}?{parts.query}")

    def _log(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(known in text for known in EXPECTED):
            self.faults.append(f"{kind}: {text}")

    # -- what a person does --------------------------------------------------------------------------------------------

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, *files: tuple[str, bytes]) -> None:
        """By the file dialog of the button."""
        was = self.at("#list li").count()
        self.pick("#add" if was else "#choose", *files)
        self.at("#list li").nth(was + len(files) - 1).wait_for()

    def pick(self, button: str, *files: tuple[str, bytes]) -> None:
        """In the dialog that the button opens."""
        with self.page.expect_file_chooser() as asked:
            self.at(button).click()
        chosen: list[FilePayload] = [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
        asked.value.set_files(chosen)

    def operation(self, name: str) -> None:
        self.at(f"[name=operation][value={name}]").check()

    def model(self, name: str) -> None:
        if not self.at("#model").is_visible():
            self.at("summary").click()
        self.at("#model").select_option(name)

    def scale(self, scale: str, model: str = "bicubic") -> None:
        self.model(model)
        self.at("#scale").fill(scale)

    def go(self) -> None:
        self.at("#go").click()

    def shows(self, phase: str) -> None:
        """Waits until the selected photo is so far: chosen, queued, running, succeeded, failed, cancelled."""
        self.at(f"#stage[data-shows={phase}]").wait_for()
        if phase == "succeeded":
            self.at("#viewer:not([hidden]) .tag.right:not(:empty)").wait_for()

    def saved(self, button: str = "#save") -> tuple[str, bytes]:
        """Name and bytes of what the button saves."""
        with self.page.expect_download() as started:
            self.at(button).click()
        return started.value.suggested_filename, Path(started.value.path()).read_bytes()

    def still(self) -> None:
        """Waits until the comparison is drawn as it stays: a movement ends with a drawing that takes its time."""
        self.at(".frame[data-drawn=whole]").wait_for()

    # -- what a person sees --------------------------------------------------------------------------------------------

    def canvas(self) -> np.ndarray:
        """The comparison as it is drawn, (H, W, 3) uint8, once it stands still."""
        self.still()
        url = self.page.evaluate("document.querySelector('canvas').toDataURL()")
        return np.asarray(opened(base64.b64decode(url.partition(",")[2])).convert("RGB"))

    def screenshot(self, name: str, *, whole: bool = True) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)
