"""The process that decodes for a worker child: reads a file out of shared memory, puts pixels in its place.

    python -m workers.pictures.decoder_process LINE MEMORIES PARENT LEVEL FORM WALLS

LINE and MEMORIES are descriptors of the pipe and of the pieces of shared memory, one for each file in hand. It ends
with its parent, or by its parent's hand.
WALLS: `walled` gives up all that decoding does not need (`sandbox`), `free` does not.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from workers import log
from workers.errors import InternalError, LutraError, OutOfMemory
from workers.pictures import imageio, sandbox
from workers.pictures.decoder import SharedMemory, end_with_parent, line_of, place_of
from workers.pictures.picture import Picture

logger = log.Log(__name__)


def main(line: Connection, memories: Sequence[SharedMemory], lacking: str = "") -> None:
    """Say that it is ready, and what its walls lack; then serve requests, one after the other, until the other side
    hangs up.
    """
    _load_codecs()
    line.send_bytes(lacking.encode())
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request = json.loads(line.recv_bytes())
            with log.about(**request["about"]):
                answer = _answer(request, memories[request["place"]])
            line.send_bytes(json.dumps(answer).encode())


def _load_codecs() -> None:
    """What most pictures need, so that the first does not wait for it."""
    import cv2  # noqa: F401
    import imagecodecs.imagecodecs  # noqa: F401
    import simplejpeg  # noqa: F401
    import tifffile  # noqa: F401
    from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, PngImagePlugin  # noqa: F401


def _answer(request: dict[str, Any], memory: SharedMemory) -> dict[str, Any]:
    size = request["bytes"]
    try:
        data = memory.of(size)[:size]  # a copy, whose place the pixels may have
        options = {"colour": request["colour"], "max_pixels": request["max_pixels"]}
        return _put(imageio.decode(data, room=memory.of, **options), memory)
    except LutraError as error:
        return _told(error)
    except MemoryError:
        return _told(OutOfMemory("there is not enough memory to decode this picture"))
    except Exception:
        logger.exception("decoding failed by our fault")
        return _told(InternalError("something went wrong on our side"))


def _told(error: LutraError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message, "members": error.members}}


def _put(picture: Picture, memory: SharedMemory) -> dict[str, Any]:
    """The parts into shared memory, and what the other side must know of them."""
    import numpy as np

    parts = [picture.pixels, picture.alpha, picture.icc, picture.exif]
    sizes = [0 if part is None else part.nbytes if isinstance(part, np.ndarray) else len(part) for part in parts]
    starts = place_of(sizes)
    target = memory.of(starts[-1])
    for part, at, size in zip(parts, starts, sizes, strict=False):
        if isinstance(part, np.ndarray):
            there = np.frombuffer(target, part.dtype, part.size, at).reshape(part.shape)
            if there.ctypes.data != part.ctypes.data:  # it was not decoded there
                there[...] = part
        elif part:
            target[at : at + size] = part
    facts = {"format": picture.format, "lossy": picture.lossy, "dtype": picture.pixels.dtype.name}
    return {**facts, "shape": picture.pixels.shape, "sizes": sizes}


def _die_first() -> None:
    """Where memory runs out, this process is the one to lose: its parent holds the models. Linux only."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


if __name__ == "__main__":
    line_fd, memory_fds, parent_pid, level, form, walls = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):  # its parent ends it, after the job in hand
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(int(parent_pid))
    _die_first()
    log.configure(level, as_text=form == "text")
    lacking = sandbox.enter() if walls == "walled" else ["it is turned off"]
    memories = [SharedMemory(int(descriptor)) for descriptor in memory_fds.split(",")]
    main(line_of(int(line_fd)), memories, "; ".join(lacking))
