"""What waiting costs: thousands of idle event streams and of waiting requests on one gateway, and a job beside them.

    python -m benchmarks.waiting [--streams 10000] [--requests 1000] [--seconds 30] [--calls 200]

Starts Redis, a gateway and a worker, and times one /enhance of 512x512 after the other. Then, while no worker is there,
all who wait come (`benchmarks.waiters`, a process of its own); with a worker again it prints the gateway's resident
memory, processor time of gateway, Redis and of that process, commands by name and connections of Redis, while nothing
happens; and the times of the same jobs beside them.
"""

from __future__ import annotations

import argparse
import json
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

import httpx

from benchmarks import machine
from benchmarks.service import photo
from benchmarks.waiters import US
from workers import embedded
from workers.jobs.connections import connect
from workers.jobs.records import Limits
from workers.jobs.store import Store
from workers.settings import Settings

CHILDREN = 2  # of a worker: one for bulk jobs, one for express jobs
WARM_UP = 10


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
            while len([name for name in self.store.children() if name != US]) < CHILDREN:
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
    own |= {"LUTRA_WORKER_CONCURRENCY": 1, "LUTRA_EXPRESS_CONCURRENCY": CHILDREN - 1}
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


@contextmanager
def waiters(service: Service, streams: int, requests: int) -> Iterator[Waiters]:
    """So many who wait, all of them there."""
    url = service.environment["LUTRA_REDIS_URL"]
    command = [sys.executable, "-m", "benchmarks.waiters", str(service.port), url, str(streams), str(requests)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        driver = Waiters(started)
        driver.read()
        yield driver
        driver.end()


@dataclass
class Waiters:
    """The process of those who wait; it tells of them whenever it is asked."""

    process: subprocess.Popen[str]

    def ask(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, float]:
        """What it says next. Ends the program where it has ended, or somebody does not wait as they should."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("those who wait have ended")
        told: dict[str, float] = json.loads(line)
        if told["answered"] or told["closed"]:
            raise SystemExit(f"{told['answered']} were answered otherwise, {told['closed']} were closed")
        return told

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


def watched(service: Service, driver: Waiters, streams: int, seconds: float) -> None:
    """Print what is used while nothing happens."""
    before, told = Usage.now(service), driver.ask()
    time.sleep(seconds)
    Usage.now(service).tell(before)
    after = driver.ask()
    print(f"  those who wait: {100 * (after['processor_s'] - told['processor_s']) / seconds:.1f} % of a core", end="")
    heard = (after["heard_bytes"] - told["heard_bytes"]) / max(1, streams) / seconds
    print(f"; a stream heard {heard:.1f} bytes a second")


def timed_jobs(service: Service, calls: int) -> Sequence[float]:
    """Print, and return, seconds of one job after the other."""
    times, data = [], photo(512)
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=120) as client:
        for number in range(calls + WARM_UP):
            start = time.perf_counter()
            answer = client.post("/enhance", content=data, headers={"Cache-Control": "no-cache"})
            answer.raise_for_status()
            if number >= WARM_UP:
                times.append(time.perf_counter() - start)
    p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
    told = {"median": statistics.median(times), "p99": p99, "longest": max(times)}
    print(f"  /enhance of 512x512, {calls} times: ", end="")
    print(", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in told.items()), flush=True)
    return list(told.values())


def run(service: Service, arguments: argparse.Namespace) -> None:
    print("nobody waits:")
    with service.worker():
        idle = timed_jobs(service, arguments.calls)
    print(f"{arguments.streams} streams and {arguments.requests} requests wait:", flush=True)
    with waiters(service, arguments.streams, arguments.requests) as driver:
        print(f"  Redis: {len(service.store.client.client_list()) - 1} connections, before a worker starts")
        with service.worker():
            time.sleep(2)
            watched(service, driver, arguments.streams, arguments.seconds)
            beside = timed_jobs(service, arguments.calls)
            driver.ask()
    more = [
        f"{name} {1000 * (b - a):+.0f} ms"
        for name, a, b in zip(("median", "p99", "longest"), idle, beside, strict=True)
    ]
    print(f"a job beside those who wait took more: {', '.join(more)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(machine.line("uvicorn", "starlette", "redis"), flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), arguments.streams + arguments.requests) as running,
    ):
        run(running, arguments)


if __name__ == "__main__":
    main()
