"""What one core can do at best: fused multiply-adds that touch registers alone, twelve independent sums at a time.

It is compiled on first use by the C++ compiler at hand, for x86-64; a yardstick for kernels, on any load of the machine
as long as both take turns.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

LANES = {"avx2": 8, "avx512": 16}  # of float32 in a register
SUMS = 12

SOURCE = r"""
#define ADD(k, r) "vfmadd213ps %%" r "mm14, %%" r "mm15, %%" r "mm" #k "\n"
#define ALL(r) ADD(0, r) ADD(1, r) ADD(2, r) ADD(3, r) ADD(4, r) ADD(5, r) \
               ADD(6, r) ADD(7, r) ADD(8, r) ADD(9, r) ADD(10, r) ADD(11, r)
#define RUN(name, r) \
  extern "C" void name(long n) { \
    __asm__ volatile("vzeroall\n1:\n" ALL(r) "dec %0\n jnz 1b\n" : "+r"(n) : : "cc", \
      "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", \
      "xmm15"); \
  }
RUN(avx2, "y")
RUN(avx512, "z")
"""


def why_missing() -> str:
    """Empty where `multiply_adds` can be called for a path that the processor runs."""
    if platform.machine() != "x86_64":
        return "peak of multiply-adds: known for x86-64 alone"
    return "" if _compiler() else "peak of multiply-adds: no C++ compiler"


def multiply_adds(path: str, count: float) -> None:
    """Makes at least `count` multiply-adds of float32, and at most one round of registers more."""
    rounds = max(1, -(-int(count) // (LANES[path] * SUMS)))
    getattr(_library(), path)(ctypes.c_long(rounds))


def _compiler() -> str | None:
    names = filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++"))
    return next(filter(None, map(shutil.which, names)), None)


@functools.cache
def _library() -> ctypes.CDLL:
    compiler = _compiler()
    assert compiler is not None, why_missing()
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / "peak.cpp", Path(folder) / "peak.so"
        source.write_text(SOURCE)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", built, source], check=True)
        return ctypes.CDLL(str(built))
