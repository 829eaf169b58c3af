"""The store's state changes as Lua scripts: each runs whole or not at all, by Redis' own clock.

Keys (prefix `lutra:`)

    job:<j>            hash      one client's request: its computation, detached, cancelled_at
    comp:<c>           hash      the work: state, attempt, owner, progress, facts, timings, error
    comp:<c>:jobs      set       jobs that wait for it
    in:<c>:<n>         string    input in pieces: picture, table     out:<c>:<attempt>:<n>   result in pieces
    events:<j>         stream    capped; its ids are the ids of the Server-Sent Events
    gone:<j>           string    tombstone: why (1: its time was over; deleted, delivered, told) and whose it was
    active             zset      computation -> end of its hold; its size is what QUEUE_SIZE limits
    queued             zset      computation -> time of creation      running   zset   computation -> end of its lease
    blobs, blob_sizes, blob_bytes      who holds how many bytes (pictures, records, events) until when, and their sum
    delivered          zset      computation whose end reached all its clients -> when; may go where room is needed
    alive              zset      worker child -> last heartbeat        child_facts   hash   what it reported of itself
    served             zset      place of a worker -> when a child of it was last alive
    returning          zset      place of a worker whose child loads -> until when jobs are admitted in the hope of it
    rate:<client>:<b>  hash      a token bucket: what is left in it, and when that was; gone once it is full
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
    NOTE_DELIVERY = auto()
    PROGRESS = auto()
    QUEUE = auto()
    RECLAIM = auto()
    RENEW = auto()
    STATUS = auto()
    SUBMIT = auto()
    TAKE = auto()
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
