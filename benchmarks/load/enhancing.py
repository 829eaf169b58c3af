"""What peers serve: /enhance with this repository's own decoder, predictor, look-up and encoder, called in process.

`python -m benchmarks.load.enhancing SECONDS FILE...` calls it alone, one picture after the other, and prints a line of
JSON: what is left of a server's processor time for each job is the server's own.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workers import devices

MAX_PIXELS = 50_000_000
WARM_UP = 5  # calls


def make_enhance() -> Callable[[bytes], bytes]:
    """JPEG in, JPEG out, on one thread: a peer has a process for each core. Loads the model."""
    devices.share_cores_politely()

    from workers.engine.engine import Engine
    from workers.operations import OPERATIONS
    from workers.operations.enhance import EnhanceParameters
    from workers.operations.operation import Work
    from workers.operations.way import Unobserved, compute
    from workers.pictures import imageio

    engine = Engine(device="cpu", threads=1)
    engine.load("lut3d")
    work = Work(OPERATIONS["enhance"], "lut3d", EnhanceParameters(format="jpeg", strength=1.0))
    observer = Unobserved(lambda done, total: None)

    def enhance(data: bytes) -> bytes:
        return compute(
            work, engine, lambda colour: imageio.decode(data, colour=colour, max_pixels=MAX_PIXELS), observer
        ).data

    return enhance


def main(seconds: float, pictures: Sequence[bytes]) -> None:
    enhance = make_enhance()
    for data in pictures[:WARM_UP]:
        enhance(data)
    jobs = 0
    start_s, used_s = time.perf_counter(), time.process_time()
    for data in itertools.cycle(pictures):
        enhance(data)
        jobs += 1
        if (passed_s := time.perf_counter() - start_s) > seconds:
            break
    print(json.dumps({"jobs_per_s": jobs / passed_s, "cpu_ms": (time.process_time() - used_s) / jobs * 1000}))


if __name__ == "__main__":
    main(float(sys.argv[1]), [Path(name).read_bytes() for name in sys.argv[2:]])
