"""The client with something in its way (a limit, a full queue, lost connections, a killed worker) gets its picture."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import httpx
import pytest
from lutra_client import KeyNeeded, Lutra, Progress, RateLimited, Result

from service.keys import new_key, new_line
from tests.living import Lutra as Service
from tests.living import as_file, opened, photo, running_lutra, wait_until
from tests.proxy import Proxy, proxied

pytestmark = [pytest.mark.chaos, pytest.mark.outage]  # in `make chaos` and `make test-all`

FREE, SLOW = new_key(), new_key()  # of clients without a limit, and with one in five seconds
LARGE = as_file(photo(192, 192), quality=95)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With room for one job, which one child computes."""
    folder = tmp_path_factory.mktemp("lutra")
    keys = folder / "keys.jsonl"
    slow = new_line("slow", SLOW, {"rate_per_min": 12})
    keys.write_text(f"{new_line('free', FREE)}\n{slow}\n")
    settings = {"LUTRA_API_KEYS_FILE": str(keys), "LUTRA_QUEUE_SIZE": "1", "LUTRA_MODELS": "nearest,liif"}
    with running_lutra(folder, **settings) as running:
        running.client.headers["Authorization"] = f"Bearer {FREE}"
        yield running


@contextmanager
def asking(url: str, seed: int) -> Iterator[tuple[SimpleQueue[Result], threading.Event]]:
    """A client in a thread with a picture that takes seconds: its result, and whether its job runs."""
    results, runs = SimpleQueue[Result](), threading.Event()
    large = as_file(photo(192, 192, seed), quality=95)

    def tell(progress: Progress) -> None:
        if progress.state == "running":
            runs.set()

    def ask() -> None:
        with Lutra(url, FREE, patience_s=120) as client:
            results.put(client.upscale(large, scale=4, model="liif", on_progress=tell).result())

    thread = threading.Thread(target=ask)
    thread.start()
    yield results, runs
    thread.join(240)
    assert not thread.is_alive()


def url_of(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def http_of(proxy: Proxy) -> str:
    return proxy.url.replace("redis://", "http://").removesuffix("/0")


def cut(proxy: Proxy) -> None:
    """Every connection there is now is reset."""
    for link in list(proxy._links):
        proxy._loop.call_soon_threadsafe(link.reset)


def test_without_its_key_it_is_told_so(service: Service) -> None:
    with Lutra(url_of(service)) as client, pytest.raises(KeyNeeded):
        client.enhance(LARGE).result()


def test_who_asks_too_often_waits_until_it_may(service: Service) -> None:
    with httpx.Client(base_url=url_of(service), headers={"X-API-Key": SLOW}) as http:
        while http.get("/models").status_code != 429:
            continue
        with Lutra(url_of(service), SLOW, patience_s=0) as client, pytest.raises(RateLimited):
            client.upscale(LARGE, scale=2, model="nearest").result()
    with Lutra(url_of(service), SLOW) as client:
        assert opened(client.upscale(LARGE, scale=2, model="nearest").result().data).size == (384, 384)


def test_who_finds_the_queue_full_comes_back_when_there_is_room(service: Service) -> None:
    refused = "lutra_admission_rejected_total"
    before = sum(service.samples(refused).values())
    with asking(url_of(service), seed=1) as (results, runs):
        assert runs.wait(60)
        with Lutra(url_of(service), FREE) as client:
            assert opened(client.upscale(LARGE, scale=2, model="nearest").result().data).size == (384, 384)
    assert opened(results.get(timeout=1).data).size == (768, 768)
    assert sum(service.samples(refused).values()) > before


def test_a_worker_killed_in_the_middle_costs_time_alone(service: Service) -> None:
    with asking(url_of(service), seed=2) as (results, runs):
        assert runs.wait(60)
        (child,) = service.children()
        os.kill(child, signal.SIGKILL)
    result = results.get(timeout=1)
    assert opened(result.data).size == (768, 768)
    assert service.client.get(f"/jobs/{result.job_id}").json()["attempts"] == 2


def test_lost_connections_are_made_anew_and_nothing_is_asked_for_twice(service: Service) -> None:
    def jobs() -> set[str]:
        return {job["id"] for job in service.client.get("/jobs?limit=100").json()["jobs"]}

    before = jobs()
    with proxied(f"redis://127.0.0.1:{service.port}") as proxy, asking(http_of(proxy), seed=3) as (results, runs):
        wait_until(lambda: jobs() > before, 60, "the picture was taken in")
        cut(proxy)  # while the answer to the POST is waited for
        assert runs.wait(60)
        cut(proxy)  # while events are listened to
    result = results.get(timeout=1)
    assert opened(result.data).size == (768, 768)
    assert jobs() - before == {result.job_id}
