"""What lanes and shares are worth: short jobs beside a long one, and one client's few jobs beside another's many.

    python -m benchmarks.lanes [--rounds 3] [--calls 20] [--bulk-seconds 60] [--short-side 192] [--jobs 200]
        [--job-seconds 2]

Starts `lutra up` on a free port twice. First `calls` short jobs (LM-LIIF, scale 2), one after the other, are timed
alone and beside a bulk job of about `bulk-seconds` (LIIF; where it ends, the next), in turn. Then client B has 10 jobs
of about `job-seconds` done, alone and while client A keeps as many of its `jobs` waiting as it may; both are in one
lane, and told apart by the loopback addresses that they come from. Prints medians and 95th percentiles in seconds, the
ratio, and how often B was refused.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from benchmarks import machine
from benchmarks.service import photo, running_service

SHORT = "/upscale?scale=2&model=lmliif&format=jpeg"
LONG = "/upscale?scale=2&model=liif&format=jpeg"
ASYNC = {"Prefer": "respond-async"}
LONG_SIDE = 512
B_JOBS = 10


def side_that_takes(client: httpx.Client, path: str, side: int, seconds: float) -> int:
    """The side of a picture that the service estimates to take so long, found by asking for one of `side`."""
    job = client.post(path, content=photo(side), headers=ASYNC).json()
    client.delete(job["links"]["self"])
    wait_for(client, [job["id"]])
    return max(64, int(side * (seconds / max(0.05, job["eta_s"])) ** 0.5))


def wait_for(client: httpx.Client, ids: list[str]) -> None:
    """Returns when all of these jobs have ended, or are gone."""
    for job in ids:
        while client.get(f"/jobs/{job}").json().get("state") in ("queued", "running"):
            time.sleep(0.05)


def timed_calls(client: httpx.Client, data: bytes, count: int) -> list[float]:
    """Seconds of each call, one after the other."""
    times = []
    for number in range(count):
        start = time.perf_counter()
        client.post(SHORT, content=data + f"{number}-{start}".encode(), timeout=120).raise_for_status()
        times.append(time.perf_counter() - start)
    return times


def beside_bulk(client: httpx.Client, picture: bytes, data: bytes, count: int) -> list[float]:
    """Seconds of each call while a bulk job runs."""
    times: list[float] = []
    running = ""
    while len(times) < count:
        state = client.get(f"/jobs/{running}").json()["state"] if running else ""
        if state == "running":
            times += timed_calls(client, data, 1)
        elif state == "queued":
            time.sleep(0.05)
        else:
            unlike = f"{time.monotonic_ns()}".encode()
            running = client.post(LONG, content=picture + unlike, headers=ASYNC).json()["id"]
    client.delete(f"/jobs/{running}")
    wait_for(client, [running])
    return times


def told(name: str, times: list[float]) -> float:
    """Prints median and 95th percentile; the latter."""
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"  {name:28} median {statistics.median(times):6.3f}   p95 {p95:6.3f} s   ({len(times)} calls)")
    return p95


def measure_express(rounds: int, calls: int, bulk_s: float, short_side: int) -> None:
    alone: list[float] = []
    beside: list[float] = []
    data = photo(short_side)
    with running_service() as client:
        timed_calls(client, data, 5)
        side = side_that_takes(client, LONG, LONG_SIDE, bulk_s)
        for _ in range(rounds):
            alone += timed_calls(client, data, calls)
            beside += beside_bulk(client, photo(side), data, calls)
    print(f"{SHORT}, {short_side}x{short_side}; the bulk job: {side}x{side}, {bulk_s:g} s by its estimate")
    p95_alone = told("alone", alone)
    p95_beside = told("beside a bulk job", beside)
    print(f"  p95 beside less p95 alone    {p95_beside - p95_alone:+.3f} s")


@contextmanager
def client_at(address: str, base_url: httpx.URL) -> Iterator[httpx.Client]:
    """A client that comes from this loopback address."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(transport=transport, base_url=base_url, timeout=120) as client:
        yield client


def post_all(client: httpx.Client, data: bytes, count: int, stop: threading.Event) -> tuple[list[str], int]:
    """Ids of so many jobs, and how often one was refused; each is sent again until it is taken."""
    ids: list[str] = []
    refused = 0
    while len(ids) < count and not stop.is_set():
        answer = client.post(LONG, content=data + f"{time.monotonic_ns()}".encode(), headers=ASYNC)
        if answer.status_code == 202:
            ids.append(answer.json()["id"])
            continue
        refused += 1
        stop.wait(min(2.0, float(answer.headers["Retry-After"])))
    return ids, refused


def batch_of_b(client: httpx.Client, data: bytes) -> tuple[float, int]:
    """Seconds until B's jobs are done, and how often it was refused."""
    start = time.perf_counter()
    ids, refused = post_all(client, data, B_JOBS, threading.Event())
    wait_for(client, ids)
    return time.perf_counter() - start, refused


def measure_shares(rounds: int, jobs: int, job_s: float) -> None:
    os.environ["LUTRA_EXPRESS_SECONDS"] = "0.1"  # all of these jobs in the bulk lane
    alone: list[float] = []
    beside: list[float] = []
    refusals, refusals_of_a = 0, 0
    with (
        running_service() as client,
        client_at("127.0.0.2", client.base_url) as a,
        client_at("127.0.0.3", client.base_url) as b,
    ):
        side = side_that_takes(client, LONG, 128, job_s)
        data = photo(side)
        for _ in range(3):
            b.post(LONG, content=data + f"{time.monotonic_ns()}".encode())
        for _ in range(rounds):
            alone.append(batch_of_b(b, data)[0])
            stop, of_a = threading.Event(), list[tuple[list[str], int]]()
            crowd = threading.Thread(target=lambda: of_a.append(post_all(a, data, jobs, stop)))  # noqa: B023
            crowd.start()
            while client.get("/readyz?verbose=1").json()["queue"]["queued"] < min(jobs - 1, 70):
                time.sleep(0.05)
            seconds, refused = batch_of_b(b, data)
            stop.set()
            crowd.join()
            beside.append(seconds)
            refusals, refusals_of_a = refusals + refused, refusals_of_a + of_a[0][1]
            for job in of_a[0][0]:
                a.delete(f"/jobs/{job}")
            wait_for(a, of_a[0][0])
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"{LONG}, {side}x{side}: A has {jobs} jobs, B {B_JOBS}, of about {job_s:g} s each")
    print(f"  B alone                      median {statistics.median(alone):6.2f} s   {rounds_of(alone)}")
    print(f"  B beside A                   median {statistics.median(beside):6.2f} s   {rounds_of(beside)}")
    print(f"  ratio                        {ratio:.2f}; B was refused {refusals} times, A {refusals_of_a} times")


def rounds_of(times: list[float]) -> str:
    return "rounds " + ", ".join(f"{seconds:.2f}" for seconds in times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--bulk-seconds", type=float, default=60.0)
    parser.add_argument("--short-side", type=int, default=192)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--job-seconds", type=float, default=2.0)
    parser.add_argument("--only", choices=("express", "shares"))
    arguments = parser.parse_args()
    print(machine.line("torch"))
    if arguments.only != "shares":
        measure_express(arguments.rounds, arguments.calls, arguments.bulk_seconds, arguments.short_side)
    if arguments.only != "express":
        measure_shares(arguments.rounds, arguments.jobs, arguments.job_seconds)


if __name__ == "__main__":
    main()
