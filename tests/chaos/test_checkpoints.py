"""A long job whose worker is killed goes on from what is done, and its result is that of an undisturbed run."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.test_chaos import ASYNC, ends_well, job_json
from tests.living import Lutra, as_file, photo, private_redis, running_lutra, wait_until
from workers.jobs.store import Store

pytestmark = [pytest.mark.chaos, pytest.mark.outage]

TILE = 48  # pixels a side
TILES = 40
LEAST_S = 0.5  # that a tile is to take: a machine that does forty in five seconds has nothing to keep


def forty_tiles() -> bytes:
    return as_file(photo(5 * TILE, 8 * TILE), quality=95)


def enlarge_by(scale: int) -> str:
    return f"/upscale?scale={scale}&model=liif&format=png"


def slow_scale(lutra: Lutra) -> int:
    """At which a tile takes LEAST_S here, by one that is tried."""
    seconds = 0.0
    for seed in range(2):  # the first one warms the child up
        start = time.monotonic()
        assert lutra.post(enlarge_by(4), as_file(photo(TILE, TILE, seed))).status_code == 200
        seconds = time.monotonic() - start
    return min(8, math.ceil(4 * math.sqrt(LEAST_S / seconds))) if seconds < LEAST_S else 4


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Lutra, Store]]:
    with private_redis(tmp_path / "r") as (url, _):
        settings = {"LUTRA_REDIS_URL": url, "LUTRA_MODELS": "liif", "LUTRA_TILE": str(TILE)}
        with running_lutra(tmp_path, **settings) as lutra:
            store = Store.at(url)
            yield lutra, store
            store.close()


def tiles_computed(lutra: Lutra) -> float:
    return lutra.samples("lutra_tiles_total")['{model="liif"}']


def kill_at(lutra: Lutra, job: str, share: float) -> None:
    """The worker's child, when so much of the job is done."""
    wait_until(lambda: float(str(job_json(lutra, job)["progress"])) >= share, 900, "the job comes so far", 0.1)
    (child,) = lutra.children()
    os.kill(child, signal.SIGKILL)


def runs_again(lutra: Lutra, job: str) -> float:
    """The job's progress when it runs again."""
    seen: list[float] = []

    def is_running() -> bool:
        now = job_json(lutra, job)
        seen.append(float(str(now["progress"])))
        return (now["state"], now["attempts"]) == ("running", 2)

    wait_until(is_running, 60, "the job runs again")
    return seen[-1]


def test_a_job_of_forty_tiles_killed_at_thirty_computes_at_most_fifty_and_gives_the_same_picture(
    service: tuple[Lutra, Store],
) -> None:
    lutra, store = service
    data, path = forty_tiles(), enlarge_by(slow_scale(lutra))
    before = tiles_computed(lutra)
    undisturbed = str(lutra.post(path, data, headers=ASYNC).json()["id"])
    assert ends_well(lutra, undisturbed, 900)["attempts"] == 1
    assert tiles_computed(lutra) - before == TILES

    job = str(lutra.post(path, data, headers=ASYNC).json()["id"])
    kill_at(lutra, job, 30 / TILES)
    start = time.monotonic()
    progress = runs_again(lutra, job)
    again_s = time.monotonic() - start
    assert ends_well(lutra, job, 900)["attempts"] == 2
    computed = tiles_computed(lutra) - before - TILES
    print(f"again after {again_s:.1f} s at {progress:.0%}; {computed:.0f} tiles computed in all")
    assert computed <= 50
    assert progress >= 0.5
    results = [lutra.client.get(f"/jobs/{one}/result").content for one in (undisturbed, job)]
    assert results[0] == results[1]
    assert not store.client.keys("lutra:checkpoint*"), "nothing of it stays"


def test_a_long_job_that_is_deleted_leaves_nothing_of_its_picture(service: tuple[Lutra, Store]) -> None:
    lutra, store = service
    job = str(lutra.post(enlarge_by(8), forty_tiles(), headers=ASYNC).json()["id"])
    wait_until(lambda: bool(store.client.keys("lutra:checkpoint:*")), 120, "some of it is kept")
    lutra.client.delete(f"/jobs/{job}")
    wait_until(lambda: job_json(lutra, job)["state"] == "cancelled", 60, "the job ends")
    assert not store.client.keys("lutra:checkpoint*")
    assert not store.client.keys("lutra:in:*")
