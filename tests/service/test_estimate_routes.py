"""What a request would come to, before it is sent: the answer of the request itself, or its problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.service.asgi import PHOTO, Here, running_app
from workers.jobs.store import Store

OF_PHOTO = "of_width=64&of_height=48&of_format=jpeg"


def run(redis_url: str, story: Callable[[Here], Awaitable[None]], **settings: object) -> None:
    async def whole() -> None:
        async with running_app(redis_url, **settings) as here:
            await story(here)

    asyncio.run(whole())


async def estimate(here: Here, asked: str) -> dict[str, Any]:
    answer = await here.client.get(asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


ASKED = ("upscale?scale=3.7&model=bicubic", "upscale?scale=2&format=png", "restore?", "enhance?strength=0.5")


def test_an_estimate_is_what_the_job_will_be(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        for asked in (
            "upscale?scale=3.7&model=bicubic",
            "upscale?scale=2&format=png",
            "restore?",
            "enhance?strength=0.5",
        ):
            told = await estimate(here, f"/{asked.replace('?', '/estimate?')}&{OF_PHOTO}")
            answer = await here.client.post(f"/{asked}", content=PHOTO, headers={"Prefer": "respond-async"})
            job = answer.json()
            assert (told["model"], told["format"], told["lane"]) == (
                job["model"],
                job["parameters"]["format"],
                job["lane"],
            )
            if "width" in job["parameters"]:
                assert (told["width"], told["height"]) == (job["parameters"]["width"], job["parameters"]["height"])
            assert told["seconds"] > 0

    run(redis_url, story)


def test_an_estimate_says_how_many_wait_and_how_long(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        asked = f"/upscale/estimate?scale=2&model=nearest&{OF_PHOTO}"
        before = await estimate(here, asked)
        await here.submit(store)
        after = await estimate(here, asked)
        assert (before["queued"], before["wait_s"]) == (0, 0)
        assert after["queued"] == 1 and after["wait_s"] > 0

    run(redis_url, story)


@pytest.mark.parametrize(
    ("asked", "code", "member"),
    [
        ("upscale/estimate?scale=9.5&of_width=64&of_height=48", "bad-parameter", "maximum"),
        ("upscale/estimate?of_width=64&of_height=48", "bad-parameter", "parameter"),
        ("upscale/estimate?scale=2&model=none&of_width=64&of_height=48", "unknown-model", "allowed"),
        ("upscale/estimate?scale=8&model=nearest&of_width=3000&of_height=3000", "too-many-pixels", "limit"),
        ("upscale/estimate?scale=8&model=liif&of_width=2000&of_height=1500", "too-many-pixels", "largest_scale"),
        ("enhance/estimate?of_width=9000&of_height=9000", "too-many-pixels", "limit"),
        ("enhance/estimate?of_width=0&of_height=10", "bad-parameter", "errors"),
    ],
)
def test_what_would_be_refused_is_refused_now_with_the_same_problem(
    store: Store, redis_url: str, asked: str, code: str, member: str
) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.get(f"/{asked}")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, code), answer.text
        assert member in answer.json()

    run(redis_url, story, job_timeout_seconds=300)


def test_an_estimate_tells_what_is_allowed_here(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        told = await estimate(here, "/enhance/estimate?of_width=64&of_height=48")
        assert told["limits"]["max_upload_bytes"] == 12345 and told["limits"]["max_scale"] == 4

    run(redis_url, story, max_upload_bytes=12345, max_scale=4)
