"""Sets of instructions that a kernel has forms for, and tests on each of them."""

from __future__ import annotations

import pytest

from kernels import cpu

PATHS = ("portable", "avx2", "avx512")

on_each_path = pytest.mark.parametrize("path", PATHS)


def need(path: str) -> None:
    """Skips, with the reason, where this processor or build has no such form."""
    if cpu.why_missing():
        pytest.skip(cpu.why_missing())
    if path not in cpu.paths():
        pytest.skip(f"this processor or build has no {path}")
