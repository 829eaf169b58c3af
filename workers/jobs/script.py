"""The store's state changes as Lua scripts: each runs whole or not at all, by Redis' own clock.

Keys (prefix `lutra:`)

    job:<j>            hash      one client's request: its computation, detached, left, how it came to it (cache)
    comp:<c>           hash      the work: state, attempt, owner, progress, facts, timings, error
    comp:<c>:jobs      set       jobs that wait for it
    in:<c>:<n>         string    input in pieces: picture, table     out:<c>:<attempt>:<n>   result in pieces
    taken:<child>:<n>  string    a small picture, laid ready by a script for the command that comes after it
    checkpoint:<c>     list      of a result that is not finished: the plan it is computed by, then pieces of samples
    checkpoints        hash      computation -> bytes of these pieces
    events:<j>         stream    capped; its ids are the ids of the Server-Sent Events
    gone:<j>           string    tombstone: why (1: its time was over; deleted, delivered, told) and whose it was
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
    child_lanes        hash      worker child -> the lane in whose number it counts
    holders            hash      computation -> its lane and client, from its admission until its last byte is gone
    active:<l>, held:<client>      zsets as `active`, of one lane and of one client
    held_bytes         hash      client -> bytes of `blob_bytes`
    line:<l>:<client>  zset      what a client has waiting in a lane, by time of creation
    round:<l>          zset      client that waits in the lane -> its account      rested:<l>   the same of who has left
    clocks             hash      lane -> the account at which it stands
    rate:<client>:<b>  hash      a token bucket: what is left in it, and when that was; gone once it is full
    rates              hash      how fast each model is here, as `workers.operations.speeds` writes it

No command newer than Redis 6.2. ARGV alone is used: this is not for a Redis cluster (nor is Celery).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Generic, TypeVar

PRELUDE = ("clock", "lanes", "prelude", "claims")  # in this order, what of them a script uses stands before it
_DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_WORD = re.compile(r"\w+")
AGAIN = b"again"  # of a script that did a part of its work and is to be run once more

Command = tuple[Any, ...]  # of Redis: its name, then its arguments

T = TypeVar("T")


class Script(StrEnum):
    """The scripts by the names of their files in `scripts/`."""

    ADMIT = auto()
    BEAT = auto()
    CANCEL = auto()
    CHECKPOINT = auto()
    CLAIM = auto()
    FINISH = auto()
    FREE_KEY = auto()
    HOLD_KEY = auto()
    LIST_JOBS = auto()
    NEWS = auto()
    NOTE_DELIVERY = auto()
    OVERRUN = auto()
    PREEMPT = auto()
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
class Call(Generic[T]):
    """A script, its arguments, and `read`, which makes of its answer what that means, or raises.

    Commands are sent along with it, `before` and `after`; `read` is given the answers to the latter, too. It is not
    said here how it gets to Redis: from a thread that waits (`StoreBase`) or from an event loop (`Pipeline`).
    """

    script: Script
    args: Sequence[Any]
    read: Callable[..., T]
    before: Sequence[Command] = ()
    after: Sequence[Command] = ()


@dataclass(frozen=True)
class Lookup(Generic[T]):
    """Commands that change nothing, sent together without a script, and `read`, which makes of their answers what they
    mean. Others may come between them: what they are asked by has to be found in the answers, or `read` is to notice.
    """

    commands: Sequence[Command]
    read: Callable[..., T]


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
    """Every script behind its prelude. All are read at once: an upgrade under a running process must not mix them."""
    folder = files("workers.jobs") / "scripts"

    def read(name: str) -> str:
        return folder.joinpath(f"{name}.lua").read_text(encoding="utf-8")

    parts = [part for name in PRELUDE for part in read(name).split("\n\n")]
    return MappingProxyType({one: Source.of(with_prelude(read(one), parts)) for one in Script})


def with_prelude(script: str, parts: Sequence[str]) -> str:
    """The script behind those parts whose definitions it uses, or they use of one another, in their order.

    A part is what stands between two empty lines. Each function that is defined costs each call of the script.
    """
    used, kept = set(_WORD.findall(script)), [script]
    for part in reversed(parts):
        if used.intersection(_DEFINED.findall(part)):
            used.update(_WORD.findall(part))
            kept.append(part)
    return "\n\n".join(reversed(kept))
