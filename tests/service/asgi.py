"""The gateway's ASGI application in this process, on a real Redis. A test does the worker's part, through the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from service.app import create_app
from tests.living import as_file, photo, wait_until
from tests.workers.stored import queued_ids
from workers.errors import LutraError
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.settings import read_settings

PHOTO = as_file(photo(), quality=95)
NEAREST = "/upscale?scale=2&model=nearest"
ASYNC = {"Prefer": "respond-async"}
OUTPUT = {"format": "jpeg", "width": 128, "height": 96, "media_type": "image/jpeg"}
PATIENCE_S = 30.0
ANEW = {"Cache-Control": "no-cache"}  # unless a test says otherwise: many send the same picture


@dataclass
class Here:
    """The running application and a client for it."""

    app: FastAPI
    client: httpx.AsyncClient

    async def submit(self, store: Store, path: str = NEAREST) -> tuple[str, str]:
        """The ids of a new job and of its computation."""
        answer = await self.client.post(path, content=PHOTO, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        job_id = str(answer.json()["id"])
        return job_id, store.status(job_id).computation_id


@asynccontextmanager
async def running_app(redis_url: str, **settings: object) -> AsyncIterator[Here]:
    app = create_app(read_settings(**settings), redis_url)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://lutra", timeout=PATIENCE_S, headers=ANEW) as client,
    ):
        yield Here(app, client)


async def eventually(true: Callable[[], bool], what: str) -> None:
    """Returns once `true()`, while the loop goes on."""
    await asyncio.to_thread(wait_until, true, PATIENCE_S, what)


async def queued(store: Store) -> str:
    """The id of the only computation in the queue, once there is one."""
    await eventually(lambda: len(queued_ids(store)) > 0, "a job is queued")
    (computation_id,) = queued_ids(store)
    return computation_id


def claim(store: Store, computation_id: str) -> Claim:
    taken = store.claim(computation_id, "test:1", lease_s=60, timeout_s=60)
    assert taken is not None
    return taken


def succeed(store: Store, computation_id: str, result: bytes = b"better", **output: object) -> None:
    assert store.succeed(claim(store, computation_id), result, {**OUTPUT, **output}, {"infer": 0.5})


def fail(store: Store, computation_id: str, error: LutraError) -> None:
    assert store.fail(claim(store, computation_id), error, {})


class Exchange:
    """One GET without a server between: its answer can be watched while it comes, and left before its end."""

    def __init__(self, app: ASGIApp, path: str, **headers: str) -> None:
        self.status, self.headers, self.body, self.begun = 0, dict[str, str](), b"", 0
        self._asked, self._left = False, asyncio.Event()
        scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}
        scope |= {"http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode()}
        scope |= {"query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "server": ("lutra", 80)}
        named = {"host": "lutra", **headers}
        scope["headers"] = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.begun = message["status"], self.begun + 1
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")

    def leave(self) -> None:
        self._left.set()

    async def until(self, text: bytes, times: int = 1) -> None:
        await eventually(lambda: self.body.count(text) >= times, f"{text!r} is sent")

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.task
