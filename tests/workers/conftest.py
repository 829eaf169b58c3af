"""A proxy that loses connections, a runner with an engine, models of the test's own.

torch is loaded for those alone who ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.proxy import Proxy, proxied
from workers.jobs.store import Store

if TYPE_CHECKING:
    from models.contract import Upscaler
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


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Adds a model to the house for one test; returns its name."""
    from models import catalog
    from models.cards import CARDS, Card
    from tests.workers.enlarging import ConvNet

    def add(build: Callable[[], Upscaler], halo: int = ConvNet.HALO, name: str = "conv") -> str:
        card = Card(name, "upscale", name, "", 1, "", max_scale=8, halo=halo)
        monkeypatch.setitem(CARDS, name, card)
        monkeypatch.setitem(catalog.NETWORKS, name, lambda config: build())
        return name

    return add


@pytest.fixture
def conv(serve: Callable[..., str]) -> str:
    from tests.workers.enlarging import ConvNet

    return serve(ConvNet)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small matrices lose more by threads than they win."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
