"""What one core can do at best: multiply-adds that touch registers alone, twelve independent sums at a time.

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

AT_ONCE = {"avx2": 8, "avx512": 16, "avx512bf16": 32}  # multiply-adds of an instruction: of float32, of bfloat16
SUMS = 12

SOURCE = r"""
#define ADD(k, r, op) op " %%" r "mm14, %%" r "mm15, %%" r "mm" #k "\n"
#define ALL(r, op) ADD(0, r, op) ADD(1, r, op) ADD(2, r, op) ADD(3, r, op) ADD(4, r, op) ADD(5, r, op) \
                   ADD(6, r, op) ADD(7, r, op) ADD(8, r, op) ADD(9, r, op) ADD(10, r, op) ADD(11, r, op)
#define RUN(name, r, op) \
  extern "C" void name(long n) { \
    __asm__ volatile("vzeroall\n1:\n" ALL(r, op) "dec %0\n jnz 1b\n" : "+r"(n) : : "cc", \
      "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", \
      "xmm15"); \
  }
RUN(avx2, "y", "vfmadd213ps")
RUN(avx512, "z", "vfmadd213ps")
RUN(avx512bf16, "z", "vdpbf16ps")
"""


def why_missing() -> str:
    """Empty where `multiply_adds` can be called for a path that the processor runs."""
    if platform.machine() != "x86_64":
        return "peak of multiply-adds: known for x86-64 alone"
    return "" if _compiler() else "peak of multiply-adds: no C++ compiler"


def multiply_adds(path: str, count: float) -> None:
    """Makes at least `count` multiply-adds, and at most one round of registers more."""
    rounds = max(1, -(-int(count) // (AT_ONCE[path] * SUMS)))
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
