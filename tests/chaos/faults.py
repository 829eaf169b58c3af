"""A service under faults: a Redis that forgets nothing, clients that ask until they are heard, and whom to kill."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.living import Lutra, as_file, opened, photo, wait_until
from workers import embedded
from workers.jobs import place
from workers.jobs.connections import connect
from workers.jobs.store import Store

LONGEST_S = 900.0  # far more than a machine needs that has nothing else to do
PAUSE_S = 0.5


class DurableRedis:
    """A redis-server with an append-only file, each write of it on the disk before it is answered."""

    def __init__(self, folder: Path) -> None:
        private = embedded.prepare(folder)
        self.url = private.url
        self._command = [*private.command, "--appendonly", "yes", "--appendfsync", "always"]
        self.process = self._started()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> None:
        self.process = self._started()

    def command(self, *words: Any) -> None:
        """One command, on a connection of its own."""
        client: Any = connect(self.url, timeout_s=5)
        client.execute_command(*words)
        client.close()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(20)

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, 30, "redis answers")
        return process

    def _answers(self) -> bool:
        try:
            self.command("PING")
        except redis.RedisError:
            return False
        return True


@dataclass
class Request:
    """One job and what its client has seen of it."""

    path: str
    size: tuple[int, int]  # (width, height) of the picture that comes in
    seed: int
    waits: bool
    job_id: str = ""
    answers: list[int] = field(default_factory=list)
    disconnections: int = 0

    @property
    def key(self) -> str:
        return f"client-{self.seed}"

    def send(self, base_url: str) -> None:
        """Until it is taken in: the same request again, under its key, as a client does that wants its picture."""
        data = as_file(photo(self.size[1], self.size[0], self.seed), quality=95)
        headers = {"Idempotency-Key": self.key, "Prefer": "wait=60" if self.waits else "respond-async"}
        give_up = time.monotonic() + LONGEST_S
        while time.monotonic() < give_up:
            try:
                answer = httpx.post(base_url + self.path, content=data, headers=headers, timeout=120)
            except httpx.TransportError:
                self.disconnections += 1
                time.sleep(PAUSE_S)
                continue
            self.answers.append(answer.status_code)
            if answer.status_code in (200, 202):
                self.job_id = answer.headers.get("x-job-id") or answer.json()["id"]
                return
            time.sleep(PAUSE_S)

    def has_picture(self, client: httpx.Client) -> bool:
        """Whether its job has succeeded with a picture of the size that belongs to it."""
        told = client.get(f"/jobs/{self.job_id}").json()
        if told["state"] != "succeeded":
            return False
        picture = opened(client.get(f"/jobs/{self.job_id}/result").content)
        return picture.size == (told["output"]["width"], told["output"]["height"])


class Crowd:
    """Clients that send requests, each in a thread."""

    def __init__(self, base_url: str, requests: Sequence[Request]) -> None:
        self._base_url = base_url
        self._waiting = list(requests)
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> int:
        """How many are not sent yet."""
        return len(self._waiting)

    def send(self, count: int) -> None:
        """The next so many of them, at once."""
        for request in self._waiting[:count]:
            self._threads.append(threading.Thread(target=request.send, args=(self._base_url,), daemon=True))
            self._threads[-1].start()
        del self._waiting[:count]

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LONGEST_S)


class Victims:
    """Computations by a slow model that run and did not lose a worker yet: the second loss would rightly fail them."""

    def __init__(self, store: Store, model: str) -> None:
        self._store = store
        self._model = model

    def wait_for_one(self, *, alone: bool = False) -> tuple[str, int]:
        """One of them and the pid of its child; `alone`: while none runs that lost a worker."""
        found: list[tuple[str, int]] = []

        def is_there() -> bool:
            owners = {name: owner for name, owner in self._store.running().items() if owner}
            lost = {name for name in owners if self._losses(name)}
            slow = [name for name in owners if name not in lost and self._record(name, "model") == [self._model]]
            found.extend((name, place.pid_of(owners[name])) for name in slow if not (alone and lost))
            return bool(found)

        wait_until(is_there, 600, "a long job runs that lost no worker yet")
        return found[0]

    def goes_on(self, computation: str) -> bool:
        """Whether another attempt at it has begun, or it has ended."""
        state, attempt = self._record(computation, "state", "attempt")
        return state not in ("queued", "running") or (state == "running" and int(attempt) > 1)

    def _losses(self, computation: str) -> int:
        return int(self._record(computation, "losses")[0] or 0)

    def _record(self, computation: str, *fields: str) -> list[str]:
        values: Any = self._store.client.hmget(f"lutra:comp:{computation}", fields)
        return [value.decode() if value else "" for value in values]


@dataclass(frozen=True)
class Recovery:
    """A fault, and how long after it the next client had its picture and what was lost was computed again."""

    fault: str
    picture_s: float
    lost_job_s: float | None = None

    def row(self) -> str:
        again = "" if self.lost_job_s is None else f"{self.lost_job_s:.1f}"
        return f"{self.fault:<58} {self.picture_s:>8.1f} {again:>8}"


def next_picture_s(lutra: Lutra, request: Request) -> float:
    """Seconds until a client that asks now has its picture."""
    start = time.monotonic()
    request.send(str(lutra.client.base_url))
    wait_until(lambda: answered(lutra, request), 300, "the next picture")
    return time.monotonic() - start


def answered(lutra: Lutra, request: Request) -> bool:
    try:
        return request.has_picture(lutra.client)
    except (httpx.TransportError, KeyError):
        return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
