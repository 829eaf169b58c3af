"""Real parts for the tests: a private Redis, the real service as processes, pictures drawn from a seed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
import redis
from PIL import Image

from workers import embedded
from workers.jobs.connections import connect
from workers.jobs.records import Limits
from workers.jobs.store import Store

READY_S = 90.0
FEW_MODELS = "liif,nearest,bilinear,bicubic"


def free_port() -> int:
    return embedded._free_port()


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every_s: float = 0.02) -> float:
    """Seconds until `condition()`, asked every so often; fails the test, naming `what`, where that takes too long."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(every_s)
    return time.monotonic() - start


def photo(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth, colourful, slightly noisy picture, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 236, (5, 7, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy: np.ndarray = np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
    return noisy


def as_file(pixels: np.ndarray, format: str = "JPEG", **options: object) -> bytes:  # noqa: A002
    """The picture as file bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    """File bytes as a fully decoded Pillow picture."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@contextmanager
def private_redis(folder: Path, store_bytes: int = Limits.store_bytes) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real redis-server for a store of this size; its URL and process."""
    private = embedded.prepare(folder, store_bytes)
    process = subprocess.Popen(private.command, stdout=subprocess.DEVNULL)
    try:
        client = connect(private.url, timeout_s=2.0)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        wait_until(answers, 10, "redis answers")
        client.close()
        yield private.url, process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for the tests of the store; each test empties it first."""
    with private_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture
def make_store(redis_url: str) -> Iterator[Callable[..., Store]]:
    """Stores with limits of the test's own, on an empty Redis."""
    stores: list[Store] = []

    def make(**limits: Any) -> Store:
        stores.append(Store.at(redis_url, Limits(**limits)))
        return stores[-1]

    make().client.flushall()
    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    """A store with one live worker child."""
    made = make_store()
    made.beat({"test:1": {"device": "cpu", "models": {}}})
    return made


def hash_of(store: Store, key: str) -> dict[bytes, bytes]:
    """A hash in Redis as it lies there."""
    return cast("dict[bytes, bytes]", store.client.hgetall(key))


def memory_of(store: Store, *keys: str | bytes) -> int:
    """Bytes of Redis' memory that these keys take; 0 for one that is not there."""
    return sum(store.client.memory_usage(key) or 0 for key in keys)


def pass_time(store: Store, seconds: float) -> None:
    """As if so long had gone by: times to live, holds, leases and deadlines come nearer to their end."""
    for key in cast("list[bytes]", store.client.keys("lutra:*")):
        if (left_ms := store.client.pttl(key)) >= 0:
            store.client.pexpire(key, max(0, left_ms - int(seconds * 1000)))
    for key in cast("list[bytes]", store.client.keys("lutra:comp:*")):
        if not key.endswith(b":jobs") and store.client.hexists(key, "deadline"):
            store.client.hincrbyfloat(key, "deadline", -seconds)
    for name in ("lutra:active", "lutra:blobs", "lutra:running", "lutra:returning", "lutra:listed"):
        for member in cast("list[bytes]", store.client.zrange(name, 0, -1)):
            store.client.zincrby(name, -seconds, member)


@dataclass
class Lutra:
    """`lutra up` as a stranger would run it, with a client for it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client = field(repr=False)

    def post(self, path: str, data: bytes, **options: object) -> httpx.Response:
        return self.client.post(path, content=data, **options)  # type: ignore[arg-type]

    def ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def pids(self, *words: str) -> list[int]:
        """Processes below the supervisor whose command line holds all `words`."""
        matching = []
        for pid in descendants(self.process.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if all(word in command for word in words):
                matching.append(pid)
        return matching

    def children(self) -> list[int]:
        """Pids of the worker children that report to the store."""
        workers = self.client.get("/readyz?verbose=1").json().get("workers", {})
        return [int(name.rpartition(":")[2]) for name in workers]

    def samples(self, name: str) -> dict[str, float]:
        """Samples of one metric at /metrics by their labels as text."""
        lines = self.client.get("/metrics").text.splitlines()
        kept = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in kept}


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    below, ahead = [], [pid]
    while ahead:
        near = children.get(ahead.pop(), [])
        below += near
        ahead += near
    return below


@contextmanager
def running_lutra(folder: Path, **environment: str) -> Iterator[Lutra]:
    """`lutra up` on a free port, ready; stopped with SIGTERM, and nothing of it may stay.

    It has one worker child, for one lane (one for each where there are two), and few models, unless `environment` says
    otherwise: each child loads them for itself, and again whenever one was killed; all of them take longer than the
    rest of a start. Its client has
    every request computed anew: many tests send the same picture and look at what a worker does.
    """
    port = free_port()
    settings = {"LUTRA_PORT": str(port), "LUTRA_DATA_DIR": str(folder), "LUTRA_LOG_FORMAT": "json"}
    settings |= {"LUTRA_EXPRESS_SECONDS": "0", "LUTRA_EXPRESS_CONCURRENCY": "1", "LUTRA_MODELS": FEW_MODELS}
    settings |= environment
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LUTRA_", "PROMETHEUS_"))}
    log = folder / "lutra.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "up"], env={**inherited, **settings}, stdout=output, stderr=output
        )
    anew = {"Cache-Control": "no-cache"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, headers=anew) as client:
        lutra = Lutra(port, process, log, client)
        try:
            wait_until(lambda: lutra.ready() or process.poll() is not None, READY_S, "lutra is ready")
            assert process.poll() is None, log.read_text()
            yield lutra
        finally:
            below = descendants(process.pid)
            process.terminate()
            process.wait(90)
            orphans = [pid for pid in below if Path(f"/proc/{pid}").exists() and _runs(pid)]
            assert not orphans, f"left behind: {orphans}"


def _runs(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def lutra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """One service with every model, for the tests that leave it unharmed."""
    settings = {"LUTRA_MAX_UPLOAD_BYTES": str(8 * 1024**2), "LUTRA_EXPRESS_SECONDS": "2", "LUTRA_MODELS": ""}
    with running_lutra(tmp_path_factory.mktemp("lutra"), **settings) as running:
        yield running
