"""The worker's parent: what it does beside Celery."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FORCED = """
import sys
from pathlib import Path
from typing import Any
from types import SimpleNamespace
from workers.worker import Parent
marker = Path({marker!r})
if marker.exists():
    sys.exit(0)
marker.touch()
Parent._restart_by_force(SimpleNamespace(pool=SimpleNamespace(_pool=None)))
"""


def test_a_worker_that_hangs_after_its_pool_was_stopped_starts_again_all_the_same(tmp_path: Path) -> None:
    """An orderly stop lets go of the pool before it is over; what hangs after that is what force is for."""
    program = FORCED.format(marker=str(tmp_path / "second"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
