"""Decoding in a process beside the worker child, so that a limit of time, a cancel or the deadline can end it.

A codec is C code that holds the interpreter and heeds nobody, and no list of bounds foresees every file. The child
keeps its models and its lease; what a file can cost it is one small process, which is back in half a second. The file
goes there and the pixels come back through memory that both see: a JPEG is decoded into it, others are copied once.
Files may be sent ahead, a piece of memory each, so that the next pixels are there when they are asked for.
It knows no format; `workers.pictures.decoder_process` is the other side.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import select
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Literal

from workers.errors import CorruptPicture, CostlyPicture, InternalError, LutraError, OutOfMemory, error_class
from workers.log import Log, facts_at_hand, level_and_form
from workers.pictures.memory_file import memory_file
from workers.pictures.picture import Picture

# Processor seconds that a file may cost. The slowest honest ones (noise in AVIF, 16-bit CMYK with a profile) need 0.22
# a megapixel on one core of a server of 2026; the rest is for slower machines.
BASE_S = 1.0
SECONDS_PER_MEGAPIXEL = 1.0
SECONDS_PER_MEGABYTE = 0.1
WALL_FACTOR, WALL_EXTRA_S = 10.0, 30.0  # for one that waits instead of computing
START_S = 120.0
BROKEN_S = 5.0  # for a process that hung up to end
POLL_S = 0.05
MOST_AHEAD = 3  # files that are with the process at once
KEEP_BYTES = 64 * 1024**2  # of the shared memory, between jobs
# What Python, the linker and libraries read of the environment; the rest, keys among it, is nothing to strangers.
_KEPT = re.compile(r"PATH|HOME|LANG|LANGUAGE|TZ|TMPDIR|VIRTUAL_ENV|(PYTHON|LC_|LD_|DYLD_|OMP_|OPENBLAS_|COVERAGE_)\w+")
_ALIGN = 64
_STEP_BYTES = 4 * 1024**2

log = Log(__name__)


def limit_s(pixels: int, size_bytes: int) -> float:
    """Processor seconds that decoding so many pixels out of so many bytes may take."""
    return BASE_S + SECONDS_PER_MEGAPIXEL * pixels / 1e6 + SECONDS_PER_MEGABYTE * size_bytes / 1e6


class SharedMemory:
    """Memory without a name that two processes map; it grows and never shrinks, but gives its pages back."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = memory_file("lutra-decoder") if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def of(self, size_bytes: int) -> mmap.mmap:
        """The memory, at least so large. Raises MemoryError where there is not so much."""
        if self._map is None or len(self._map) < size_bytes:
            there = os.fstat(self.descriptor).st_size
            wanted = -(-max(size_bytes, 1) // _STEP_BYTES) * _STEP_BYTES
            try:
                if there < wanted:
                    os.ftruncate(self.descriptor, wanted)
                self._map = mmap.mmap(self.descriptor, max(there, wanted))
            except OSError as error:
                raise MemoryError(f"no shared memory of {wanted} bytes: {error.strerror}") from error
        return self._map

    def give_back(self, keep_bytes: int) -> None:
        """Let go of the pages behind `keep_bytes`; whoever still looks there sees zeros."""
        if self._map is not None and len(self._map) > keep_bytes and hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE, keep_bytes, len(self._map) - keep_bytes)


