"""Who stands still and who is deaf, by looks at chosen times; and the pulse of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.living import wait_until
from workers.liveness import GAP_S, HUNGER_S, PULSE_S, STOPPED_S, Hunger, Pulses, Remedy, Standstill, Wards

LOOK_S = 2.0


def looks(seconds: float, start: float = 0.0) -> Iterator[float]:
    """Times of looks, LOOK_S apart, from `start` on."""
    now = start
    while now <= start + seconds:
        yield now
        now += LOOK_S


def test_a_child_whose_count_stands_still_is_found_and_one_that_counts_is_not() -> None:
    wards = Wards()
    found = {now: wards.stopped({1: 7, 2: int(now)}, now) for now in looks(2 * STOPPED_S)}
    assert not any(found[now] for now in found if now < STOPPED_S)
    assert all(found[now] == {1} for now in found if now >= STOPPED_S + LOOK_S)


def test_after_a_gap_in_the_looking_every_child_gets_the_whole_time_again() -> None:
    wards = Wards()
    for now in looks(STOPPED_S - LOOK_S):
        assert not wards.stopped({1: 7}, now)
    for now in looks(STOPPED_S - LOOK_S, start=3600):
        assert not wards.stopped({1: 7}, now)


def test_a_child_that_is_new_under_an_old_number_begins_anew() -> None:
    wards = Wards()
    for now in looks(STOPPED_S - LOOK_S):
        wards.stopped({1: 7}, now)
    wards.stopped({}, STOPPED_S)
    assert not wards.stopped({1: 7}, STOPPED_S + LOOK_S)


def test_a_loop_that_turns_or_has_a_reason_not_to_does_not_stand_still() -> None:
    turning, waiting = Standstill(3), Standstill(3)
    for count in range(20):
        assert not turning.look(count)
        waiting.forgive()
        assert not waiting.look(7)
    assert [Standstill.look(waiting, 7) for _ in range(3)] == [False, True, True]


def remedies(hunger: Hunger, seconds: float, start: float = 0.0, **told: object) -> list[tuple[float, Remedy]]:
    facts = {"waiting": 3, "taken": 5, "is_idle": True, **told}
    asked = [(now, hunger.look(now=now, **facts)) for now in looks(seconds, start)]  # type: ignore[arg-type]
    return [(now, remedy) for now, remedy in asked if remedy is not Remedy.NONE]


def test_a_deaf_worker_reconnects_and_then_restarts() -> None:
    hunger = Hunger()
    (first, reconnect), (second, restart) = remedies(hunger, 2 * HUNGER_S + 2 * LOOK_S)
    assert (reconnect, restart) == (Remedy.RECONNECT, Remedy.RESTART)
    assert HUNGER_S <= first <= HUNGER_S + 2 * LOOK_S
    assert second - first <= HUNGER_S + LOOK_S
    assert hunger.is_deaf


@pytest.mark.parametrize("told", [{"waiting": 0}, {"is_idle": False}])
def test_a_worker_without_work_or_without_an_idle_child_is_not_deaf(told: dict[str, object]) -> None:
    hunger = Hunger()
    assert remedies(hunger, 120, **told) == []
    assert not hunger.is_deaf


def test_a_message_that_is_taken_ends_the_hunger() -> None:
    hunger = Hunger()
    assert len(remedies(hunger, HUNGER_S + 2 * LOOK_S)) == 1
    assert remedies(hunger, HUNGER_S - LOOK_S, start=HUNGER_S + 3 * LOOK_S, taken=6) == []
    assert not hunger.is_deaf


def test_a_queue_that_always_holds_messages_is_no_hunger_while_each_look_finds_another_taken() -> None:
    hunger = Hunger()
    for count, now in enumerate(looks(120)):
        assert hunger.look(waiting=9, taken=count, is_idle=True, now=now) is Remedy.NONE


def test_a_worker_that_stood_still_itself_is_not_deaf_when_it_wakes() -> None:
    hunger = Hunger()
    assert remedies(hunger, HUNGER_S - LOOK_S) == []
    assert remedies(hunger, HUNGER_S - LOOK_S, start=HUNGER_S + GAP_S + 60) == []


def test_after_a_reconnection_that_took_long_the_next_remedy_is_a_restart() -> None:
    hunger = Hunger()
    assert [remedy for _, remedy in remedies(hunger, HUNGER_S + LOOK_S)] == [Remedy.RECONNECT]
    later = remedies(hunger, HUNGER_S + 2 * LOOK_S, start=100)
    assert [remedy for _, remedy in later] == [Remedy.RESTART]


@contextmanager
def child_with(pulses: Pulses) -> Iterator[int]:
    """A forked process that has a pulse, and is at work."""
    pid = os.fork()
    if pid == 0:
        pulses.start(1)
        with pulses.at_work(1):
            time.sleep(60)
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 of a fork beside other threads
def test_the_pulse_of_a_process_is_seen_from_outside_and_stands_still_while_it_is_stopped() -> None:
    pulses = Pulses(2)
    with child_with(pulses) as pid:
        wait_until(lambda: pulses.count(1) > 0, 20, "the child counts")
        assert pulses.is_at_work(1) and not pulses.is_at_work(0)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        before = pulses.count(1)
        time.sleep(3 * PULSE_S)
        assert pulses.count(1) == before
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: pulses.count(1) > before, 20, "the child counts again")
    assert pulses.count(0) == 0


FORCED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from workers.worker import Parent
marker = Path({marker!r})
if marker.exists():
    sys.exit(0)
marker.touch()
Parent._start_again_by_force(SimpleNamespace(pool=SimpleNamespace(_pool=None)))
"""


def test_a_worker_that_hangs_after_its_pool_was_stopped_starts_again_all_the_same(tmp_path: Path) -> None:
    """An orderly stop lets go of the pool before it is over; what hangs after that is what force is for."""
    program = FORCED.format(marker=str(tmp_path / "second"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
