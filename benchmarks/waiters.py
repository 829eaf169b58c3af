"""Those who wait, for `benchmarks.waiting`: a process of its own, whose load is not the gateway's nor the measurer's.

    python -m benchmarks.waiters PORT REDIS_URL STREAMS REQUESTS

Opens so many event streams and waiting requests, of jobs that this process has claimed and never computes, from as many
loopback addresses as LUTRA_MAX_CONNECTIONS_PER_ADDRESS asks for. Then it answers each line of its standard input with a
line of JSON about them, until that ends; then they leave.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Sequence
from typing import cast

from benchmarks.service import photo
from workers.jobs.connections import connect
from workers.jobs.job import Computation, Job, PictureFacts, new_id
from workers.jobs.records import Limits
from workers.jobs.store import Store

US = "benchmark:1"  # the worker child in whose name jobs are held
HOUR_S = 3600.0
NICE = 10  # what is measured has the cores first
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
                print(f"  refused: {line.heard[:40]!r}", file=sys.stderr)
                line.transport.abort()
                await asyncio.sleep(1)

    addresses = 50
    return list(await asyncio.gather(*(one(first + n % addresses, request) for n, request in enumerate(requests))))


async def streams_of(port: int, store: Store, count: int) -> list[Line]:
    """So many streams, all of which have begun."""
    jobs = []
    for number in range(count):
        if number % 100 == 0:
            beat(store)
        jobs.append(held_job(store))
    start, used = time.monotonic(), time.process_time()
    lines = await opened(port, [STREAM.format(job=job).encode() for job in jobs], first=0, is_answered=True)
    print(f"  {count} streams opened within {time.monotonic() - start:.1f} s", end=", ", file=sys.stderr)
    print(f"of which this side computed {time.process_time() - used:.1f} s", file=sys.stderr)
    return lines


async def requests_of(port: int, store: Store, count: int) -> list[Line]:
    """So many requests, whose jobs are all held."""
    start = time.monotonic()
    lines: list[Line] = []
    while len(lines) < count:
        lines += await posted(port, store, min(BATCH, count - len(lines)))
    print(f"  {count} requests wait within {time.monotonic() - start:.1f} s", file=sys.stderr)
    return lines


async def posted(port: int, store: Store, count: int) -> list[Line]:
    """So many requests, once their jobs are held; one that is refused is sent again."""
    post = f"{WAITING}\r\nContent-Length: {len(SMALL)}\r\n\r\n".encode() + SMALL
    lines: list[Line] = []
    while len(lines) < count or store.queue().queued < count:
        beat(store)
        lines += await opened(port, [post] * (count - len(lines)), first=100, is_answered=False)
        await asyncio.sleep(0.2)
        for line in [line for line in lines if line.heard]:
            print(f"  refused: {line.heard[:40]!r}", file=sys.stderr)
            line.transport.abort()
            lines.remove(line)
    hold_all_that_wait(store)
    return lines


def told(streams: Sequence[Line], requests: Sequence[Line]) -> dict[str, float]:
    """How they fare: a stream should have begun well and live, a request have no answer."""
    answered = [line for line in streams if not line.heard.startswith(OK)] + [line for line in requests if line.heard]
    closed = sum(line.transport.is_closing() for line in (*streams, *requests))
    heard = sum(line.heard_bytes for line in streams)
    return {"answered": len(answered), "closed": closed, "heard_bytes": heard, "processor_s": time.process_time()}


async def run(port: int, store: Store, streams: int, requests: int) -> None:
    """Open and hold everybody; then tell of them, and keep their worker alive, until nobody asks any more."""
    lines = await streams_of(port, store, streams), await requests_of(port, store, requests)
    while True:
        print(json.dumps(told(*lines)), flush=True)
        if not await asyncio.to_thread(sys.stdin.readline):
            return


def main() -> None:
    port, url, streams, requests = sys.argv[1:]
    os.nice(NICE)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    store = Store(connect(url, timeout_s=10), Limits(2 * (int(streams) + int(requests)) + 1000, 2 * 1024**3))
    asyncio.run(run(int(port), store, int(streams), int(requests)))
    store.close()


if __name__ == "__main__":
    main()
