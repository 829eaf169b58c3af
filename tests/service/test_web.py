"""The page's files: served as they lie there, by a policy that lets nothing else in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import service.web
from tests.service.asgi import Here, running_app
from workers.jobs.store import Store

FOLDER = Path(service.web.__file__).parent
FILES = sorted(
    file.name for file in FOLDER.iterdir() if file.suffix in {".css", ".html", ".js", ".png", ".svg", ".webp"}
)


def run(redis_url: str, story: Callable[[Here], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running_app(redis_url) as here:
            await story(here)

    asyncio.run(whole())


def test_every_file_that_the_page_names_is_served_and_may_be_kept(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        page = (await here.client.get("/")).text
        named = set(re.findall(r'(?:src|href)="web/([^"]+)"', page))
        scripts = "".join((FOLDER / name).read_text() for name in FILES if name.endswith(".js"))
        named |= set(re.findall(r'from "\./([^"]+)"', scripts)) | set(re.findall(r'"web/([^"]+)"', scripts))
        assert named | {"page.html"} == set(FILES)
        for name in sorted(named):
            answer = await here.client.get(f"/web/{name}")
            assert (answer.status_code, answer.content) == (200, (FOLDER / name).read_bytes())
            again = await here.client.get(f"/web/{name}", headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")

    run(redis_url, story)


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2Fapp.py", ".", "%2e%2e/app.py"])
def test_nothing_but_the_pages_files_is_served(store: Store, redis_url: str, name: str) -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get(f"/web/{name}")).status_code == 404

    run(redis_url, story)


def test_the_policy_lets_no_inline_script_no_eval_and_no_other_host_in(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.get("/")
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy and "script-src 'self'" in policy
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|(src|href)=\"(https?:)?/", answer.text)

    run(redis_url, story)
