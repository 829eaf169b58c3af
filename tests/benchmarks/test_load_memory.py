"""Growth of memory in drawn series, and processes told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from benchmarks.load.memory import MB, Memory, growth_mb_per_min, last_part
from benchmarks.load.page import Steady
from benchmarks.load.processes import Process, cpu_s, processes_below, role_of
from benchmarks.load.summary import Summary
from tests.living import wait_until


def line(slope_mb_per_min: float, seconds: Sequence[float], first_mb: float = 100) -> list[tuple[float, float]]:
    return [(1e9 + s, (first_mb + slope_mb_per_min * s / 60) * MB) for s in seconds]


@pytest.mark.parametrize("slope", [-3.0, 0.0, 0.5, 12.0])
def test_the_slope_of_a_line_is_its_own(slope: float) -> None:
    assert growth_mb_per_min(line(slope, range(0, 180, 2))) == pytest.approx(slope, abs=1e-6)


def test_what_swings_without_growing_does_not_grow() -> None:
    swinging = [(s, size + (8 * MB if number % 2 else 0)) for number, (s, size) in enumerate(line(0, range(181)))]
    assert abs(growth_mb_per_min(swinging)) < 0.1


def test_fewer_than_two_points_do_not_grow() -> None:
    assert growth_mb_per_min([]) == 0
    assert growth_mb_per_min(line(5, [3])) == 0
    assert growth_mb_per_min(line(5, [3, 3])) == 0


def test_only_what_was_there_all_of_the_last_minutes_counts() -> None:
    looks = range(0, 302, 2)
    series = {
        "whole": line(1, looks),
        "new": line(1, looks[120:]),
        "dead": line(1, looks[:140]),
        "early": line(1, looks[30:]),
    }
    last = last_part(series, 180)
    assert set(last) == {"whole", "early"}
    assert len(last["whole"]) == 90
    assert last["whole"][0][0] == 1e9 + 122


def test_a_process_that_grows_at_first_and_then_no_more_has_not_grown() -> None:
    filled = line(60, range(0, 100, 2)) + [(1e9 + s, 200 * MB) for s in range(100, 302, 2)]
    steady = Steady("mixed", Summary(1, 300, 1, 1, 1, 1, 1, 1, 0, 0), {"store": filled})
    assert steady.growth()["store"] == 0
    leaking = Steady("mixed", steady.summary, {"store": line(2, range(0, 302, 2))})
    assert leaking.growth()["store"] == pytest.approx(2)


def test_processes_of_one_role_have_series_of_their_own() -> None:
    memory = Memory()
    for second in (1.0, 2.0):
        memory.look(second, [("worker child", Process(pid, 1, "", pid * 1000, 0)) for pid in (7, 8)])
    memory.look(3.0, [("worker child", Process(9, 1, "", 9000, 0))])
    assert memory.series == {
        "worker child": [(1.0, 7000), (2.0, 7000)],
        "worker child 2": [(1.0, 8000), (2.0, 8000)],
        "worker child 3": [(3.0, 9000)],
    }


@pytest.mark.parametrize(
    ("command", "parent", "role"),
    [
        ("python -m service.cli up", "bash", "supervisor"),
        ("python -m service.cli gateway", "python -m service.cli up", "gateway"),
        ("python -m service.cli worker", "python -m service.cli up", "worker"),
        ("python -m service.cli worker", "python -m service.cli worker", "worker child"),
        ("python -m workers.pictures.decoder_process 5 6", "python -m service.cli worker", "decoder"),
        ("/x/valkey-server unixsocket:/y", "python -m service.cli up", "store"),
        ("sleep 1", "", "other"),
    ],
)
def test_a_process_has_the_role_of_its_command(command: str, parent: str, role: str) -> None:
    assert role_of(command, parent) == role


CHILD = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "sum(range(10**7))"])
if sys.argv[1:]:
    subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]])
else:
    print("all are there", flush=True)
time.sleep(600)
"""


def test_real_processes_are_counted_with_all_below_and_with_what_they_waited_for() -> None:
    command = [sys.executable, "-c", CHILD, CHILD, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            found = {one.pid: one for one in processes_below([process.pid])}
            assert len(found) == 3
            assert found[process.pid].parent == os.getpid()
            assert all(one.resident_bytes > 2 * MB for one in found.values())
            assert cpu_s([process.pid]) > 3 * 0.05  # a child's of each, which has ended
            assert set(found) <= {one.pid for one in processes_below([os.getpid()])}
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not processes_below(found), 10, "the processes have gone")
