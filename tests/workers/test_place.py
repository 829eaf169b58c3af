"""Names of worker children and their ghosts."""

from __future__ import annotations

import os
import subprocess
import sys

from workers.jobs import place


def test_a_living_process_of_this_place_is_no_ghost() -> None:
    assert not place.is_ghost(place.name_of(1, os.getpid()))


def test_a_process_of_this_place_that_has_ended_is_a_ghost() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    name = place.name_of(os.getpid(), process.pid)
    assert place.pid_of(name) == process.pid
    assert place.is_ghost(name)


def test_a_name_of_another_place_or_of_none_is_never_a_ghost() -> None:
    assert not place.is_ghost("other:1:2:999999")
    assert not place.is_ghost("")
    assert not place.is_ghost(f"{place.this_place()}:1:x")
