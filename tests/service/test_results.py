"""A result as HTTP wants it answered: its headers, conditions, ranges and HEAD, for pictures of several pieces too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from service.results import found_header, wanted_range
from tests.service.asgi import Here, running_app, succeed
from workers.jobs.store import Store

PIECE_BYTES = 4 * 1024**2  # as pictures lie in the store
WHOLE = bytes(range(251)) * (PIECE_BYTES // 251 + 1000) + b"end"  # two pieces, and no period that fits them
SIZE = len(WHOLE)

Get = Callable[..., Awaitable[httpx.Response]]


def asked(store: Store, redis_url: str, story: Callable[[Get, str], Awaitable[None]]) -> None:
    """`story` is told how to ask for the result of a job, and the job's id."""

    async def whole() -> None:
        async with running_app(redis_url, result_ttl_seconds=600) as here:
            job, computation = await here.submit(store)
            succeed(store, computation, WHOLE)

            async def get(method: str = "GET", **headers: str) -> httpx.Response:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await here.client.request(method, f"/jobs/{job}/result", headers=named)

            await story(get, job)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        (" bytes=99-99 ", (99, 100)),
        ("bytes=-", None),
        ("bytes=9-0", None),  # RFC 9110, 14.1.1: invalid, so ignored
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_is_one_of_bytes_or_the_whole(header: str | None, found: tuple[int, int] | None) -> None:
    assert wanted_range(header, 100) == found


def test_what_was_found_is_told_surest_first_and_what_is_unlikely_not_at_all() -> None:
    assert found_header({"noise": 0.21, "rain": 0.04, "haze": 0.0, "jpeg": 0.83}) == "jpeg 0.8, noise 0.2"
    assert found_header({"noise": 0.01, "jpeg": 0.049}) == "none"


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(ValueError):
        wanted_range(header, 100)


def test_a_result_comes_whole_with_all_that_is_told_of_it(store: Store, redis_url: str) -> None:
    async def story(get: Get, job: str) -> None:
        answer = await get()
        assert (answer.status_code, answer.content) == (200, WHOLE)
        assert answer.headers["content-type"] == "image/jpeg"
        assert int(answer.headers["content-length"]) == SIZE
        assert answer.headers["content-location"] == f"/jobs/{job}/result"
        assert answer.headers["cache-control"] == "private, max-age=600, immutable"
        assert answer.headers["content-disposition"] == 'inline; filename="upscaled.jpg"'
        assert answer.headers["server-timing"] == "infer;dur=500.0"
        assert answer.headers["x-job-id"] == job
        assert answer.headers["x-lutra-model"] == "nearest"
        assert answer.headers["x-content-type-options"] == "nosniff"
        head = await get("HEAD")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", answer.headers["etag"])
        assert int(head.headers["content-length"]) == SIZE

    asked(store, redis_url, story)


def test_who_has_it_already_is_told_so(store: Store, redis_url: str) -> None:
    async def story(get: Get, job: str) -> None:
        etag = (await get("HEAD")).headers["etag"]
        for tags in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            for method in ("GET", "HEAD"):
                answer = await get(method, If_None_Match=tags)
                assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag), tags
        assert (await get(If_None_Match='"other"')).content == WHOLE

    asked(store, redis_url, story)


def test_parts_are_those_that_were_asked_for_also_across_pieces(store: Store, redis_url: str) -> None:
    async def story(get: Get, job: str) -> None:
        for first, stop in ((0, 1), (PIECE_BYTES - 3, PIECE_BYTES + 5), (PIECE_BYTES, SIZE), (SIZE - 3, SIZE)):
            answer = await get(Range=f"bytes={first}-{stop - 1}")
            assert (answer.status_code, answer.content) == (206, WHOLE[first:stop])
            assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{SIZE}"
            assert int(answer.headers["content-length"]) == stop - first
        beyond = await get(Range=f"bytes={SIZE}-")
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{SIZE}")
        assert beyond.headers["content-type"] == "application/problem+json"
        assert beyond.json()["title"] == "Range Not Satisfiable"
        assert beyond.json()["detail"] == f"bytes={SIZE}- is outside the result, which has {SIZE} bytes"
        head = await get("HEAD", Range="bytes=0-9")
        assert (head.status_code, int(head.headers["content-length"])) == (200, SIZE)

    asked(store, redis_url, story)


def test_a_part_of_another_version_is_not_given(store: Store, redis_url: str) -> None:
    async def story(get: Get, job: str) -> None:
        etag = (await get("HEAD")).headers["etag"]
        assert (await get(Range="bytes=0-9", If_Range=etag)).content == WHOLE[:10]
        assert (await get(Range="bytes=0-9", If_Range='"other"')).content == WHOLE

    asked(store, redis_url, story)


def test_the_name_of_the_file_says_what_was_done_and_its_format(store: Store, redis_url: str) -> None:
    async def story() -> list[str]:
        async with running_app(redis_url) as here:
            return [await name_of(here, path, kind) for path, kind in cases]

    async def name_of(here: Here, path: str, kind: str) -> str:
        job, computation = await here.submit(store, path)
        succeed(store, computation, format=kind, media_type=f"image/{kind}")
        return str((await here.client.head(f"/jobs/{job}/result")).headers["content-disposition"])

    cases = [("/enhance?format=png", "png"), ("/upscale?scale=2&model=nearest&format=webp", "webp")]
    assert asyncio.run(story()) == ['inline; filename="enhanced.png"', 'inline; filename="upscaled.webp"']
