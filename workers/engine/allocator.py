"""Memory that one tile has given back stays in the process for the next one.

The C library gives large blocks back to the system and gets them again as pages of zeros, one fault each: an eighth to
a fifth of the time of a network in bfloat16 whose tiles are large, and more in float32. It does not count memory; that
is `workers.engine.memory`.
Source: glibc, mallopt(3).
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed(most_bytes: int) -> bool:
    """From now on up to `most_bytes` of freed memory are kept; False where the C library is another one.

    Blocks of more than half of that go back at once, as all did.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, most_bytes // 2)) and bool(mallopt(M_TRIM_THRESHOLD, most_bytes))
