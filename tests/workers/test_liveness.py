"""Who is stopped and who is stalled, by looks at chosen times; and the pulse of real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.living import wait_until
from workers.liveness import (
    GAP_S,
    PULSE_S,
    STALLED_S,
    STOPPED_S,
    LoopMonitor,
    PulseMonitor,
    Pulses,
    Remedy,
    StallMonitor,
)

LOOK_S = 2.0


def looks(seconds: float, start: float = 0.0) -> Iterator[float]:
    """Times of looks, LOOK_S apart, from `start` on."""
    now = start
    while now <= start + seconds:
        yield now
        now += LOOK_S


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 of a fork beside other threads
def test_that_a_worker_stops_is_seen_in_a_child_and_is_no_child_s_count() -> None:
    pulses = Pulses(2)
    assert not pulses.is_stopping
    if (pid := os.fork()) == 0:
        pulses.stop()
        os._exit(0)
    os.waitpid(pid, 0)
    assert pulses.is_stopping
    assert not any(pulses.is_at_work(index) or pulses.count(index) for index in range(2))


def test_a_child_whose_count_stands_still_is_reported_and_one_that_counts_is_not() -> None:
    monitor = PulseMonitor()
    stopped = {now: monitor.stopped({1: 7, 2: int(now)}, now) for now in looks(2 * STOPPED_S)}
    assert not any(stopped[now] for now in stopped if now < STOPPED_S)
    assert all(stopped[now] == {1} for now in stopped if now >= STOPPED_S + LOOK_S)


def test_after_a_gap_in_the_looking_every_child_gets_the_whole_time_again() -> None:
    monitor = PulseMonitor()
    for now in looks(STOPPED_S - LOOK_S):
        assert not monitor.stopped({1: 7}, now)
    for now in looks(STOPPED_S - LOOK_S, start=3600):
        assert not monitor.stopped({1: 7}, now)


def test_a_child_that_is_new_under_an_old_number_begins_anew() -> None:
    monitor = PulseMonitor()
    for now in looks(STOPPED_S - LOOK_S):
        monitor.stopped({1: 7}, now)
    monitor.stopped({}, STOPPED_S)
    assert not monitor.stopped({1: 7}, STOPPED_S + LOOK_S)


def test_a_loop_that_runs_or_has_a_reason_not_to_does_not_stand_still() -> None:
    running, waiting = LoopMonitor(3), LoopMonitor(3)
    for count in range(20):
        assert not running.look(count)
        waiting.reset()
        assert not waiting.look(7)
    assert [LoopMonitor.look(waiting, 7) for _ in range(3)] == [False, True, True]


def remedies(monitor: StallMonitor, seconds: float, start: float = 0.0, **changed: Any) -> list[tuple[float, Remedy]]:
    facts = {"waiting": 3, "taken": 5, "is_idle": True, **changed}
    asked = [(now, monitor.look(now=now, **facts)) for now in looks(seconds, start)]
    return [(now, remedy) for now, remedy in asked if remedy is not Remedy.NONE]


def test_a_stalled_worker_reconnects_and_then_restarts() -> None:
    monitor = StallMonitor()
    (first, reconnect), (second, restart) = remedies(monitor, 2 * STALLED_S + 2 * LOOK_S)
    assert (reconnect, restart) == (Remedy.RECONNECT, Remedy.RESTART)
    assert STALLED_S <= first <= STALLED_S + 2 * LOOK_S
    assert second - first <= STALLED_S + LOOK_S
    assert monitor.is_stalled


@pytest.mark.parametrize("changed", [{"waiting": 0}, {"is_idle": False}])
def test_a_worker_without_work_or_without_an_idle_child_is_not_stalled(changed: dict[str, Any]) -> None:
    monitor = StallMonitor()
    assert remedies(monitor, 120, **changed) == []
    assert not monitor.is_stalled


def test_a_message_that_is_taken_ends_the_stall() -> None:
    monitor = StallMonitor()
    assert len(remedies(monitor, STALLED_S + 2 * LOOK_S)) == 1
    assert remedies(monitor, STALLED_S - LOOK_S, start=STALLED_S + 3 * LOOK_S, taken=6) == []
    assert not monitor.is_stalled


def test_a_queue_that_always_holds_messages_is_no_stall_while_each_look_finds_another_taken() -> None:
    monitor = StallMonitor()
    for count, now in enumerate(looks(120)):
        assert monitor.look(waiting=9, taken=count, is_idle=True, now=now) is Remedy.NONE


def test_a_worker_that_stood_still_itself_is_not_stalled_when_it_wakes() -> None:
    monitor = StallMonitor()
    assert remedies(monitor, STALLED_S - LOOK_S) == []
    assert remedies(monitor, STALLED_S - LOOK_S, start=STALLED_S + GAP_S + 60) == []


def test_after_a_reconnection_that_took_long_the_next_remedy_is_a_restart() -> None:
    monitor = StallMonitor()
    assert [remedy for _, remedy in remedies(monitor, STALLED_S + LOOK_S)] == [Remedy.RECONNECT]
    later = remedies(monitor, STALLED_S + 2 * LOOK_S, start=100)
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
