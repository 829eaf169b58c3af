"""The file of API keys: what it may hold, what is said of what it may not, and how a key is added to it."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from pathlib import Path

import pytest

from service.clients import Client
from service.keys import KeyLine, add_key, hash_of, new_key, new_line, read_keys
from workers.errors import ParameterError

HASH = hash_of("secret")


def write(folder: Path, *lines: object) -> Path:
    path = folder / "keys.jsonl"
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ParameterError) as told:
        read_keys(path)
    return told.value.message


def test_a_key_is_256_random_bits_and_its_hash_is_that_of_its_letters() -> None:
    assert len(bytes.fromhex(new_key())) == 32 and new_key() != new_key()
    assert hash_of("abc") == "sha256:" + hashlib.sha256(b"abc").hexdigest()


def test_a_line_tells_what_its_client_may_and_all_but_name_and_hash_may_be_left_out(tmp_path: Path) -> None:
    facts = {"rate_per_min": 60, "megapixels_per_min": 12.5, "share": 0.5, "lanes": ["bulk"], "webhook_secret": "w"}
    path = write(tmp_path, {"name": "a", "hash": HASH, **facts}, "", {"name": "b", "hash": hash_of("other")})
    keys = read_keys(path)
    assert keys[HASH].client == Client("key:a", 0.5, ("bulk",), 60, 12.5, "w")
    assert keys[hash_of("other")].client == Client("key:b")
    assert read_keys(write(tmp_path)) == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: Invalid JSON"),
        ("[]", "line 2: "),
        ({"hash": HASH}, "line 2, name: Field required"),
        ({"name": "a"}, "line 2, hash: Field required"),
        ({"name": "a b", "hash": HASH}, "line 2, name: "),
        ({"name": "a", "hash": HASH[7:]}, "line 2, hash: "),
        ({"name": "a", "hash": HASH.upper()}, "line 2, hash: "),
        ({"name": "a", "hash": HASH, "rate_per_min": 0}, "line 2, rate_per_min: "),
        ({"name": "a", "hash": HASH, "rate_per_min": True}, "line 2, rate_per_min: "),
        ({"name": "a", "hash": HASH, "rate_per_min": "60"}, "line 2, rate_per_min: "),
        ({"name": "a", "hash": HASH, "rate_per_min": 10**400}, "line 2, rate_per_min: "),
        ({"name": "a", "hash": HASH, "megapixels_per_min": -1}, "line 2, megapixels_per_min: "),
        ({"name": "a", "hash": HASH, "megapixels_per_min": 1e-20}, "line 2, megapixels_per_min: "),
        ({"name": "a", "hash": HASH, "megapixels_per_min": 1e300}, "line 2, megapixels_per_min: "),
        ({"name": "a", "hash": HASH, "share": math.nan}, "line 2, share: Input should be a finite number"),
        ({"name": "a", "hash": HASH, "share": 0}, "line 2, share: "),
        ({"name": "a", "hash": HASH, "share": 1.5}, "line 2, share: "),
        ({"name": "a", "hash": HASH, "lanes": ["slow"]}, "line 2, lanes: "),
        ({"name": "a", "hash": HASH, "lanes": []}, "line 2, lanes: "),
        ({"name": "a", "hash": HASH, "rate": 3}, "line 2: no field is named rate; known are name, hash, rate_per_min"),
        ({"name": "a", "hash": HASH, HASH: 3}, "line 2: a field has an unknown name; known are name"),
        ({"name": "first", "hash": hash_of("twice")}, "line 2, hash: another line has the same"),
        ({"name": "first", "hash": HASH, "share": 0.5}, "line 2, name: another line has it with other values"),
    ],
)
def test_a_line_that_cannot_be_is_named_with_its_field_and_never_with_a_hash(
    tmp_path: Path, line: object, words: str
) -> None:
    told = refusal(write(tmp_path, {"name": "first", "hash": hash_of("twice")}, line))
    assert words in told and told.startswith(f"LUTRA_API_KEYS_FILE='{tmp_path}/keys.jsonl'")
    assert HASH[7:20].lower() not in told.lower() and hash_of("twice")[7:20] not in told


def test_a_file_as_windows_writes_it_is_read_and_takes_one_more_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"name": "a", "hash": HASH}).encode() + b"\r\n\r\n")
    assert list(read_keys(path)) == [HASH]
    assert hash_of(add_key(path, "b")) in read_keys(path)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none")
    assert "directory" in refusal(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert "is no UTF-8" in refusal(tmp_path / "bytes")


def test_no_secret_of_a_line_is_shown_with_it() -> None:
    line = KeyLine(name="a", hash=HASH, webhook_secret="whsec")  # type: ignore[arg-type]
    assert "whsec" not in repr(line) + repr(line.client)


def test_an_added_key_is_good_and_the_file_stays_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    key = add_key(path, "a")
    assert path.stat().st_mode & 0o777 == 0o600 and key not in path.read_text()
    path.chmod(0o640)
    path.write_text(path.read_text().rstrip("\n"))  # as some editors leave it
    other = add_key(path, "b")
    assert {one.name for one in read_keys(path).values()} == {"a", "b"}
    assert set(read_keys(path)) == {hash_of(key), hash_of(other)}
    assert path.stat().st_mode & 0o777 == 0o640 and list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_there_gets_one_more_key_of_the_same_client(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "a", "hash": HASH, "rate_per_min": 60, "webhook_secret": "w"})
    key = add_key(path, "a")
    first, second = read_keys(path).values()
    assert (first.client, second.hash) == (second.client, hash_of(key))


def test_a_file_that_is_not_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "a"})
    before = path.read_bytes()
    for name in ("b", "no name"):
        with pytest.raises(ParameterError):
            add_key(path, name)
    assert path.read_bytes() == before
    with pytest.raises(ParameterError, match="No such file"):
        add_key(tmp_path / "none" / "keys.jsonl", "a")
    with pytest.raises(ParameterError, match="the new key, name"):
        new_line("", new_key())


def test_keys_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    threads = [threading.Thread(target=add_key, args=(path, f"n{i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {one.name for one in read_keys(path).values()} == {f"n{i}" for i in range(8)}
