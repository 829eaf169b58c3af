"""What waiting costs: thousands of idle event streams and of waiting requests on one gateway, and a job beside them.

    python -m benchmarks.waiting [--streams 10000] [--requests 1000] [--seconds 30] [--calls 40]

Starts Redis, a gateway and a worker. Streams read the events of jobs, and requests wait for jobs, that this process has
claimed and never computes. They come from as many loopback addresses as LUTRA_MAX_CONNECTIONS_PER_ADDRESS asks for.
While nothing happens it prints the gateway's resident memory, processor time of gateway and Redis, commands by name
and connections of Redis; then seconds of one /enhance of 512x512 after the other. Then all who wait leave, and it
prints the same of an idle gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from benchmarks import machine
from benchmarks.service import photo
from workers import embedded
from workers.jobs.connections import connect
from workers.jobs.job import Computation, Job, PictureFacts, new_id
from workers.jobs.records import Limits
from workers.jobs.store import Store
from workers.settings import Settings

US = "benchmark:1"  # the worker child in whose name jobs are held
HOUR_S = 3600.0
OPENING = 64  # connections at a time
BATCH = 100  # requests at a time
OK = b"HTTP/1.1 200"
SMALL = photo(64)
WAITING = (
    "POST /upscale?scale=2&model=nearest HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=600\r\nCache-Control: no-cache"
)
STREAM = "GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Line(asyncio.Protocol):
    """One connection that has asked, and counts what it hears."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.heard = b""
        self.heard_bytes = 0
        self.begun = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.heard_bytes += len(data)
        if self.heard_bytes < 1000:
            self.heard += data
        if not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_result(None)  # `check` finds that nothing was heard


@dataclass
class Service:
    """Redis and a gateway as processes, and the store that they share."""

    port: int
    redis: int
    gateway: int
    store: Store
    environment: Mapping[str, str]

    @contextmanager
    def worker(self) -> Iterator[None]:
        with process("worker", self.environment):
            while len(self.store.children()) < 3:  # two of its own, and ours
                beat(self.store)
                time.sleep(0.2)
            yield


@contextmanager
def process(command: str, environment: Mapping[str, str]) -> Iterator[int]:
    """`lutra COMMAND`, and its pid."""
    started = subprocess.Popen([sys.executable, "-m", "service.cli", command], env={**os.environ, **environment})
    try:
        yield started.pid
    finally:
        started.terminate()
        started.wait()


