"""Many short jobs at once, some corrupt, some cancelled, under children that are killed: each has its own answer."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import redis

from tests.living import Lutra, as_file, photo, running_lutra

pytestmark = pytest.mark.chaos

COUNT, AT_ONCE, ROUNDS, KILLS = 60, 32, 4, 3
EXPRESS = {"LUTRA_MODELS": "lut3d", "LUTRA_EXPRESS_SECONDS": "3", "LUTRA_EXPRESS_CONCURRENCY": "2"}


def file_of(number: int) -> bytes:
    """Each another picture, every fifth cut off in the middle."""
    data = as_file(photo(256, 256, seed=number), quality=90)
    return data[: len(data) // 2] if number % 5 == 3 else data


def told(lutra: Lutra, data: bytes, **headers: str) -> httpx.Response:
    """The answer that is no refusal, by a connection of its own."""
    headers = {"Cache-Control": "no-cache", "Prefer": "wait=120", **headers}
    with httpx.Client(base_url=f"http://127.0.0.1:{lutra.port}", timeout=300, headers=headers) as client:
        while (answer := client.post("/enhance", content=data)).status_code in (429, 503):
            time.sleep(float(answer.headers.get("Retry-After", "1")))
    return answer


def cancelled_soon(lutra: Lutra, data: bytes) -> None:
    accepted = told(lutra, data, Prefer="respond-async")
    time.sleep(random.Random(len(data)).uniform(0, 0.1))
    assert accepted.status_code == 202, accepted.text
    assert lutra.client.delete(accepted.headers["Location"]).status_code in (200, 202, 204, 409)


def facts(answer: httpx.Response) -> tuple[int, object]:
    return answer.status_code, answer.content if answer.status_code == 200 else answer.json()["type"]


def kill_children(lutra: Lutra, killed: list[int], over: threading.Event) -> None:
    while not over.wait(0.7) and len(killed) < KILLS:
        if children := lutra.children():
            os.kill(children[len(killed) % len(children)], signal.SIGKILL)
            killed.append(children[len(killed) % len(children)])


def most_held(url: str, seen: list[int], over: threading.Event) -> None:
    """How many computations are leased to children, again and again."""
    with redis.Redis.from_url(url) as store:
        while not over.wait(0.002):
            seen.append(int(store.zcard("lutra:running")))


def answers_at_once(lutra: Lutra, files: Sequence[bytes], seed: int) -> dict[int, tuple[int, object]]:
    order = random.Random(seed).sample(range(COUNT), COUNT)
    dropped = [number for number in order if (number + seed) % 11 == 5 and number % 5 != 3]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(cancelled_soon, lutra, files[number]) for number in dropped]
        asked = {number: pool.submit(told, lutra, files[number]) for number in order if number not in dropped}
        for end in ends:
            end.result()
        return {number: facts(answer.result()) for number, answer in asked.items()}


def test_each_of_many_short_jobs_has_its_own_answer_whatever_becomes_of_its_neighbours(
    tmp_path: Path, redis_url: str
) -> None:
    files = [file_of(number) for number in range(COUNT)]
    over, held = threading.Event(), [0]
    killed: list[int] = []
    with running_lutra(tmp_path, LUTRA_REDIS_URL=redis_url, **EXPRESS) as lutra:
        alone = {number: facts(told(lutra, data)) for number, data in enumerate(files)}
        assert [status for status, _ in alone.values()] == [422 if number % 5 == 3 else 200 for number in range(COUNT)]
        beside = [
            threading.Thread(target=kill_children, args=(lutra, killed, over)),
            threading.Thread(target=most_held, args=(redis_url, held, over)),
        ]
        for thread in beside:
            thread.start()
        together = [answers_at_once(lutra, files, seed) for seed in range(ROUNDS)]
        over.set()
        for thread in beside:
            thread.join()
    for answers in together:
        assert answers == {number: alone[number] for number in answers}
    assert killed
    assert max(held) > 2, "no child of the two was ever given several"
