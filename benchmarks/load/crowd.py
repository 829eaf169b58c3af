"""Runs of Locust's users, each a process of its own, so that nothing of this one is patched by gevent."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.samples import Sample, from_lines
from benchmarks.load.summary import Summary, summarise

ROOT = Path(__file__).parents[2]
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Load:
    """What one run asks of `url`. `pace`: jobs a second of each user; 0: one after the other."""

    url: str
    mix: str
    users: int
    seconds: float
    pace: float = 0.0
    is_keyed: bool = False


@dataclass(frozen=True)
class Run:
    load: Load
    began_s: float
    samples: tuple[Sample, ...]

    def summary(self, warm_s: float) -> Summary:
        """Without its first `warm_s` seconds, and without what was let end after its last."""
        return summarise(self.samples, self.load.users, self.began_s + warm_s, self.began_s + self.load.seconds)


@dataclass(frozen=True)
class Crowd:
    """`python` has Locust; `folder` has the pictures, and takes what the users write."""

    python: str
    folder: Path

    def run(self, load: Load, watch: Callable[[], None] = lambda: None) -> Run:
        """Calls `watch` every LOOK_EVERY_S until all users are done. Raises CalledProcessError."""
        out = self.folder / "samples.jsonl"
        options = {"url": load.url, "mix": load.mix, "users": load.users, "seconds": load.seconds, "pace": load.pace}
        command = [self.python, "-m", "benchmarks.load.users", "--pictures", str(self.folder), "--out", str(out)]
        command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        process = subprocess.Popen([*command, *(["--keyed"] if load.is_keyed else [])], cwd=ROOT)
        try:
            while process.poll() is None:
                watch()
                time.sleep(LOOK_EVERY_S)
        finally:
            process.kill()
            status = process.wait()
        if status:
            raise subprocess.CalledProcessError(status, command)
        first, *lines = out.read_text().splitlines()
        return Run(load, json.loads(first)["began_s"], tuple(from_lines(lines)))
