"""The health check of a worker's container, against a real Redis."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from workers.healthcheck import living_children
from workers.jobs.store import Store


def check(url: str | None) -> tuple[int, str]:
    """Exit status and words of the health check as the container runs it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUTRA_")}
    if url is not None:
        environment["LUTRA_REDIS_URL"] = url
    command = [sys.executable, "-m", "workers.healthcheck"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.strip()


def test_a_host_with_a_living_child_is_healthy(store: Store, redis_url: str) -> None:
    name = f"{socket.gethostname()}:7:8"
    store.beat({name: {"device": "cpu", "models": {}}})
    assert check(redis_url) == (0, f"alive: {name}")


def test_children_of_other_hosts_do_not_count(store: Store, redis_url: str) -> None:
    host = socket.gethostname()
    store.beat({f"{host}x:7:8": {"device": "cpu", "models": {}}})
    assert living_children(store, host) == []
    assert check(redis_url) == (1, f"no worker child of {host} has a live heartbeat")


def test_a_child_that_was_forgotten_does_not_count(store: Store) -> None:
    store.beat({"host:7:8": {"device": "cpu", "models": {}}})
    assert living_children(store, "host") == ["host:7:8"]
    store.forget_children(["host:7:8"])
    assert living_children(store, "host") == []


def test_without_redis_it_is_unhealthy_and_says_so_in_a_sentence() -> None:
    assert check("redis://127.0.0.1:1/0") == (1, "the job store does not answer")
    assert check(None) == (1, "LUTRA_REDIS_URL is not set")


def test_it_does_not_import_torch() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, workers.healthcheck; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert told.stdout.strip() == "False"
