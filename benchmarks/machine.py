"""The machine that was measured, in one line: a figure without it says nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def vector_units() -> str:
    """The vector instructions that matter to the kernels, as the system names them."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    return ", ".join(name for name in ("avx2", "avx512bw", "avx512_vnni", "avx512_vbmi") if name in flags)


def versions(*packages: str) -> str:
    """Those that are installed, with their versions."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def line(*packages: str) -> str:
    python = f"Python {platform.python_version()}"
    return (
        f"{today()}, {processor()} ({vector_units()}), load {os.getloadavg()[0]:.1f}, {python}, {versions(*packages)}"
    )
