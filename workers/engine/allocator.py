"""Memory that one tile has given back stays in the process for the next one.

The C library gives large blocks back to the system and gets them again as pages of zeros, one fault each: an eighth to
a fifth of the time of a network in bfloat16 whose tiles are large, and more in float32. What it keeps instead falls
into pieces where sizes change, so a picture that leaves too much of it behind has it returned. It does not plan what
tiles take; that is `workers.engine.memory`.
Source: glibc, mallopt(3) and malloc_trim(3); elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
STATM = Path("/proc/self/statm")


def keep_freed(most_bytes: int) -> bool:
    """From now on up to `most_bytes` of freed memory are kept; False where the C library is another one.

    Blocks of more than half of that go back at once, as all large ones did.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, most_bytes // 2)) and bool(mallopt(M_TRIM_THRESHOLD, most_bytes))


def give_back(above_bytes: int) -> None:
    """Returns what is free to the system where this process holds more than that."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None and held_bytes() > above_bytes:
        trim(0)


def held_bytes() -> int:
    """Memory of this process that is resident; 0 where the system does not say."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if STATM.exists() else 0
