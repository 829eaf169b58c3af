"""The page and the documents of the API below a path, behind real proxies by the committed examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.docker.in_front import PREFIX, PROXIES, Front
from tests.living import Lutra, as_file, photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Page

pytestmark = pytest.mark.browser

# The service of this folder has no LUTRA_PUBLIC_URL: the page needs none, where the path is taken off.
PLACES = [("caddy", "taken"), ("nginx", "taken")]
LEFT = "net::ERR_ABORTED"  # what the browser says of a request that the page itself gave up


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def front(request: pytest.FixtureRequest, service: Lutra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    proxy, place = request.param
    with PROXIES[proxy](tmp_path_factory.mktemp(proxy), service.port, place, tls=False) as running:
        yield running


@pytest.fixture
def page(chromium: Browser, front: Front) -> Iterator[Page]:
    """A tab that has asked for nothing outside the path when it is closed, and logged no error."""
    context = chromium.new_context()
    page, faults = context.new_page(), list[str]()
    page.set_default_timeout(180_000)

    def look(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme.startswith("http") and not url.startswith(front.url):
            faults.append(f"outside: {url}")

    def note_failure(url: str, why: str | None) -> None:
        if why != LEFT:  # the page has heard all of a stream before a proxy closes it
            faults.append(f"failed: {url}: {why}")

    page.on("request", lambda request: look(request.url))
    page.on("requestfailed", lambda request: note_failure(request.url, request.failure))
    page.on(
        "response", lambda answer: faults.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    yield page
    context.close()
    assert not faults


def test_the_page_makes_a_picture_and_finds_its_job_again(page: Page, front: Front) -> None:
    page.goto(front.url)  # without its slash
    page.wait_for_load_state("networkidle")
    assert page.url == f"{front.url}/"
    with page.expect_file_chooser() as asked:
        page.locator("#choose").click()
    chosen: FilePayload = {"name": "a.jpg", "mimeType": "", "buffer": as_file(photo(seed=11))}
    asked.value.set_files([chosen])
    page.locator("summary").click()
    page.locator("#model").select_option("bicubic")
    page.locator("#go").click()
    page.locator("#stage[data-shows=succeeded]").wait_for()
    page.locator("#copy").click()
    for area in ("#snippet-curl", "#snippet-python"):
        assert f"{front.url}/upscale" in page.locator(area).input_value()
    address = page.url
    assert address.startswith(f"{front.url}/#job=")
    page.goto("about:blank")
    page.goto(address)
    page.locator("#stage[data-shows=succeeded]").wait_for()


def test_the_documents_of_the_api_load_and_swagger_asks_below_the_path(page: Page, front: Front) -> None:
    page.goto(f"{front.url}/docs")
    page.locator("#operations-ops-livez button.opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table").wait_for()
    assert page.locator(".request-url pre").inner_text() == f"{front.url}/livez"
    assert PREFIX in page.locator(".curl-command").inner_text()
    page.goto(f"{front.url}/redoc")
    page.get_by_role("heading", name="Lutra").wait_for()
