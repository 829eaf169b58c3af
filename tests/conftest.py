"""For every test: Ctrl-C that is heard, threads that sleep at barriers, logs that go where they went before, and, where
Redis can be spoken to, the fixtures of `tests.living`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from workers import devices

devices.share_cores_politely()

# A shell's background command ignores SIGINT, and so would all commands that these tests start, and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.living"] if all(find_spec(name) for name in ("redis", "httpx", "pydantic_settings")) else []


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command run in this process sends logs to a stream that ends with the test."""
    rooms = [logging.getLogger(room) for room in ("", "service", "workers", "models", "kernels")]
    before = [(room, room.handlers[:], room.level) for room in rooms]
    yield
    for room, handlers, level in before:
        room.handlers[:] = handlers
        room.setLevel(level)
