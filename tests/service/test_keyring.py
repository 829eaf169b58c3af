"""The keys that count now: a change of their file counts without a restart, a mistake in it takes nothing away."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

import pytest

from service.keyring import KeyRing
from service.keys import add_key, hash_of
from tests.service.asgi import eventually
from workers.errors import ParameterError


def test_a_key_leads_to_its_client_and_no_other_word_does(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "a")
    ring = KeyRing(tmp_path / "keys")
    client = ring.find(key)
    assert client is not None and client.id == "key:a"
    assert [ring.find(other) for other in ("", key[:-1], key.upper(), hash_of(key), "ключ")] == [None] * 5


def test_a_file_that_is_not_as_it_should_be_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="No such file"):
        KeyRing(tmp_path / "keys")


def test_a_change_counts_and_a_mistake_takes_nothing_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys"
    old = add_key(path, "a")
    ring = KeyRing(path)
    new = add_key(path, "b")
    ring.look()
    assert ring.find(old) and ring.find(new)

    lines = path.read_text().splitlines()
    path.write_text(lines[1] + "\n" + json.dumps({"name": "c", "hash": "md5:" + "0" * 32}) + "\n")
    with caplog.at_level(logging.WARNING):
        ring.look()
        ring.look()
    (told,) = caplog.records  # once, not at every look
    reason = told.facts["reason"]  # type: ignore[attr-defined]
    assert "line 2, hash" in reason and hash_of(new)[7:] not in reason
    assert ring.find(old) and ring.find(new)

    path.unlink()
    ring.look()
    assert ring.find(old) and ring.find(new)
    path.write_text(lines[1] + "\n")
    ring.look()
    assert ring.find(old) is None and ring.find(new)


def test_a_change_in_place_that_keeps_the_size_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = add_key(path, "a")
    ring = KeyRing(path)
    path.write_text(path.read_text().replace(hash_of(old), hash_of("new")))
    ring.look()
    assert ring.find(old) is None and ring.find("new")


def test_two_changes_that_leave_one_stamp_both_count(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = add_key(path, "a")
    stamp = path.stat()
    ring = KeyRing(path)
    path.write_text(path.read_text().replace(hash_of(old), hash_of("new")))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    ring.look()
    assert ring.find(old) is None and ring.find("new")


def test_a_file_that_has_not_changed_for_a_while_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = add_key(path, "a")
    os.utime(path, ns=(0, 0))
    ring = KeyRing(path)
    path.write_text(path.read_text().replace(hash_of(old), hash_of("new")))
    os.utime(path, ns=(0, 0))
    ring.look()
    assert ring.find(old) is not None


def test_while_it_is_watched_the_file_is_looked_at_by_itself_and_a_change_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    add_key(path, "a")
    ring = KeyRing(path)
    changes: list[str] = []

    async def story() -> None:
        async with ring.watched(lambda: changes.append("told")):
            new = add_key(path, "b")
            await eventually(lambda: ring.find(new) is not None, "the new key is known")
            await eventually(lambda: changes == ["told"], "it is told once")

    asyncio.run(story())
