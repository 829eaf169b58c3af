"""Run every benchmark, one after the other, on a machine that does nothing else."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("kernels", "engine", "codecs", "service")

if __name__ == "__main__":
    sys.exit(max(subprocess.call([sys.executable, "-m", f"benchmarks.{name}"]) for name in NAMES))
