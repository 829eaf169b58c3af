"""/docs and /redoc: pages that need no other host, with a policy that would not let them ask one."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service import docs
from tests.living import free_port
from tests.service.asgi import Here, running_app

FOLDER = Path(docs.__file__).parent


def run(story: Callable[[Here], Awaitable[None]], **settings: object) -> None:
    async def whole() -> None:
        async with running_app(f"redis://127.0.0.1:{free_port()}/0", **settings) as here:
            await story(here)

    asyncio.run(whole())


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_loads_only_what_is_served_here(path: str) -> None:
    async def story(here: Here) -> None:
        page = await here.client.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
        named = re.findall(r'(?:src|href|spec-url)="([^"]*)"', page.text)
        assert "<script>" not in page.text and len(named) > 2
        for one in named:
            if one != "data:,":
                assert not one.startswith(("/", "http"))  # it works below a path of a proxy's, too
                assert (await here.client.get(f"/{one}")).status_code == 200

    run(story)


def test_swagger_ui_asks_nobody_else() -> None:
    text = (FOLDER / "swagger.js").read_text()
    assert 'url: "openapi.json"' in text and "validatorUrl: null" in text


def test_a_file_comes_packed_to_who_can_unpack_it_and_plain_to_others() -> None:
    async def story(here: Here) -> None:
        for name, media_type in docs.FILES.items():
            packed = await here.client.get(f"/docs/{name}", headers={"Accept-Encoding": "gzip"})
            plain = await here.client.get(f"/docs/{name}", headers={"Accept-Encoding": "identity"})
            assert packed.headers["content-type"].startswith(media_type)
            assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
            assert packed.content == plain.content and len(plain.content) > 100
            assert packed.headers["vary"] == "Accept-Encoding"

    run(story)


def test_they_need_no_key_and_are_no_part_of_the_document(tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    keys.write_text("")

    async def story(here: Here) -> None:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs/swagger-ui.css"):
            assert (await here.client.get(path, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200
        assert (await here.client.get("/models")).status_code == 401
        assert not [path for path in (await here.client.get("/openapi.json")).json()["paths"] if "doc" in path]

    run(story, api_keys_file=keys)


def test_what_is_not_ours_is_named_with_its_licence_and_stays_small() -> None:
    licences, notice = (FOLDER / "LICENSES.txt").read_text(), (FOLDER.parents[1] / "NOTICE").read_text()
    packed = sorted(FOLDER.glob("*.gz"))
    for path in packed:
        assert path.stem in licences and path.stem in notice
        assert b"cdn." not in gzip.decompress(path.read_bytes())
    assert sum(path.stat().st_size for path in packed) < 1_000_000
