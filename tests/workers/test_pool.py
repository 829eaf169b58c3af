"""A child that dies with a job in hand is told of at once; nothing of its pipes is remembered, whose numbers its
successor's may have.
"""

from __future__ import annotations

import subprocess
import sys

POOL = """
import os, signal, time
from kombu.asynchronous import Hub, set_event_loop
from workers.pool import Processes

free_later = os.open(os.devnull, os.O_RDONLY)
hub = Hub()
set_event_loop(hub)
pool = Processes(processes=1, threads=False, lost_worker_timeout=1.0)
died = []
pool.on_death = died.append
pool.register_with_event_loop(hub)
looks = hub.create_loop()

def look_until(condition):
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        hub.call_later(0.05, pool.maintain_pool)
        next(looks)

look_until(lambda: not pool._waiting_to_start and pool._all_inqueues)
os.close(free_later)  # so that the successor's pipes have other numbers
lost, before = [], [process.pid for process in pool._pool]
pool.apply_async(
    time.sleep, (600,), error_callback=lost.append, accept_callback=lambda pid, *_: os.kill(pid, signal.SIGKILL)
)
look_until(lambda: lost)
look_until(lambda: not pool._waiting_to_start and pool._all_inqueues)
print(sorted(process.pid for process in pool._pool) == sorted(process.pid for process in pool._fileno_to_outq.values()))
print(died == before)
pool.terminate()
"""


def test_the_death_of_a_child_is_told_and_its_pipes_are_forgotten() -> None:
    done = subprocess.run([sys.executable, "-c", POOL], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split()[-2:] == ["True", "True"], done.stdout + done.stderr
