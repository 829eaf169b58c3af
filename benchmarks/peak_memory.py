"""How much memory a call took at most beside what its process held before; Linux alone."""

from __future__ import annotations

from pathlib import Path

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """`bytes`: the highest that the resident memory stood above its start; 0 where the system does not say."""

    bytes = 0

    def __enter__(self) -> PeakMemory:
        if FORGET.exists():
            FORGET.write_text("5")  # the peak is what is held now
        self._before = resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = resident("VmHWM") - self._before


def resident(what: str) -> int:
    """Bytes by the kernel: VmRSS now, VmHWM at most."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:")), 0)