@contextmanager
def service(folder: Path, waiting: int) -> Iterator[Service]:
    """With room for so many who wait; connections are as many as by default, or more where those do not do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue_size, store_bytes = 2 * waiting + 1000, 2 * 1024**3
    private = embedded.prepare(folder / "redis", store_bytes)
    own = {"LUTRA_PORT": port, "LUTRA_REDIS_URL": private.url, "LUTRA_QUEUE_SIZE": queue_size}
    own |= {"LUTRA_STORE_BYTES": store_bytes, "LUTRA_LOG_LEVEL": "error", "LUTRA_METRICS_PORT": 0}
    if waiting + 100 > Settings.model_fields["max_connections"].default:
        own["LUTRA_MAX_CONNECTIONS"] = waiting + 1000
    environment = {name: str(value) for name, value in own.items()}
    with ExitStack() as stack:
        redis = stack.enter_context(subprocess.Popen(private.command, stdout=subprocess.DEVNULL))
        stack.callback(redis.terminate)
        gateway = stack.enter_context(process("gateway", environment))
        store = Store(connect(private.url, timeout_s=10), Limits(queue_size, store_bytes))
        until_it_answers(port)
        yield Service(port, redis.pid, gateway, store, environment)
        store.close()


def until_it_answers(port: int) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the gateway did not answer within a minute")


def beat(store: Store) -> None:
    store.beat({US: {"device": "cpu", "models": {}}})


def hold(store: Store, computation_id: str) -> None:
    """Keep it from every worker, and from those who look for leases: so many at work at a time are no idle service."""
    assert store.claim(computation_id, US, lease_s=HOUR_S, timeout_s=HOUR_S) is not None
    store.client.zrem("lutra:running", computation_id)


def held_job(store: Store) -> str:
    """The id of a job that runs and comes to no end."""
    facts = PictureFacts("png", 1, 1, 1)
    computation = Computation(new_id(), new_id(), "upscale", "nearest", {"scale": "2", "format": "png"}, facts)
    job = Job(new_id(), computation, detached=True)
    store.put(job, b"x", result_bytes=0)
    hold(store, computation.id)
    return job.id


def hold_all_that_wait(store: Store) -> None:
    for name in cast("list[bytes]", store.client.zrange("lutra:queued", 0, -1)):
        hold(store, name.decode())
    store.client.delete("lutra.bulk", "lutra.express")  # the messages of those


async def opened(port: int, requests: Sequence[bytes], *, first: int, is_answered: bool) -> list[Line]:
    """A connection for each request, from loopback addresses in turn from number `first` on; those that are answered
    with a stream are returned once that begins, and asked for again where a busy machine refused them.
    """
    turns = asyncio.Semaphore(OPENING)
    loop = asyncio.get_running_loop()

    async def one(number: int, request: bytes) -> Line:
        source = f"127.0.{1 + number // 250}.{1 + number % 250}"
        async with turns:
            while True:
                _, line = await loop.create_connection(
                    lambda: Line(request), "127.0.0.1", port, local_addr=(source, 0), family=socket.AF_INET
                )
                if not is_answered:
                    return line
                await line.begun
                if line.heard.startswith(OK):
                    return line
                print(f"  refused: {line.heard[:40]!r}", flush=True)
                line.transport.abort()
                await asyncio.sleep(1)

    addresses = 50
    return list(await asyncio.gather(*(one(first + n % addresses, request) for n, request in enumerate(requests))))


@dataclass(frozen=True)
class Usage:
    """What the processes have used so far."""

    at: float
    gateway_s: float
    redis_s: float
    resident_bytes: int
    connections: int
    commands: Mapping[str, int]

    @classmethod
    def now(cls, service: Service) -> Usage:
        stats = service.store.client.info("commandstats")
        commands = {name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in stats.items()}
        return cls(
            time.monotonic(),
            processor_s(service.gateway),
            processor_s(service.redis),
            resident_bytes(service.gateway),
            len(service.store.client.client_list()) - 1,
            commands,
        )

    def tell(self, before: Usage) -> None:
        seconds = self.at - before.at
        calls = {name: (count - before.commands.get(name, 0)) / seconds for name, count in self.commands.items()}
        most = sorted(calls.items(), key=lambda one: -one[1])[:5]
        print(f"  gateway: {self.resident_bytes / 1024**2:.0f} MiB resident, ", end="")
        print(f"{100 * (self.gateway_s - before.gateway_s) / seconds:.1f} % of a core")
        print(f"  Redis: {100 * (self.redis_s - before.redis_s) / seconds:.1f} % of a core, ", end="")
        print(f"{self.connections} connections, {sum(calls.values()):.0f} commands a second ", end="")
        print("(" + ", ".join(f"{name} {rate:.0f}" for name, rate in most) + ")")


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


async def watched(service: Service, seconds: float) -> None:
    """Print what is used while nothing happens."""
    before = Usage.now(service)
    await asyncio.sleep(seconds)
    Usage.now(service).tell(before)


async def timed_jobs(service: Service, calls: int) -> None:
    """Print seconds of one job after the other."""
    times, data = [], photo(512)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=120) as client:
        for number in range(calls + 5):
            start = time.perf_counter()
            answer = await client.post("/enhance", content=data, headers={"Cache-Control": "no-cache"})
            answer.raise_for_status()
            if number >= 5:
                times.append(time.perf_counter() - start)
    median, most = statistics.median(times), max(times)
    print(f"  /enhance of 512x512, {calls} times: median {1000 * median:.0f} ms, longest {1000 * most:.0f} ms")


async def all_waiting(service: Service, streams: int, requests: int) -> list[Line]:
    """Open and hold everybody; returns once all wait."""
    jobs = []
    for number in range(streams):
        if number % 100 == 0:
            beat(service.store)
        jobs.append(held_job(service.store))
    start = time.monotonic()
    asked = [STREAM.format(job=job).encode() for job in jobs]
    lines = await opened(service.port, asked, first=0, is_answered=True)
    print(f"  {streams} streams opened within {time.monotonic() - start:.1f} s", flush=True)
    start = time.monotonic()
    waiting: list[Line] = []
    while len(waiting) < requests:
        waiting += await posted(service, min(BATCH, requests - len(waiting)))
    print(f"  {requests} requests wait within {time.monotonic() - start:.1f} s", flush=True)
    return [*lines, *waiting]


async def posted(service: Service, count: int) -> list[Line]:
    """So many requests, once their jobs are held; one that is refused is sent again."""
    store = service.store
    post = f"{WAITING}\r\nContent-Length: {len(SMALL)}\r\n\r\n".encode() + SMALL
    lines: list[Line] = []
    while len(lines) < count or store.queue().queued < count:
        beat(store)
        lines += await opened(service.port, [post] * (count - len(lines)), first=100, is_answered=False)
        await asyncio.sleep(0.2)
        for line in [line for line in lines if line.heard]:
            print(f"  refused: {line.heard[:40]!r}", flush=True)
            line.transport.abort()
            lines.remove(line)
    hold_all_that_wait(store)
    return lines


def check(lines: Sequence[Line], streams: int) -> None:
    """All are as they should be: a stream has begun well and lives, a request has no answer."""
    bad = [line.heard for line in lines[:streams] if not line.heard.startswith(OK)]
    bad += [line.heard for line in lines[streams:] if line.heard]
    closed = sum(line.transport.is_closing() for line in lines)
    if bad or closed:
        raise SystemExit(f"{len(bad)} were answered otherwise ({bad[:1]}), {closed} were closed")


async def run(service: Service, arguments: argparse.Namespace) -> None:
    print(f"{arguments.streams} streams and {arguments.requests} requests wait:")
    lines = await all_waiting(service, arguments.streams, arguments.requests)
    print(f"  Redis: {len(service.store.client.client_list()) - 1} connections, before a worker starts")
    with service.worker():
        await asyncio.sleep(2)
        heard = sum(line.heard_bytes for line in lines[: arguments.streams])
        await watched(service, arguments.seconds)
        heard = sum(line.heard_bytes for line in lines[: arguments.streams]) - heard
        print(f"  streams heard {heard / max(1, arguments.streams) / arguments.seconds:.1f} bytes a second each")
        await timed_jobs(service, arguments.calls)
        check(lines, arguments.streams)
        print("nobody waits:")
        for line in lines:
            line.transport.abort()
        await asyncio.sleep(30)  # their jobs are cancelled meanwhile
        await watched(service, arguments.seconds)
        await timed_jobs(service, arguments.calls)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--calls", type=int, default=40)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(machine.line("uvicorn", "starlette", "redis"))
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), arguments.streams + arguments.requests) as running,
    ):
        asyncio.run(run(running, arguments))


if __name__ == "__main__":
    main()
