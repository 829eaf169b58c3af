"""The file of API keys: JSON lines, each with a name, the hash of one key and what its client may.

    {"name": "phone", "hash": "sha256:9f86d0...", "rate_per_min": 60, "megapixels_per_min": 200, "share": 0.5}

A key is 256 random bits as hex; only its SHA-256 is kept, so that who reads the file can ask for nothing. Such a key
cannot be guessed, so that a fast hash is enough. Lines of one name are keys of one client and agree on all but the
hash: an old key and its successor serve side by side until the old line is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from service.clients import Client
from workers.errors import ParameterError
from workers.jobs.job import Lane
from workers.settings import MOST_PER_MIN

PRIVATE = 0o600
LEAST_MEGAPIXELS_PER_MIN = 0.001  # a bucket that fills more slowly is full beyond the end of Redis' calendar
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class KeyLine(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=NAME)]
    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    rate_per_min: Annotated[int, Field(ge=1, le=MOST_PER_MIN)] | None = None
    megapixels_per_min: Annotated[float, Field(ge=LEAST_MEGAPIXELS_PER_MIN, le=MOST_PER_MIN)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    lanes: Annotated[tuple[Lane, ...], Field(min_length=1)] = tuple(Lane)
    webhook_secret: SecretStr | None = None

    @property
    def client(self) -> Client:
        return Client(
            f"key:{self.name}",
            self.share,
            self.lanes,
            self.rate_per_min,
            self.megapixels_per_min,
            self.webhook_secret.get_secret_value() if self.webhook_secret else None,
        )


def hash_of(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def new_key() -> str:
    return secrets.token_hex(32)


def read_keys(path: Path) -> dict[str, KeyLine]:
    """The lines by their hashes. Raises ParameterError, which names line and field and tells no hash."""
    keys: dict[str, KeyLine] = {}
    by_name: dict[str, Client] = {}
    for number, line in _lines(path):
        key = _parse(line, f"{_named(path)}, line {number}")
        if key.hash in keys:
            raise ParameterError(f"{_named(path)}, line {number}, hash: another line has the same")
        if by_name.setdefault(key.name, key.client) != key.client:
            agree = "lines of one name are keys of one client and agree on all but the hash"
            raise ParameterError(f"{_named(path)}, line {number}, name: another line has it with other values; {agree}")
        keys[key.hash] = key
    return keys


def _named(path: Path) -> str:
    return f"LUTRA_API_KEYS_FILE={str(path)!r}"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark before the first line
    except OSError as error:
        raise ParameterError(f"{_named(path)}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise ParameterError(f"{_named(path)}: is no UTF-8") from None
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _parse(line: str, where: str) -> KeyLine:
    try:
        return KeyLine.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden":  # a name of 30 letters at most cannot be a key or a hash
        seen = f"no field is named {field}" if re.fullmatch(r"[a-z_]{1,30}", field) else "a field has an unknown name"
        raise ParameterError(f"{where}: {seen}; known are {', '.join(KeyLine.model_fields)}")
    raise ParameterError(f"{where}{', ' if field else ''}{field}: {fault['msg']}")


def new_line(name: str, key: str, before: Mapping[str, Any] | None = None) -> str:
    """The line for a new key; `before`: another of the same client. Raises ParameterError for a name that is none."""
    line = json.dumps({**(before or {}), "name": name, "hash": hash_of(key)})
    _parse(line, "the new key")
    return line


def add_key(path: Path, name: str) -> str:
    """A new key, whose line is added to the file; a reader sees the file without it or with it, never half.

    Raises ParameterError for a name that is none, or a file that is not as it should be.
    """
    key, path = new_key(), path.resolve()
    with _locked(path.parent):
        before = list(_lines(path)) if path.exists() else []
        if before:
            read_keys(path)
        known = [json.loads(line) for _, line in before]
        line = new_line(name, key, next((one for one in known if one["name"] == name), None))
        _replace(path, "".join(f"{one}\n" for one in (*(text for _, text in before), line)))
    return key


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time. Raises ParameterError where the folder is not there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ParameterError(f"{str(folder)!r}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Write beside, then rename; rights and owner stay, and a new file is its owner's alone."""
    before = path.stat() if path.exists() else None
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".lutra-keys-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                os.fchmod(handle, before.st_mode & 0o777 if before else PRIVATE)
                if before and (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
                    os.fchown(handle, before.st_uid, before.st_gid)
                file.write(text)
                file.flush()
                os.fsync(handle)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ParameterError(f"{_named(path)}: {error.strerror or error}") from None
