"""Names of worker children, and which of them are stale."""

from __future__ import annotations

import os
import subprocess
import sys

from workers.jobs import place


def test_a_living_process_of_this_place_is_not_stale() -> None:
    assert not place.is_stale(place.name_of(1, os.getpid()))


def test_a_process_of_this_place_that_has_ended_is_stale() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    name = place.name_of(os.getpid(), process.pid)
    assert place.pid_of(name) == process.pid
    assert place.is_stale(name)


def test_a_name_of_another_place_or_of_none_is_never_stale() -> None:
    assert not place.is_stale("other:1:2:999999")
    assert not place.is_stale("")
    assert not place.is_stale(f"{place.this_place()}:1:x")
