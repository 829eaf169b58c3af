"""Where the time of /enhance goes within a worker: decoding, looking and making the table, the look-up, encoding.

    python -m benchmarks.engine [--width 3840] [--height 2160] [--rounds 9] [--threads 2]

A JPEG of quality 92 of a drawn photo (`benchmarks.pictures`); the steps take turns. Prints medians and quartiles in
milliseconds. No network and no queue.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

from PIL import Image

from benchmarks import machine, pictures
from workers import devices
from workers.engine.engine import Engine
from workers.pictures import imageio
from workers.pictures.picture import Picture

devices.share_cores_politely()


def quiet(done: int, total: int) -> None:
    """Nobody follows the progress."""


def steps(engine: Engine, data: bytes) -> dict[str, Callable[[], object]]:
    """The four, each on what the one before it made."""
    decoded = decode(data)
    lut = engine.fused_table(decoded, model="lut3d", strength=1.0)
    better = engine.apply_table(decoded, lut, tick=quiet)
    return {
        "decode": lambda: decode(data),
        "look and table": lambda: engine.fused_table(decoded, model="lut3d", strength=1.0),
        "look-up": lambda: engine.apply_table(decoded, lut, tick=quiet),
        "encode": lambda: imageio.encode(better, "jpeg"),
    }


def decode(data: bytes) -> Picture:
    return imageio.decode(data, colour="srgb", max_pixels=10**9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--width", type=int, default=3840)
    parser.add_argument("--height", type=int, default=2160)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=devices.usable_cores())
    arguments = parser.parse_args()
    file = io.BytesIO()
    Image.fromarray(pictures.photo(arguments.height, arguments.width)).save(file, "JPEG", quality=92)
    engine = Engine(device="cpu", threads=arguments.threads)
    work = steps(engine, file.getvalue())
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(arguments.rounds + 1):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            if turn:  # the first warms up
                times[name].append((time.perf_counter() - start) * 1000)
    print(machine.line("torch", "simplejpeg"))
    print(f"/enhance of {arguments.width}x{arguments.height}, {arguments.threads} threads, {arguments.rounds} rounds")
    for name, spent in times.items():
        low, middle, high = statistics.quantiles(spent, n=4)
        print(f"  {name:15} median {middle:6.2f}   quartiles {low:6.2f} .. {high:6.2f} ms")


if __name__ == "__main__":
    main()
