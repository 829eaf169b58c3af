"""The health check of a worker's container: exit status 0 where a child of this host is alive in the store.

It asks the store and not the process, because a parent whose loop stands still lives on and beats no more. It looks at
this host's children only, imports no torch, and heals nothing.
"""

from __future__ import annotations

import socket
import sys

from workers.errors import LutraError
from workers.jobs.store import Store
from workers.settings import read_settings

TIMEOUT_S = 2.0


def living_children(store: Store, host: str) -> list[str]:
    """Names of the children of `host` with a live heartbeat. Raises StoreUnavailable."""
    return sorted(name for name in store.children() if name.startswith(f"{host}:"))


def main() -> int:
    """0 and the children's names; 1 and why not."""
    host = socket.gethostname()
    try:
        url = read_settings().redis_url
        if url is None:
            raise LutraError("LUTRA_REDIS_URL is not set")
        children = living_children(Store.at(url, timeout_s=TIMEOUT_S), host)
        if not children:
            raise LutraError(f"no worker child of {host} has a live heartbeat")
    except LutraError as error:
        print(error.message)
        return 1
    print("alive:", *children)
    return 0


if __name__ == "__main__":
    sys.exit(main())
