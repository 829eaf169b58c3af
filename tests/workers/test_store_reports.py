"""What workers report of themselves: which children live, and how fast each model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.jobs.store import Store


def test_a_child_counts_only_once_it_has_reported_its_facts(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.beat({"test:1": None})
    assert store.queue().workers_alive == 0
    store.beat({"test:1": {"device": "cpu"}})
    store.beat({"test:1": None})
    assert store.children() == {"test:1": {"device": "cpu"}}
    store.forget_children(["test:1"])
    assert store.queue().workers_alive == 0


def test_rates_are_kept_as_they_were_written_last(store: Store) -> None:
    assert store.rates() == {}
    for rate in ("10", "20"):
        store.keep_rate("liif:1", rate)
    assert store.rates() == {"liif:1": "20"}


def test_the_memory_that_redis_uses_is_told_with_its_limit(store: Store) -> None:
    used, limit = store.memory()
    assert used > 100_000
    assert limit == 0
    client: Any = store.client
    client.config_set("maxmemory", 1 << 30)
    try:
        assert store.memory()[1] == 1 << 30
    finally:
        client.config_set("maxmemory", 0)
