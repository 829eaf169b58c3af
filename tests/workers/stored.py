"""Jobs in a store and what becomes of them, for the tests of the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tests.living import memory_of
from workers.errors import JobTimeout, WorkerLost
from workers.jobs.job import Computation, Job, Lane, PictureFacts, new_id
from workers.jobs.lanes import QUEUES
from workers.jobs.records import Claim, Reclaimed
from workers.jobs.store import Store

LOST, LATE = WorkerLost("lost"), JobTimeout("late")
OUTPUT = {"format": "png", "width": 2, "height": 2, "media_type": "image/png"}


def make_job(
    data: bytes = b"picture", estimate_s: float = 1.0, lane: Lane = Lane.BULK, key: str = "", **options: object
) -> Job:
    """`key`: what makes its computation equal to another one; empty: equal to none."""
    facts = PictureFacts("png", 1, 1, len(data))
    wanted = {"scale": "2", "format": "png"}
    computation = Computation(new_id(), key or new_id(), "upscale", "bicubic", wanted, facts, estimate_s, lane)
    return Job(new_id(), computation, **options)  # type: ignore[arg-type]


def put(store: Store, data: bytes = b"picture", message: bytes = b"", **options: Any) -> Job:
    job = make_job(data, **options)
    store.put(job, data, result_bytes=100, message=message)
    return job


def queued_ids(store: Store) -> set[str]:
    """Computations that wait."""
    return {name.decode() for name in cast("list[bytes]", store.client.zrange("lutra:queued", 0, -1))}


def messages(store: Store, lane: Lane = Lane.BULK) -> int:
    return store.messages(QUEUES[lane])


def claim(store: Store, job: Job, owner: str = "test:1", lease_s: float = 30, timeout_s: float = 60) -> Claim:
    taken = store.claim(job.computation.id, owner, lease_s=lease_s, timeout_s=timeout_s)
    assert taken is not None
    return taken


def weight_of_records(store: Store) -> int:
    """What Redis says that records, events and tombstones take."""
    kept = ("lutra:job:", "lutra:comp:", "lutra:events:", "lutra:gone:")
    return memory_of(store, *(key for name in kept for key in store.client.keys(f"{name}*")))


async def no_news(watches: object) -> list[int]:
    """What a store says of those who wait, where they have missed nothing."""
    return []


def reclaim(store: Store, job: Job, owner: str = "", *, blame: bool = True) -> Reclaimed:
    taken = store.reclaim(job.computation.id, owner, LOST, LATE, blame=blame)
    assert taken is not None
    return taken


def kinds(store: Store, job: Job) -> list[str]:
    return [event.kind for event in store.events(job.id)]


def everything(store: Store) -> bytes:
    """All that Redis holds, keys and values, whatever their kind."""
    keys = cast("list[bytes]", store.client.keys("*"))
    read: dict[object, Callable[[bytes], Any]] = {
        b"string": store.client.get,
        b"hash": store.client.hgetall,
        b"set": store.client.smembers,
        b"zset": lambda key: store.client.zrange(key, 0, -1, withscores=True),
        b"stream": store.client.xrange,
        b"list": lambda key: store.client.lrange(key, 0, -1),
    }
    found = b""
    for key in keys:
        value = read[store.client.type(key)](key)
        found += key + (value if isinstance(value, bytes) else repr(value).encode())
    return found
