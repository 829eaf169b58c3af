"""A Redis that is not there, or does not answer, as errors of ours."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from workers.errors import StoreUnavailable
from workers.jobs.store import Store


def test_a_redis_that_is_not_there_is_an_error_of_ours() -> None:
    store = Store.at("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


def test_after_a_time_out_the_breaker_answers_and_nobody_is_asked() -> None:
    def connections() -> int:
        count = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                count += 1
        return count

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        store = Store.at(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.2, breaker_s=3600)
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert connections() > 0
        with pytest.raises(StoreUnavailable):
            store.queue()
        assert connections() == 0
        store.close()
