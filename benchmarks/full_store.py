"""What a store full of results costs: jobs a second of clients that fetch theirs, with room and without.

    python -m benchmarks.full_store [--rounds 3] [--seconds 20] [--clients 16] [--side 512] [--store-bytes 33554432]

Starts `lutra up` twice, one with LUTRA_STORE_BYTES as by default, one with so little that each new job takes the room
of an older result. After a warm-up that fills the small one, `clients` post /enhance to each in turn and wait for their
pictures. Prints jobs a second of each round, refusals and what is held. Then, of the small one alone, how many jobs are
taken in whose results nobody fetches.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence

import httpx

from benchmarks import machine
from benchmarks.service import photo, running_service

ANEW = {"Cache-Control": "no-cache"}


def posted(url: str, data: bytes, clients: int, seconds: float, **headers: str) -> tuple[float, Counter[int]]:
    """Jobs answered a second by `clients` that post one after the other; and how often each status came."""
    statuses: list[int] = []
    start = time.perf_counter()

    def post() -> None:
        with httpx.Client(base_url=url, timeout=120, headers={**ANEW, **headers}) as client:
            while time.perf_counter() - start < seconds:
                statuses.append(client.post("/enhance", content=data).status_code)

    threads = [threading.Thread(target=post) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = Counter(statuses)
    return (counted[200] + counted[202]) / (time.perf_counter() - start), counted


def stored_bytes(client: httpx.Client) -> int:
    lines = client.get("/metrics").text.splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("lutra_store_bytes "))))


def told(name: str, rates: Sequence[float], statuses: Counter[int], stored: int) -> str:
    each = ", ".join(f"{rate:.1f}" for rate in rates)
    refused = sum(count for status, count in statuses.items() if status >= 400)
    median = f"  {name:10} median {statistics.median(rates):5.1f} jobs/s ({each})"
    return f"{median}, {refused} refused, {stored / 1e6:.0f} MB held"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--store-bytes", type=int, default=32 * 1024**2)
    arguments = parser.parse_args()
    data = photo(arguments.side)
    print(machine.line("uvicorn", "redis"))
    with running_service() as wide, running_service({"LUTRA_STORE_BYTES": str(arguments.store_bytes)}) as full:
        services = {"with room": wide, "full": full}
        rates: dict[str, list[float]] = {name: [] for name in services}
        statuses: dict[str, Counter[int]] = {name: Counter() for name in services}
        for number in range(arguments.rounds + 1):
            for name, client in services.items():
                rate, seen = posted(str(client.base_url), data, arguments.clients, arguments.seconds)
                if number:  # the first fills the store
                    rates[name].append(rate)
                    statuses[name] += seen
        print(f"/enhance, {arguments.side}x{arguments.side}, {arguments.clients} clients that fetch their results")
        for name, client in services.items():
            print(told(name, rates[name], statuses[name], stored_bytes(client)))
        rate, seen = posted(str(full.base_url), data, 1, arguments.seconds, Prefer="respond-async")
        print(f"  full, results not fetched: {rate:.1f} jobs/s, statuses {dict(seen)}")


if __name__ == "__main__":
    main()
