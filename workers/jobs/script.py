"""The store's state changes as Lua scripts: each runs whole or not at all, by Redis' own clock.

Keys (prefix `lutra:`)

    job:<j>            hash      one client's request: its computation, detached, left, how it came to it (cache)
    comp:<c>           hash      the work: state, attempt, owner, progress, facts, timings, error
    comp:<c>:jobs      set       jobs that wait for it
    in:<c>:<n>         string    input in pieces: picture, table     out:<c>:<attempt>:<n>   result in pieces
    events:<j>         stream    capped; its ids are the ids of the Server-Sent Events
    gone:<j>           string    tombstone: was here, is no more: 1 (its time was over), deleted, delivered, told
    equal:<e>          string    the computation that equal requests of one client join
    key:<k>            hash      an Idempotency-Key of a client: the job that it names, the fingerprint of its request
    jobs_of:<client>   zset      job -> time it was taken in
    usage:<client>:<day>   hash  jobs that succeeded on that day since the epoch, pixels in and out
    listed             zset      job and client -> when it goes, and leaves that list
    active             zset      computation -> end of its hold; its size is what QUEUE_SIZE limits
    queued             zset      computation -> time of creation      running   zset   computation -> end of its lease
    blobs, blob_sizes, blob_bytes      who holds how many bytes (pictures, records, events) until when, and their sum
    delivered          zset      computation whose end reached all its clients -> when; may go where room is needed
    alive              zset      worker child -> last heartbeat        child_facts   hash   what it reported of itself
    served             zset      place of a worker -> when a child of it was last alive
    returning          zset      place of a worker whose child loads -> until when jobs are admitted in the hope of it
    rates              hash      how fast each model is here, as `workers.operations.speeds` writes it

No command newer than Redis 6.2. ARGV alone is used: this is not for a Redis cluster (nor is Celery).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import cache
from importlib.resources import files
from types import MappingProxyType


class Script(StrEnum):
    """The scripts by the names of their files in `scripts/`."""

    ADMIT = auto()
    BEAT = auto()
    CANCEL = auto()
    CLAIM = auto()
    FINISH = auto()
    FREE_KEY = auto()
    HOLD_KEY = auto()
    JOIN = auto()
    LIST_JOBS = auto()
    NOTE_DELIVERY = auto()
    PROGRESS = auto()
    QUEUE = auto()
    RECLAIM = auto()
    RENEW = auto()
    STATUS = auto()
    SUBMIT = auto()
    TOUCH = auto()
    UNSENT = auto()
    WITHDRAW = auto()


@dataclass(frozen=True)
class Source:
    """A script with its prelude, and the name under which Redis keeps it once it has run."""

    text: str
    sha1: str

    @classmethod
    def of(cls, text: str) -> Source:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def load_scripts() -> Mapping[Script, Source]:
    """Every script behind the prelude. All are read at once: an upgrade under a running process must not mix them."""
    folder = files("workers.jobs") / "scripts"
    prelude = folder.joinpath("prelude.lua").read_text(encoding="utf-8")
    return MappingProxyType(
        {one: Source.of(prelude + folder.joinpath(f"{one}.lua").read_text(encoding="utf-8")) for one in Script}
    )
