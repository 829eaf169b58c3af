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


def test_who_is_stopped_while_it_waits_leaves_no_answer_to_the_next_call(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal may end a call at any moment; what was meant for it is nobody else's."""
    store.beat({"test:1": {}})
    connection = store._idle[-1]
    read = connection.read_response

    def stopped() -> None:
        monkeypatch.setattr(connection, "read_response", read)
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "read_response", stopped)
    with pytest.raises(KeyboardInterrupt):
        store.beat({"test:2": {}})
    assert store.queue().workers_alive == 2
    assert list(store._idle) == [connection]


def test_a_call_on_a_connection_that_redis_has_closed_is_made_again(store: Store) -> None:
    store.beat({"test:1": {}})
    store.client.client_kill_filter(_type="normal", skipme=True)
    assert store.queue().workers_alive == 1


def test_a_store_is_closed_with_all_its_connections(redis_url: str) -> None:
    store = Store.at(redis_url)
    store.queue()
    connection = store._idle[-1]
    store.close()
    assert connection._sock is None
