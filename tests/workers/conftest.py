"""A proxy that loses connections, and a runner with an engine; torch is loaded for those alone who ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.proxy import Proxy, proxied
from workers.jobs.store import Store

if TYPE_CHECKING:
    from workers.engine.engine import Engine
    from workers.runner import Runner


@pytest.fixture
def proxy(store: Store, redis_url: str) -> Iterator[Proxy]:
    """Before the Redis that `store` speaks to directly; one test, one proxy."""
    with proxied(redis_url) as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> Engine:
    from workers.engine.engine import Engine

    engine = Engine(device="cpu")
    engine.load("bicubic")
    return engine


@pytest.fixture
def runner(store: Store, engine: Engine) -> Runner:
    from workers.runner import Runner

    return Runner(store, engine, owner="test:1", job_timeout_s=60, max_pixels=1_000_000)
