"""How much a client may ask for in a minute, as it is told: 429, Retry-After, RateLimit and RateLimit-Policy."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.keys import LEAST_MEGAPIXELS_PER_MIN, hash_of
from service.rates import fields_of
from tests.living import free_port
from tests.service.asgi import ASYNC, NEAREST, PHOTO, Here, running_app, succeed
from workers.jobs.store import Store
from workers.jobs.store_rates import Bucket, Level
from workers.settings import MOST_PER_MIN

PIXELS = 128 * 96  # of a result of NEAREST
OURS, THEIRS = ({"X-API-Key": key} for key in ("ours", "theirs"))


def keyed(redis_url: str, folder: Path, story: Callable[[Here], Awaitable[None]], **facts: object) -> None:
    """`facts` of our key; theirs has no limits."""
    lines = [{"name": "ours", "hash": hash_of("ours"), **facts}, {"name": "theirs", "hash": hash_of("theirs")}]
    path = folder / "keys.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))

    async def whole() -> None:
        async with running_app(redis_url, api_keys_file=path) as here:
            await story(here)

    asyncio.run(whole())


def test_the_fields_are_structured_lists_of_whole_numbers() -> None:
    levels = [
        Level(Bucket("requests", 60, 1), 59.7, 0.0, 0.3),
        Level(Bucket("megapixels", 12.5, 0), -3.2, 0.0, 75.4),
    ]
    assert fields_of(levels) == {
        "RateLimit-Policy": '"requests";q=60;w=60, "megapixels";q=13;w=60;qu="megapixels"',
        "RateLimit": '"requests";r=59;t=1, "megapixels";r=0;t=76',
    }


def test_requests_beyond_a_keys_rate_are_refused_until_the_next_is_due(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    async def story(here: Here) -> None:
        answers = [await here.client.get("/models", headers=OURS) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"requests";q=2;w=60'] * 3
        left = [re.fullmatch(r'"requests";r=(\d);t=\d+', answer.headers["ratelimit"]) for answer in answers]
        assert [found and found.group(1) for found in left] == ["1", "0", "0"]
        refused = answers[2]
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        told = refused.json()
        assert told["type"] == "urn:lutra:problem:rate-limited" and (told["policy"], told["limit"]) == ("requests", 2)
        assert 0 < told["retry_after_s"] <= 30 and "ours" not in refused.text
        assert (await here.client.get("/models", headers=THEIRS)).status_code == 200
        assert "ratelimit" not in (await here.client.get("/models", headers=THEIRS)).headers
        assert (await here.client.get("/livez")).status_code == 200

    keyed(redis_url, tmp_path, story, rate_per_min=2)


def test_megapixels_are_counted_by_what_comes_out(store: Store, redis_url: str, tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        async def post(path: str = NEAREST) -> tuple[int, str]:
            answer = await here.client.post(path, content=PHOTO, headers={**ASYNC, **OURS})
            return answer.status_code, answer.headers.get("ratelimit", "")

        assert (await post())[0] == 202
        status, left = await post()
        assert status == 202 and left.startswith('"megapixels";r=0;')
        answer = await here.client.post(NEAREST, content=PHOTO, headers={**ASYNC, **OURS})
        assert (answer.status_code, answer.json()["policy"]) == (429, "megapixels")
        assert (await here.client.get("/models", headers=OURS)).status_code == 200  # who asks for none may ask
        assert len(store.client.keys("lutra:job:*")) == 2

    keyed(redis_url, tmp_path, story, megapixels_per_min=2.1 * PIXELS / 1e6)


def test_a_job_that_is_refused_costs_no_megapixels(store: Store, redis_url: str, tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        store.forget_children(["test:1"])
        for _ in range(3):
            answer = await here.client.post(NEAREST, content=PHOTO, headers={**ASYNC, **OURS})
            assert answer.status_code == 503
        store.beat({"test:1": {"device": "cpu", "models": {}}})
        answer = await here.client.post(NEAREST, content=PHOTO, headers={**ASYNC, **OURS})
        assert answer.status_code == 202
        succeed(store, store.status(answer.json()["id"]).computation_id)

    keyed(redis_url, tmp_path, story, megapixels_per_min=1.5 * PIXELS / 1e6)


@pytest.mark.parametrize("kept", [True, False])
def test_without_keys_addresses_are_counted_where_a_limit_is_set(
    store: Store, redis_url: str, tmp_path: Path, kept: bool
) -> None:
    async def story() -> None:
        async with running_app(redis_url, **({"rate_limit": 2} if kept else {})) as here:
            answers = [await here.client.get("/models") for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429 if kept else 200]
            assert ("ratelimit" in answers[0].headers) == kept

    asyncio.run(story())


def test_where_the_store_does_not_answer_nothing_is_let_through_uncounted() -> None:
    async def story() -> None:
        async with running_app(f"redis://127.0.0.1:{free_port()}/0", rate_limit=2) as here:
            answer = await here.client.get("/models")
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:lutra:problem:store-unavailable")
            assert (await here.client.get("/livez")).status_code == 200

    asyncio.run(story())


@pytest.mark.parametrize(
    "facts",
    [
        {"rate_per_min": MOST_PER_MIN, "megapixels_per_min": MOST_PER_MIN},
        {"rate_per_min": 1, "megapixels_per_min": LEAST_MEGAPIXELS_PER_MIN},
    ],
)
def test_the_largest_and_the_least_rates_are_counted(
    store: Store, redis_url: str, tmp_path: Path, facts: dict[str, float]
) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.post(NEAREST, content=PHOTO, headers=OURS | ASYNC)
        assert answer.status_code == 202, answer.text
        assert "RateLimit" in answer.headers

    keyed(redis_url, tmp_path, story, **facts)
