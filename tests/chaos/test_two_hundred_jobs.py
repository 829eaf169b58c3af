"""Two hundred jobs of all kinds while everything around them fails: none is lost, none is done twice, none sticks.

Prints a table: each fault, the seconds until the next client had its picture, and, where a worker's job was lost, until
that was computed again.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import Crowd, DurableRedis, Recovery, Request, Victims, answered, kill, next_picture_s
from tests.chaos.test_chaos import descendants_of_one
from tests.living import Lutra, running_lutra, wait_until
from tests.proxy import Proxy, proxied
from workers.jobs.store import Store

pytestmark = [pytest.mark.chaos, pytest.mark.outage]

JOBS = 200
MODELS = "lut3d,airnet,eclut,liif,lmliif,srresnet,nearest,bilinear,bicubic,lanczos"
SMALL, MIDDLE, LARGE = (96, 64), (320, 240), (160, 160)
# What a round of clients asks for: (endpoint and query, size of the picture).
KINDS = (
    ("/upscale?model=liif&scale=4&format=png", LARGE),
    ("/enhance", MIDDLE),
    ("/restore?model=airnet", SMALL),
    ("/upscale?model=lmliif&scale=3.7", SMALL),
    ("/enhance?strength=0.5&format=webp", MIDDLE),
    ("/upscale?model=eclut&scale=2", MIDDLE),
    ("/upscale?model=nearest&scale=2.5&format=png", SMALL),
    ("/upscale?model=srresnet&scale=4&format=png", SMALL),
    ("/enhance?format=png", SMALL),
    ("/upscale?model=bicubic&scale=3&format=png", MIDDLE),
    ("/upscale?scale=2", SMALL),
    ("/restore?model=airnet&strength=0.5&format=png", SMALL),
    ("/upscale?model=lanczos&max_pixels=200000", SMALL),
)
STOPPED_S, PAUSED_S, FULL_S = 20, 10, 10


def make_requests(number: int) -> list[Request]:
    """Each kind waiting for its picture and not, all pictures different."""
    return [Request(*KINDS[n % len(KINDS)], seed=n, waits=(n // len(KINDS) + n) % 2 == 0) for n in range(number)]


@dataclass
class Scene:
    """The service, what it stands on, and what has been seen so far."""

    lutra: Lutra
    proxy: Proxy
    redis: DurableRedis
    store: Store
    victims: Victims
    probes: list[Request]
    table: list[Recovery]

    def probe(self) -> Request:
        """One more client, which waits for a small picture."""
        request = Request(
            "/upscale?model=bicubic&scale=2&format=png", SMALL, seed=10_000 + len(self.probes), waits=True
        )
        self.probes.append(request)
        return request

    def note(self, fault: str, lost: str | None = None) -> None:
        """What is measured from now on, when the fault is over: the next picture, and the computation that was lost."""
        with ThreadPoolExecutor(1) as beside:
            picture_s = beside.submit(next_picture_s, self.lutra, self.probe())
            lost_s = None
            if lost is not None:
                lost_s = wait_until(lambda: self.victims.goes_on(lost), 300, "the lost job is computed again")
            self.table.append(Recovery(fault, picture_s.result(), lost_s))
        print(self.table[-1].row(), flush=True)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    redis = DurableRedis(tmp_path / "r")
    try:
        with proxied(redis.url) as proxy:
            settings = {"LUTRA_REDIS_URL": proxy.url, "LUTRA_MODELS": MODELS, "LUTRA_EXPRESS_SECONDS": "2"}
            with running_lutra(tmp_path, **settings) as lutra:
                wait_until(lambda: len(lutra.children()) == 2, 120, "both children live")
                store = Store.at(redis.url)
                yield Scene(lutra, proxy, redis, store, Victims(store, "liif"), [], [])
                store.close()
    finally:
        redis.stop()


def parent_of_workers(lutra: Lutra) -> int:
    (parent,) = set(lutra.pids("service.cli worker")) & descendants_of_one(lutra)
    return parent


def kill_a_child(scene: Scene) -> None:
    lost, child = scene.victims.wait_for_one()
    kill(child)
    scene.note("a worker's child killed with -9", lost)


def stop_a_child(scene: Scene) -> None:
    lost, child = scene.victims.wait_for_one()
    os.kill(child, signal.SIGSTOP)
    scene.note("a worker's child that hangs", lost)


def kill_the_parent(scene: Scene) -> None:
    lost, _ = scene.victims.wait_for_one(alone=True)
    kill(parent_of_workers(scene.lutra))
    scene.note("the worker's parent killed with -9", lost)


def terminate_the_worker(scene: Scene) -> None:
    scene.victims.wait_for_one()
    os.kill(parent_of_workers(scene.lutra), signal.SIGTERM)
    scene.note("SIGTERM to the worker in the middle of jobs")


def stop_redis(scene: Scene) -> None:
    scene.redis.process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    scene.redis.process.send_signal(signal.SIGCONT)
    scene.note(f"Redis stopped for {STOPPED_S} s (SIGSTOP)")


def pause_redis(scene: Scene) -> None:
    scene.redis.command("CLIENT", "PAUSE", PAUSED_S * 1000)
    time.sleep(PAUSED_S)
    scene.note(f"Redis paused for {PAUSED_S} s (CLIENT PAUSE)")


def restart_redis(scene: Scene) -> None:
    scene.redis.kill()
    scene.redis.restart()
    scene.note("Redis killed with -9, restarted from its append-only file")


def cut_connections(scene: Scene) -> None:
    assert scene.proxy.forget(reset=True) > 3
    scene.note("all connections to Redis cut")


def forget_connections(scene: Scene) -> None:
    assert scene.proxy.forget() > 3
    scene.note("all connections to Redis silently forgotten")


def fill_memory(scene: Scene) -> None:
    scene.redis.command("CONFIG", "SET", "maxmemory", 1)
    time.sleep(FULL_S)
    scene.redis.command("CONFIG", "SET", "maxmemory", 0)
    scene.note(f"Redis without memory for {FULL_S} s (maxmemory)")


def kill_the_gateway(scene: Scene) -> None:
    (gateway,) = scene.lutra.pids("service.cli", "gateway")
    kill(gateway)
    scene.note("the gateway killed with -9 while clients wait")


FAULTS: tuple[Callable[[Scene], None], ...] = (
    *(kill_a_child, stop_redis, kill_a_child, kill_the_gateway, kill_the_parent, pause_redis, kill_a_child),
    *(forget_connections, stop_a_child, restart_redis, kill_a_child, fill_memory, cut_connections),
    *(terminate_the_worker, kill_a_child),
)


def test_none_of_two_hundred_jobs_is_lost_or_done_twice_or_sticks(scene: Scene) -> None:
    requests = make_requests(JOBS)
    print(f"\n{'fault':<58} {'picture':>8} {'lost job':>8}   (seconds)")
    crowd = Crowd(str(scene.lutra.client.base_url), requests)
    for left, fault in zip(range(len(FAULTS), 0, -1), FAULTS, strict=True):
        crowd.send(-(-crowd.waiting // left))
        fault(scene)
    crowd.join()
    everybody = [*requests, *scene.probes]
    for request in everybody:
        assert request.job_id, f"never taken in: {request}"
        wait_until(lambda asked=request: answered(scene.lutra, asked), 600, f"the picture of {request}")  # type: ignore[misc]
    print_table(scene, everybody)

    assert len({request.job_id for request in everybody}) == len(everybody)
    assert {status for request in everybody for status in request.answers} <= {200, 202, 409, 429, 503}
    assert_counted_once(scene, {request.job_id for request in everybody})
    assert_nothing_sticks(scene)


def assert_counted_once(scene: Scene, jobs: set[str]) -> None:
    """By the store's records, by its count of each client's usage, and by what the workers say that they ended."""
    assert listed_jobs(scene.lutra) == Counter(jobs)
    usage = scene.lutra.client.get("/usage").json()["days"]
    assert sum(day["jobs"] for day in usage) == len(jobs)
    ended = Counter(line["job_id"] for line in logged(scene.lutra, "job ended"))
    assert set(ended) <= jobs
    assert ended.most_common(1)[0][1] == 1
    submitted = scene.lutra.samples("lutra_cache_requests_total")
    assert submitted['{result="hit"}'] + submitted['{result="coalesced"}'] == 0


def assert_nothing_sticks(scene: Scene) -> None:
    wait_until(lambda: scene.store.queue().active == 0, 60, "nothing is active")
    assert set(scene.lutra.samples("lutra_queue_depth").values()) == {0.0}
    client: Any = scene.store.client
    for key in ("queued", "running", "checkpoints"):
        assert client.exists(f"lutra:{key}") == 0
    assert not client.keys("lutra:in:*"), "pictures that came in are gone"
    wait_until(lambda: len(scene.lutra.children()) == 2, 60, "both children live")


def listed_jobs(lutra: Lutra) -> Counter[str]:
    """How often GET /jobs names each."""
    found: Counter[str] = Counter()
    cursor: str | None = ""
    for _ in count():
        page = lutra.client.get("/jobs", params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
        found.update(job["id"] for job in page["jobs"])
        cursor = page["next"]
        if cursor is None:
            break
    return found


def logged(lutra: Lutra, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in lutra.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def print_table(scene: Scene, everybody: list[Request]) -> None:
    answers = Counter(status for request in everybody for status in request.answers)
    taken_up = logged(scene.lutra, "tiles of the attempt before are taken up")
    print(
        f"{len(everybody)} jobs; answers {dict(answers)}; {sum(one.disconnections for one in everybody)} disconnections"
    )
    print(
        f"requeued {scene.lutra.samples('lutra_jobs_requeued_total')}; {len(taken_up)} jobs went on from a checkpoint"
    )
