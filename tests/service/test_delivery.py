"""Results that reached their client make room for new jobs, and a job that is deleted frees its bytes at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.living import Lutra, as_file, photo, running_lutra, wait_until
from tests.service.asgi import NEAREST, PHOTO, running_app, succeed
from tests.workers.stored import queued_ids
from workers.jobs.store import Store

NOISE = as_file(np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), np.uint8), "PNG")
BROKEN = as_file(photo(), quality=95)[:-800]
LARGE = "/upscale?scale=2&model=bicubic&format=png"  # 15 MB, counted as 20 before it is there; 25 with the upload
ASYNC = {"Prefer": "respond-async"}
RECORDS = 200_000


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """A service with room for two large results and the making of none beside them."""
    settings = {"LUTRA_STORE_BYTES": "46000000", "LUTRA_MODELS": "bicubic,nearest", "LUTRA_METRICS_PORT": "0"}
    with running_lutra(tmp_path_factory.mktemp("small"), **settings) as running:
        yield running


@pytest.fixture
def service(small_store: Lutra) -> Iterator[Lutra]:
    """It holds no picture before the test; records of cancelled jobs stay."""
    wait_until(lambda: stored(small_store) < RECORDS, 30, "cancelled jobs have stopped")
    made: list[str] = []
    post = small_store.client.post

    def remembering(*given: object, **named: object) -> object:
        answer = post(*given, **named)  # type: ignore[arg-type]
        if answer.is_success:
            made.append(answer.headers.get("location") or answer.headers["content-location"].removesuffix("/result"))
        return answer

    small_store.client.post = remembering  # type: ignore[method-assign, assignment]
    yield small_store
    small_store.client.post = post  # type: ignore[method-assign]
    for path in made:
        small_store.client.delete(path)


def stored(lutra: Lutra) -> float:
    return lutra.samples("lutra_store_bytes")[""]


def finished(lutra: Lutra) -> str:
    """The path of a job with a large result that nobody has fetched."""
    posted = lutra.post(LARGE, NOISE, headers=ASYNC)
    assert posted.status_code == 202, posted.text
    path = posted.headers["location"]
    wait_until(lambda: lutra.client.get(path).json()["state"] == "succeeded", 60, "the job succeeds")
    return str(path)


def read_a_little_and_leave(lutra: Lutra, path: str) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", lutra.port))
        client.sendall(f"GET {path}/result HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def is_full(lutra: Lutra) -> bool:
    """Whether a job that needs as much again is refused; it is cancelled where it is not."""
    answer = lutra.post(LARGE, NOISE, headers=ASYNC)
    if answer.status_code == 202:
        lutra.client.delete(answer.headers["location"])
        return False
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lutra:problem:store-full")
    return True


def test_only_what_was_sent_whole_makes_room_and_its_job_says_so(service: Lutra) -> None:
    first, second = finished(service), finished(service)
    assert is_full(service)
    client = service.client
    assert client.head(f"{first}/result").status_code == 200
    assert client.get(f"{first}/result", headers={"Range": "bytes=0-99"}).status_code == 206
    assert client.get(f"{first}/result", headers={"Range": "bytes=1-"}).status_code == 206
    etag = client.head(f"{first}/result").headers["etag"]
    assert client.get(f"{first}/result", headers={"If-None-Match": etag}).status_code == 304
    read_a_little_and_leave(service, first)
    assert is_full(service)
    whole = client.get(f"{first}/result").content
    assert len(whole) == int(client.head(f"{first}/result").headers["content-length"])
    assert not is_full(service)
    for path in (first, f"{first}/result", f"{first}/events"):
        gone = client.get(path)
        assert gone.status_code == 410
        assert "was delivered and has made room" in gone.json()["detail"]
    assert len(client.get(f"{second}/result").content) == len(whole)


def test_a_store_full_of_answered_posts_takes_the_next_one(service: Lutra) -> None:
    answers = [service.post(LARGE, NOISE) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    jobs = [answer.headers["content-location"] for answer in answers]
    assert [service.client.head(job).status_code for job in jobs] == [410, 410, 200, 200]


def test_clients_that_fetch_their_results_are_never_refused_by_a_store_that_is_full_of_those(
    make_store: Callable[..., Store], redis_url: str
) -> None:
    """Room for a few results beside those under way, and three times as many jobs as fit."""
    store, result = make_store(result_ttl_s=3600), b"r" * 100_000

    async def compute(ended: asyncio.Event) -> None:
        while not ended.is_set():
            store.beat({"test:1": {}})
            for computation in queued_ids(store):
                await asyncio.to_thread(succeed, store, computation, result)
            await asyncio.sleep(0.01)

    async def story() -> list[int]:
        async with running_app(redis_url, store_bytes=2_000_000) as here:
            ended = asyncio.Event()
            worker = asyncio.create_task(compute(ended))

            async def ask() -> list[httpx.Response]:
                return [await here.client.post(NEAREST, content=PHOTO) for _ in range(8)]

            answers = [answer for told in await asyncio.gather(*(ask() for _ in range(8))) for answer in told]
            ended.set()
            await worker
            paths = [answer.headers["content-location"] for answer in answers]
            kept = [(await here.client.head(path)).status_code for path in paths]
            assert {answer.content for answer in answers} == {result}
            assert 0 < kept.count(200) < 64 / 2 and kept.count(200) + kept.count(410) == 64
            return [answer.status_code for answer in answers]

    store.beat({"test:1": {}})
    assert asyncio.run(story()) == [200] * 64


def test_a_result_that_nobody_has_fetched_never_makes_room(make_store: Callable[..., Store], redis_url: str) -> None:
    store = make_store()
    store.beat({"test:1": {}})

    async def story() -> None:
        async with running_app(redis_url, store_bytes=420_000) as here:
            job, computation = await here.submit(store)
            succeed(store, computation, b"r" * 400_000)
            refused = await here.client.post(NEAREST, content=PHOTO, headers=ASYNC)
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:lutra:problem:store-full")
            assert 1 <= int(refused.headers["retry-after"]) <= 300
            assert len((await here.client.get(f"/jobs/{job}/result")).content) == 400_000
            assert (await here.client.post(NEAREST, content=PHOTO, headers=ASYNC)).status_code == 202
            assert (await here.client.get(f"/jobs/{job}/result")).status_code == 410

    asyncio.run(story())


def test_a_range_that_is_the_whole_counts_as_the_whole(service: Lutra) -> None:
    first, _ = finished(service), finished(service)
    part = service.client.get(f"{first}/result", headers={"Range": "bytes=0-"})
    assert part.status_code == 206
    assert not is_full(service)


def test_clients_that_read_slowly_hold_a_piece_each_of_a_large_result(service: Lutra) -> None:
    """Who reads a byte now and then keeps its answer for as long as that goes on: it may not cost megabytes."""
    path, readers = finished(service), 30
    (gateway,) = service.pids("service.cli", "gateway")
    size = len(service.client.get(f"{path}/result").content)
    before = resident_bytes(gateway)
    with ExitStack() as lines:
        for _ in range(readers):
            client = lines.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", service.port))
            client.sendall(f"GET {path}/result HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.recv(16).startswith(b"HTTP/1.1 200")
        assert len(service.client.get(f"{path}/result").content) == size
        assert resident_bytes(gateway) - before < readers * 3_000_000


def test_a_result_that_is_deleted_on_its_way_breaks_off_and_is_no_fault_of_ours(service: Lutra) -> None:
    path = finished(service)
    before = service.log.stat().st_size
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", service.port))
        client.sendall(f"GET {path}/result HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        taken = len(client.recv(1000))
        assert service.client.delete(path).status_code == 200
        while piece := client.recv(65536):
            taken += len(piece)
    assert 1000 < taken < 15_000_000
    told = service.log.read_bytes()[before:].decode()
    assert "a result broke off on its way" in told
    assert "our fault" not in told and "without completing response" not in told


def test_deleting_an_ended_job_answers_with_it_once_and_frees_its_bytes(service: Lutra) -> None:
    path = finished(service)
    assert stored(service) > 10_000_000
    answer = service.client.delete(path)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert stored(service) < RECORDS
    for ask in (service.client.get, service.client.delete):
        gone = ask(path)
        assert gone.status_code == 410
        assert "was deleted" in gone.json()["detail"]
    assert service.client.get(f"{path}/result").status_code == 410
    assert service.client.get(f"{path}/events").status_code == 410


@pytest.fixture(scope="module")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """A service with room for the records of a dozen jobs, 8 KB each."""
    settings = {"LUTRA_STORE_BYTES": "100000", "LUTRA_MODELS": "nearest", "LUTRA_METRICS_PORT": "0"}
    with running_lutra(tmp_path_factory.mktemp("tiny"), **settings) as running:
        yield running


def test_posts_that_fail_never_fill_the_store(tiny_store: Lutra) -> None:
    answers = {tiny_store.post("/upscale?scale=2&model=nearest", BROKEN).status_code for _ in range(40)}
    assert answers == {422}


def test_a_failure_counts_as_told_where_its_problem_was_sent_and_not_by_its_head_alone(tiny_store: Lutra) -> None:
    jobs: list[str] = []

    def post() -> int:
        answer = tiny_store.post("/upscale?scale=2&model=nearest", BROKEN, headers=ASYNC)
        if answer.status_code == 202:
            jobs.append(answer.headers["location"])
            wait_until(lambda: tiny_store.client.get(jobs[-1]).json()["state"] == "failed", 60, "the job fails")
        return answer.status_code

    wait_until(lambda: post() == 503, 60, "the store is full")
    assert {tiny_store.client.head(f"{job}/result").status_code for job in jobs} == {422}
    assert post() == 503
    assert {tiny_store.client.get(f"{job}/result").status_code for job in jobs} == {422}
    assert post() == 202


def test_deleting_a_failed_job_removes_it_and_a_cancelled_one_stays_as_it_is(service: Lutra) -> None:
    answer = service.post("/upscale?scale=2&model=nearest", BROKEN, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    failed = answer.headers["location"]
    wait_until(lambda: service.client.get(failed).json()["state"] == "failed", 60, "the job fails")
    assert service.client.delete(failed).json()["state"] == "failed"
    assert service.client.get(failed).status_code == 410
    cancelled = service.post(LARGE, NOISE, headers=ASYNC).headers["location"]
    service.client.delete(cancelled)
    wait_until(lambda: service.client.get(cancelled).json()["state"] in ("cancelled", "succeeded"), 60, "the job ends")
    if service.client.get(cancelled).json()["state"] == "cancelled":  # else it was done before it was told
        assert [service.client.delete(cancelled).status_code for _ in range(2)] == [200, 200]
        assert service.client.get(cancelled).json()["state"] == "cancelled"
