"""What the service itself costs: one picture over a kept-alive connection beside the engine's call in this process.

    python -m benchmarks.service [--rounds 5] [--calls 50] [--side 512]

Starts `lutra up` on a free port, warms both up, then takes turns: `calls` POSTs one after the other, then as many times
decode + engine + encode in this process, with the threads a worker child has. Prints medians and quartiles in
milliseconds, of both, of what the service says of itself (Server-Timing), and each round's difference of the medians:
the service's own cost. No throughput.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx
import numpy as np
from PIL import Image

from workers import devices
from workers.operations import OPERATIONS
from workers.operations.enhance import EnhanceParameters
from workers.operations.operation import Colour, Work
from workers.operations.way import Unobserved, compute
from workers.pictures import imageio
from workers.pictures.picture import Picture

devices.share_cores_politely()


def photo(side: int) -> bytes:
    """A photograph-like JPEG, quality 92."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(20, 236, (24, 24, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=92)
    return file.getvalue()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running_service(settings: Mapping[str, str] | None = None) -> Iterator[httpx.Client]:
    """`lutra up` on a free port, ready, with these settings besides; and a client that keeps its connection."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        own = {"LUTRA_PORT": str(port), "LUTRA_DATA_DIR": folder, "LUTRA_LOG_LEVEL": "error"}
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "up"], env={**os.environ, **own, **(settings or {})}
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
                wait_until_ready(client)
                yield client
        finally:
            process.terminate()
            process.wait()


def wait_until_ready(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the service did not become ready within a minute")


def in_process(data: bytes, threads: int | None = None) -> Callable[[], bytes]:
    """The worker's own way, without a store: decode, enhance, encode; with a thread a core, unless others are asked."""
    from workers.engine.engine import Engine

    engine = Engine(device="cpu", threads=threads or devices.usable_cores())
    engine.load("lut3d")
    work = Work(OPERATIONS["enhance"], "lut3d", EnhanceParameters(format="jpeg", strength=1.0))

    def decode(colour: Colour) -> Picture:
        return imageio.decode(data, colour=colour, max_pixels=10**8)

    def call() -> bytes:
        return compute(work, engine, decode, Unobserved(lambda done, total: None)).data

    return call


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def spread(times: list[float]) -> str:
    low, middle, high = statistics.quantiles(times, n=4)
    return f"median {middle:6.2f}   quartiles {low:6.2f} .. {high:6.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    data = photo(arguments.side)
    engine = in_process(data)
    timings: list[str] = []
    with running_service() as client:

        def service() -> None:
            answer = client.post("/enhance", content=data, headers={"Cache-Control": "no-cache"})
            answer.raise_for_status()
            timings.append(answer.headers["server-timing"])

        for _ in range(10):
            service()
            engine()
        timings.clear()
        served: list[float] = []
        alone: list[float] = []
        own: list[float] = []
        for _ in range(arguments.rounds):
            ours = [timed(service) for _ in range(arguments.calls)]
            bare = [timed(engine) for _ in range(arguments.calls)]
            own.append(statistics.median(ours) - statistics.median(bare))
            served += ours
            alone += bare
    rounds = f"{arguments.rounds} rounds of {arguments.calls} calls each"
    print(f"/enhance, {arguments.side}x{arguments.side} JPEG of {len(data)} bytes, {rounds}, in turn")
    print(f"  through the service   {spread(served)}")
    print(f"  engine in process     {spread(alone)}")
    print(
        f"  the service's own     median {statistics.median(own):6.2f}   rounds {', '.join(f'{t:.2f}' for t in own)} ms"
    )
    for stage in ("queue", "decode", "infer", "encode"):
        told = [float(re.search(rf"{stage};dur=([\d.]+)", text).group(1)) for text in timings]  # type: ignore[union-attr]
        print(f"  Server-Timing {stage:7} {spread(told)}")


if __name__ == "__main__":
    main()
