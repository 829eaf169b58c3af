"""Two lanes under killed children and under wrong estimates: the jobs of both end well, and no short one waits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.cards import BY_NAME
from tests.chaos.test_chaos import ASYNC, LONG, ends_well, is_whole, job_json, long_photo, start_long
from tests.living import Lutra, as_file, photo, private_redis, running_lutra, wait_until
from workers.jobs.store import Store
from workers.operations.speeds import SEEN, Speed, key_of

pytestmark = pytest.mark.chaos

SHORT = "/upscale?scale=2&model=bicubic&format=png"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    settings = {"LUTRA_MODELS": "liif,bicubic", "LUTRA_SYNC_WAIT_SECONDS": "60", "LUTRA_EXPRESS_SECONDS": "2"}
    with running_lutra(tmp_path_factory.mktemp("lutra"), **settings) as running:
        yield running


@pytest.fixture
def lutra(service: Lutra) -> Lutra:
    """With two children, also after the test before."""
    wait_until(lambda: is_whole(service, 2), 60, "both children live")
    return service


def owner_of(lutra: Lutra) -> int:
    """The child that computes: the other one has used less of the processor meanwhile."""

    def used(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = {child: used(child) for child in lutra.children()}
    wait_until(lambda: any(used(child) > before[child] + 50 for child in before), 60, "a child computes")
    return max(before, key=lambda child: used(child) - before[child])


def test_short_jobs_are_done_although_the_child_of_a_long_one_is_killed_and_both_go_on(lutra: Lutra) -> None:
    job = start_long(lutra, 512)
    assert job_json(lutra, job)["lane"] == "bulk"
    os.kill(owner_of(lutra), signal.SIGKILL)
    for seed in range(5):
        assert lutra.post(SHORT, as_file(photo(seed=seed))).status_code == 200
    wait_until(lambda: job_json(lutra, job)["attempts"] == 2, 60, "the long job runs again")
    assert lutra.post(SHORT, as_file(photo(seed=9))).status_code == 200
    lutra.client.delete(f"/jobs/{job}")


def test_both_children_killed_have_the_jobs_of_both_lanes_end_well(lutra: Lutra) -> None:
    job = start_long(lutra)
    for child in lutra.children():
        os.kill(child, signal.SIGKILL)
    short = [lutra.post(SHORT, as_file(photo(seed=seed)), headers=ASYNC).json() for seed in range(5)]
    assert {told["lane"] for told in short} == {"express"}
    for told in short:
        ends_well(lutra, told["id"])
    assert ends_well(lutra, job)["attempts"] == 2
    assert set(lutra.samples("lutra_queue_depth").values()) == {0.0}


@pytest.fixture(params=["64", "192"])
def hasty(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lutra]:
    """It has learnt that LIIF is a thousand times as fast as it is; with tiles of so many pixels a side."""
    liif = BY_NAME["liif"]
    seconds, now = liif.cpu_s_per_mp / 1000, time.time()
    settings = {"LUTRA_MODELS": "liif,bicubic", "LUTRA_EXPRESS_SECONDS": "0.2", "LUTRA_TILE": request.param}
    with private_redis(tmp_path / "r") as (url, _):
        store = Store.at(url)
        store.keep_rate(key_of(liif), Speed(seconds, now, ((now, seconds),) * SEEN).to_json())
        store.close()
        with running_lutra(tmp_path, LUTRA_REDIS_URL=url, **settings) as running:
            wait_until(lambda: len(running.children()) == 2, 60, "both children live")
            yield running


def test_a_short_job_does_not_wait_for_long_ones_that_were_estimated_to_be_short(hasty: Lutra) -> None:
    """Six that would take every child of the express lane, one after the other, and a short one of the same client's.
    They give way between their tiles, and in the middle of the only one.
    """
    long = [hasty.post(LONG, long_photo(128, seed), headers=ASYNC).json() for seed in range(6)]
    assert {told["lane"] for told in long} == {"express"}
    short = hasty.post(SHORT, as_file(photo()), headers=ASYNC).json()
    ends_well(hasty, short["id"], 900)
    states = [(told["state"], told["lane"]) for told in (job_json(hasty, one["id"]) for one in long)]
    print(states)
    assert sum(state == "succeeded" for state, _ in states) <= 2, "those that both children had begun"
    assert {lane for state, lane in states if state == "queued"} == {"bulk"}
    for one in long:
        hasty.client.delete(f"/jobs/{one['id']}")
