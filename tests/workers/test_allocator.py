"""Memory between tiles: it stays in the process, and what is larger goes back at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from workers.engine import allocator

def faulted(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(count)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

if sys.argv[1] == "keep" and not allocator.keep_freed(256 << 20):
    print("elsewhere")
    sys.exit()
faulted(25 << 20)
print(faulted(25 << 20), faulted(50 << 20))
"""


def faults(word: str) -> tuple[int, int]:
    """Bytes of fresh pages for five tensors of 100 MiB, then for five of 200 MiB."""
    ran = subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True)
    if ran.stdout.strip() == "elsewhere":
        pytest.skip("the C library has no mallopt")
    below, above = map(int, ran.stdout.split())
    return below, above


def test_blocks_that_are_freed_serve_again_and_larger_ones_do_not_stay() -> None:
    mib = 1 << 20
    kept, gone = faults("keep")
    assert kept < 100 * mib
    assert gone >= 500 * mib, "blocks above half the limit are pages of their own"
    assert faults("leave")[0] >= 400 * mib, "without, each is made of fresh pages"
