"""A proxy that loses connections, for the tests of what goes over them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy import Proxy, proxied
from workers.jobs.store import Store


@pytest.fixture
def proxy(store: Store, redis_url: str) -> Iterator[Proxy]:
    """Before the Redis that `store` speaks to directly; one test, one proxy."""
    with proxied(redis_url) as running:
        yield running
