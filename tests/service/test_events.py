"""A job's events as a browser's EventSource reads them: replayed, continued, and ended with the job."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest
import uvicorn

from service import waiting
from service.events import start_after
from service.serve import Server
from tests.service.asgi import Exchange, Here, claim, fail, running_app, succeed
from workers.errors import CorruptPicture
from workers.jobs.store import Store


def told(text: bytes) -> list[tuple[str, str, str]]:
    """(id, kind, data) of all events of a stream."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.decode().split("\n\n")]
    return [(block["id"], block["event"], block["data"]) for block in blocks if "event" in block]


def run(redis_url: str, story: Callable[[Here], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running_app(redis_url) as here:
            await story(here)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("brought", "start"),
    [
        (None, "0"),
        ("", "0"),
        ("17", "17"),
        ("1700000000000-3", "1700000000000-3"),
        ("1-2-3", "0"),
        ("$", "0"),
        ("-1", "0"),
        ("1 2", "0"),
        ("99999999999999999999", "0"),  # more than Redis counts
        ("1-99999999999999999999", "0"),
    ],
)
def test_a_stream_goes_on_after_the_id_that_was_brought_and_begins_anew_for_nonsense(
    brought: str | None, start: str
) -> None:
    assert start_after(brought) == start


def test_a_stream_tells_what_was_and_what_comes_until_the_end(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job, computation = await here.submit(store)
        stream = Exchange(here.app, f"/jobs/{job}/events")
        await stream.until(b'"queued"')
        taken = claim(store, computation)
        await stream.until(b'"running"')
        store.progress(taken, 1, 4)
        await stream.until(b"event: progress")
        assert not stream.task.done()
        store.succeed(taken, b"better", {"format": "png"}, {})
        await stream.end()
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert "content-length" not in stream.headers
        assert stream.body.startswith(b"retry: 2000\n\n")
        seen = told(stream.body)
        assert [kind for _, kind, _ in seen] == ["state", "state", "progress", "state", "end"]
        again = await here.client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": seen[1][0]})
        assert told(again.content) == seen[2:]
        assert told((await here.client.get(f"/jobs/{job}/events")).content) == seen
        after = await here.client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": seen[-1][0]})
        assert after.status_code == 204

    run(redis_url, story)


def test_a_failure_ends_the_stream_too(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job, computation = await here.submit(store)
        stream = Exchange(here.app, f"/jobs/{job}/events")
        await stream.until(b'"queued"')
        fail(store, computation, CorruptPicture("cut off"))
        await stream.end()
        assert told(stream.body)[-1][1:] == ("end", '{"state":"failed"}')

    run(redis_url, story)


def test_a_comment_keeps_a_silent_stream_open(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUIET_S", 0.02)
    monkeypatch.setattr(waiting, "STIR_EVERY_S", 0.01)

    async def story(here: Here) -> None:
        job, computation = await here.submit(store)
        stream = Exchange(here.app, f"/jobs/{job}/events")
        await stream.until(b"\n\n: still here\n\n", times=3)
        succeed(store, computation)
        await stream.end()
        assert told(stream.body)[-1][1] == "end"

    run(redis_url, story)


def test_a_job_that_is_gone_ends_its_streams(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", 0.05)

    async def story(here: Here) -> None:
        job, _ = await here.submit(store)
        stream = Exchange(here.app, f"/jobs/{job}/events")
        await stream.until(b'"queued"')
        store.client.flushall()
        await stream.end()
        assert [kind for _, kind, _ in told(stream.body)] == ["state"]
        assert (await here.client.get(f"/jobs/{job}/events")).status_code == 404

    run(redis_url, story)


def test_a_gateway_that_stops_ends_its_streams_and_a_client_that_leaves_its_own(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", 3600.0)  # they are told, and do not find out in passing

    async def story(here: Here) -> None:
        job, _ = await here.submit(store)
        first, second = (Exchange(here.app, f"/jobs/{job}/events") for _ in range(2))
        await first.until(b'"queued"')
        await second.until(b'"queued"')
        first.leave()
        await first.end()
        assert not second.task.done()
        Server(uvicorn.Config(here.app), here.app).handle_exit(signal.SIGTERM, None)
        await second.end()
        assert store.status(job).state == "queued"

    run(redis_url, story)


def test_head_of_a_stream_has_its_headers_and_ends_at_once(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job, _ = await here.submit(store)
        head = await here.client.head(f"/jobs/{job}/events")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")

    run(redis_url, story)