def place_of(sizes: list[int]) -> list[int]:
    """Where parts of these sizes lie in the shared memory, and where the last one ends."""
    starts = [0]
    for size in sizes:
        starts.append(-(-(starts[-1] + size) // _ALIGN) * _ALIGN)
    return starts


class Decoder:
    """One process that decodes, started again whenever it was ended or broke.

    `is_walled`: it gives up what it does not need (`workers.pictures.sandbox`) before it reads a byte.
    """

    def __init__(self, *, is_walled: bool = True) -> None:
        self._is_walled = is_walled
        self._memories = [SharedMemory() for _ in range(MOST_AHEAD)]
        self._sent: deque[tuple[bytes, SharedMemory]] = deque()  # answers come in this order
        self._start()

    def _start(self) -> None:
        ours, theirs = Pipe()
        memories = [memory.descriptor for memory in self._memories]
        fds = (theirs.fileno(), *memories)
        command = [sys.executable, "-m", "workers.pictures.decoder_process", str(fds[0]), ",".join(map(str, memories))]
        command += [str(os.getpid()), *level_and_form(), "walled" if self._is_walled else "free"]
        kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        self._process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL, env=kept)
        theirs.close()
        self._line = ours
        self._poller = select.poll()  # Connection.poll makes one for each call
        self._poller.register(ours.fileno(), select.POLLIN)
        self._is_ready = False
        self._sent.clear()
        self._end = weakref.finalize(self, _end, self._process, ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._end()

    def decode(
        self,
        data: bytes,
        *,
        colour: Literal["keep", "srgb"],
        max_pixels: int,
        pixels: int,
        check: Callable[[], None] = lambda: None,
    ) -> Picture:
        """As `imageio.decode`; the picture's arrays lie in shared memory and are good until the next call.

        `pixels`: of the header, for the limit of time. `check` is called every POLL_S; what it raises ends the work.
        Raises CostlyPicture at the limit, OutOfMemory, and CorruptPicture where the codec broke down.
        """
        if self._process.poll() is not None:
            self._restart()
        limit = limit_s(pixels, len(data))
        with self._at_the_line():
            self._wait_until_ready(check)
            while self._sent and self._sent[0][0] is not data:  # nobody asks for it any more
                self._answer(check, limit)
            if not self._sent:
                self._send(data, colour, max_pixels, self._memories[0])
            answer, memory = self._answer(check, limit)
        if "error" in answer:
            raise _error(answer["error"])
        return self._picture(answer, memory)

    def send_ahead(
        self,
        files: Sequence[bytes],
        *,
        colour: Literal["keep", "srgb"],
        max_pixels: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """The process decodes these files, MOST_AHEAD at most, one after the other; `decode` is to be called with the
        same objects, in the same order and with the same options. Their pictures are good until the next call of this.
        """
        if self._process.poll() is not None or self._sent:
            self._restart()
        with self._at_the_line():
            self._wait_until_ready(check)
            for data, memory in zip(files, self._memories, strict=False):
                self._send(data, colour, max_pixels, memory)

    @contextmanager
    def _at_the_line(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise self._broken() from None
        except BaseException:
            self._restart()
            raise

    def _send(self, data: bytes, colour: str, max_pixels: int, memory: SharedMemory) -> None:
        place = self._memories.index(memory)
        options = {"colour": colour, "max_pixels": max_pixels, "about": facts_at_hand()}
        memory.of(len(data))[: len(data)] = data
        self._line.send_bytes(json.dumps({"place": place, "bytes": len(data), **options}).encode())
        self._sent.append((data, memory))

    def _answer(self, check: Callable[[], None], limit: float) -> tuple[dict[str, Any], SharedMemory]:
        self._wait(check, limit)
        answer: dict[str, Any] = json.loads(self._line.recv_bytes())
        return answer, self._sent.popleft()[1]

    def tidy(self) -> None:
        """Between jobs: pixels of the last pictures are let go where they take much room."""
        for memory in self._memories:
            memory.give_back(KEEP_BYTES)

    def _wait_until_ready(self, check: Callable[[], None]) -> None:
        give_up = time.monotonic() + START_S
        while not self._is_ready:
            if self._line.poll(POLL_S):
                _tell_lacking(self._line.recv_bytes().decode())
                self._is_ready = True
            elif time.monotonic() > give_up:
                raise InternalError("something went wrong on our side")
            check()

    def _wait(self, check: Callable[[], None], limit: float) -> None:
        """Until there is an answer. Raises CostlyPicture, and what `check` raises."""
        used, start = _processor_s(self.pid), time.monotonic()
        while not self._poller.poll(POLL_S * 1000):
            check()
            wall = time.monotonic() - start
            if _processor_s(self.pid) - used > limit or wall > WALL_FACTOR * limit + WALL_EXTRA_S:
                log.warning("decoding was ended: it took too long", limit_s=round(limit, 1), seconds=round(wall, 1))
                raise CostlyPicture(
                    f"decoding this picture takes longer than the {limit:.1f} s that its pixels and bytes allow",
                    limit=round(limit, 1),
                )

    def _broken(self) -> LutraError:
        try:
            status = self._process.wait(BROKEN_S)
        except subprocess.TimeoutExpired:  # it lives, and only the line between us is gone
            status = 0
        log.error("the decoding process ended", status=status)
        self._restart()
        if status == -signal.SIGKILL:  # nobody else kills it but the kernel, where memory ran out
            return OutOfMemory("there is not enough memory to decode this picture")
        if status < 0:
            return CorruptPicture("the picture cannot be decoded: its decoder broke down over it")
        return InternalError("something went wrong on our side")

    def _restart(self) -> None:
        self._end()
        self._start()

    def _picture(self, answer: dict[str, Any], shared: SharedMemory) -> Picture:
        import numpy as np

        shape, dtype, sizes = tuple(answer["shape"]), np.dtype(answer["dtype"]), answer["sizes"]
        starts = place_of(sizes)
        memory = shared.of(starts[-1])
        flat = [
            np.frombuffer(memory, dtype, size // dtype.itemsize, at)
            for size, at in zip(sizes[:2], starts, strict=False)
        ]
        icc, exif = (memory[at : at + size] or None for size, at in zip(sizes[2:], starts[2:4], strict=True))
        alpha = flat[1].reshape(shape[:2]) if sizes[1] else None
        return Picture(flat[0].reshape(shape), alpha, icc, exif, answer["format"], answer["lossy"])


@cache
def _tell_lacking(lacking: str) -> None:
    """Once a process, whatever number of decoders it starts."""
    if lacking:
        log.warning("decoders are not walled in as they should be", lacking=lacking)


def _end(process: subprocess.Popen[bytes], line: Connection) -> None:
    line.close()
    process.kill()
    process.wait()


def _error(answer: dict[str, Any]) -> LutraError:
    return error_class(answer["code"])(answer["message"], **answer["members"])


def _processor_s(pid: int) -> float:
    """Processor seconds the process has used; 0 where the system does not say (the wall limit is left then)."""
    if not sys.platform.startswith("linux"):
        return 0.0
    try:
        return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of a process: clock_getcpuclockid(3)
    except OSError:
        return 0.0


def end_with_parent(parent_pid: int) -> None:
    """In the decoding process: let the kernel end it with its parent, also in the middle of C code. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent_pid:
        os._exit(0)


def line_of(descriptor: int) -> Connection:
    return Connection(descriptor)
