"""Resident memory of processes over time, and by how much it grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.load.processes import Process

MB = 1e6
Point = tuple[float, float]  # Unix seconds, bytes


class Memory:
    """What was seen of each process: a series under its role, numbered where several have the same."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._of_role: dict[str, int] = defaultdict(int)
        self.series: dict[str, list[Point]] = {}

    def look(self, now_s: float, processes: Iterable[tuple[str, Process]]) -> None:
        """Adds a point for each (role, process)."""
        for role, process in processes:
            self.series.setdefault(self._name(role, process.pid), []).append((now_s, process.resident_bytes))

    def _name(self, role: str, pid: int) -> str:
        if pid not in self._names:
            self._of_role[role] += 1
            number = self._of_role[role]
            self._names[pid] = role if number == 1 else f"{role} {number}"
        return self._names[pid]


def growth_mb_per_min(points: Sequence[Point]) -> float:
    """The slope of the straight line that fits best (least squares), in MB a minute; 0 of fewer than two points."""
    if len(points) < 2:
        return 0.0
    mean_s = sum(s for s, _ in points) / len(points)
    mean_bytes = sum(size for _, size in points) / len(points)
    spread = sum((s - mean_s) ** 2 for s, _ in points)
    if spread == 0:
        return 0.0
    return sum((s - mean_s) * (size - mean_bytes) for s, size in points) / spread * 60 / MB


def last_part(series: Mapping[str, Sequence[Point]], seconds: float) -> dict[str, list[Point]]:
    """The last `seconds` of each series; processes that were not there all of that time are left out."""
    looks = sorted({at for points in series.values() for at, _ in points})
    kept = [at for at in looks if at > looks[-1] - seconds] if looks else []
    parts = {name: [point for point in points if kept and point[0] >= kept[0]] for name, points in series.items()}
    return {name: points for name, points in parts.items() if points and len(points) == len(kept)}
