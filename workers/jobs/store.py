"""The only truth about jobs and computations, in Redis: records, pictures in pieces, events, leases, limits.

Each change of state is one Lua script (`workers.jobs.script`), so that a record, its event, its place in the queue
and its bytes never disagree. A worker's writes carry the attempt it was given and are refused once another holds it
(fencing). It sends and receives no Celery message and never looks inside a picture.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.errors import (
    JobGone,
    JobUnknown,
    LutraError,
    NoWorker,
    QueueFull,
    StoreFull,
    StoreUnavailable,
    TooManyPixels,
)
from workers.jobs.connections import keepalive_options
from workers.jobs.job import Job, JobState, JobStatus
from workers.jobs.records import (
    CancelOutcome,
    Claim,
    Event,
    Hold,
    Limits,
    QueueFacts,
    Reclaimed,
    computation_fields,
    number,
    problem_json,
    status_of,
    text,
)
from workers.jobs.script import Script, load_scripts

CHUNK_BYTES = 4 * 1024**2
PIECE_BYTES = 512 * 1024  # of a result on its way: what a client that reads slowly holds of the gateway's memory
WAKE_CHANNEL = "lutra:wake"
TOMBSTONE_S = 24 * 3600
PENDING_TTL_S = 7 * 24 * 3600
ADMISSION_HOLD_S = 60
HEARTBEAT_TTL_S = 10
RETURN_S = 60
HEALTH_CHECK_S = 5
MAX_LOSSES = 2
LATER = 1e12  # a time that means: no end is known yet
RECORD_BYTES = 8 * 1024  # of Redis' memory, for the record and events of a job until its end measures them
WHY_GONE = {
    b"deleted": "this job was deleted, and its result with it",
    b"delivered": "the result of this job was delivered and has made room for new jobs since",
    b"told": "this job ended without a result, which was told, and has made room for new jobs since",
}


def connect(url: str, *, timeout_s: float, max_connections: int = 64) -> redis.Redis:
    """A client whose calls fail after `timeout_s` instead of hanging; `url` is redis://, rediss:// or unix://.

    What fails on one connection is tried once more on a fresh one: each script and command here may run twice.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": HEALTH_CHECK_S,
        "socket_keepalive": True,
        "socket_keepalive_options": keepalive_options(),
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [redis.ConnectionError],
        "max_connections": max_connections,
        "protocol": 2,
    }
    if url.startswith("unix:"):
        for tcp_only in ("socket_connect_timeout", "socket_keepalive", "socket_keepalive_options"):
            del options[tcp_only]
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, timeout=timeout_s, **options))


def _result_prefix(computation_id: str, attempt: int) -> str:
    return f"lutra:out:{computation_id}:{attempt}"


def _chunks_of(size_bytes: int) -> int:
    return max(1, -(-size_bytes // CHUNK_BYTES))


def _mapping(flat: list[bytes]) -> dict[bytes, bytes]:
    """A hash as a script returns it: fields and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _pairs(fields: Mapping[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


class Store:
    """Everything the gateway and the workers know of each other. Safe to share between threads.

    `breaker_s`: after a time-out, further calls fail at once for so long; the gateway sets it so that a Redis that
    hangs does not tie up its threads.
    """

    def __init__(self, client: redis.Redis, limits: Limits | None = None, *, breaker_s: float = 0.0) -> None:
        self.client = client
        self.limits = limits or Limits()
        self._breaker_s = breaker_s
        self._down_until = 0.0
        self._scripts = load_scripts()

    @classmethod
    def at(cls, url: str, limits: Limits | None = None, *, timeout_s: float = 2.0, breaker_s: float = 0.0) -> Store:
        """A store on the Redis at `url`."""
        return cls(connect(url, timeout_s=timeout_s), limits, breaker_s=breaker_s)

    def close(self) -> None:
        self.client.close()
        self.client.connection_pool.disconnect()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Redis' errors as ours, and the breaker."""
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("the job store does not answer")
        try:
            yield
        except redis.ResponseError as error:
            if not isinstance(error, redis.OutOfMemoryError) and "OOM" not in str(error):
                raise
            raise StoreFull("the job store is out of memory") from error
        except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
            self._down_until = time.monotonic() + self._breaker_s
            raise StoreUnavailable("the job store does not answer") from error

    def _run(self, script: Script, *args: Any) -> Any:
        """Run one script, by its name where Redis knows it; a restart or SCRIPT FLUSH makes it forget."""
        source = self._scripts[script]
        with self._reaching():
            try:
                return self.client.evalsha(source.sha1, 0, *args)
            except redis.exceptions.NoScriptError:
                return self.client.eval(source.text, 0, *args)

    # -- the gateway's side ------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Raises StoreUnavailable where Redis does not answer."""
        with self._reaching():
            self.client.ping()

    def put(self, job: Job, data: bytes, *, result_bytes: int, table: bytes = b"") -> None:
        """Admit a job and store its input and record; `result_bytes` is what its result will hold, by estimate.

        `table`: the numbers of the user's own, whose facts are the parameter `lut`; they lie behind the picture, in
        pieces of their own, and share its life. Raises NoWorker, QueueFull or StoreFull, and then stores nothing.
        """
        computation = job.computation
        size_bytes = len(data) + len(table) + result_bytes + RECORD_BYTES
        self._refuse_what_never_fits(size_bytes)
        self._admit(computation.id, size_bytes)
        prefix = f"lutra:in:{computation.id}"
        try:
            chunks = self._write_chunks(prefix, data, ADMISSION_HOLD_S)
            if table:
                chunks += self._write_chunks(prefix, table, ADMISSION_HOLD_S, first=chunks)
            self._submit(job, chunks)
        except LutraError:
            self.withdraw(job)
            raise

    def _refuse_what_never_fits(self, size_bytes: int) -> None:
        limit = self.limits.store_bytes
        if size_bytes > limit:
            seen = f"picture and result need about {size_bytes} bytes of the store, which holds {limit}"
            raise TooManyPixels(f"{seen}: ask for a smaller picture or a lossy format", limit=limit)

    def _admit(self, computation_id: str, size_bytes: int) -> None:
        limits = self.limits
        args = [computation_id, size_bytes, limits.queue_size, limits.store_bytes, ADMISSION_HOLD_S, HEARTBEAT_TTL_S]
        answer = "again"
        while answer == "again":  # so many small results make room that they go some at a time
            answer = text(self._run(Script.ADMIT, *args, int(limits.evict_delivered)))
        if answer == "no_worker":
            raise NoWorker("no worker is alive to take the job")
        if answer == "queue_full":
            full = f"the queue is full: {limits.queue_size} jobs are waiting or running"
            raise QueueFull(full, limit=limits.queue_size)
        if answer == "store_full":
            raise StoreFull("no room for another picture until results expire", limit=limits.store_bytes)

    def _submit(self, job: Job, chunks: int) -> None:
        record = computation_fields(job.computation, chunks, job.request_id)
        request = {"detached": int(job.detached), "request_id": job.request_id}
        args = [job.computation.id, job.id, PENDING_TTL_S, TOMBSTONE_S, len(record)]
        self._run(Script.SUBMIT, *args, *_pairs(record), *_pairs(request))

    def withdraw(self, job: Job) -> None:
        """Undo `put` for a job that could not be sent; a store that does not answer is left to its sweep."""
        try:
            self._run(Script.WITHDRAW, job.computation.id, job.id)
        except StoreUnavailable:
            return

    def status(self, job_id: str, *, detach: bool = False) -> JobStatus:
        """The job as it stands; `detach`: it was read by id and so outlives the connection that made it.

        Raises JobUnknown, or JobGone after its time to live.
        """
        job, computation, gone = self._run(Script.STATUS, job_id, int(detach))
        if not job or not computation:
            raise self._missing(gone)
        return status_of(job_id, _mapping(job), _mapping(computation))

    @staticmethod
    def _missing(gone: bytes | None) -> LutraError:
        """What is told of a job without a record; `gone` is its tombstone."""
        if gone is None:
            return JobUnknown("no job has this id")
        return JobGone(WHY_GONE.get(gone, "this job and its result have expired"))

    def cancel(self, job_id: str, *, only_if_attached: bool = False) -> CancelOutcome:
        """Cancel a job. Raises JobUnknown, JobGone.

        One that succeeded or failed is removed at once with its bytes, unless `only_if_attached`. A result that other
        jobs share stays for them. To cancel what was cancelled changes nothing.
        """
        answer = self._run(Script.CANCEL, job_id, int(only_if_attached), self.limits.result_ttl_s, TOMBSTONE_S)
        if answer:
            return CancelOutcome(text(answer[0]))
        with self._reaching():
            raise self._missing(cast("bytes | None", self.client.get(f"lutra:gone:{job_id}")))

    def note_delivery(self, *job_ids: str) -> None:
        """The whole result, or the problem, has reached each job's client, in this order: it may go to make room."""
        self._run(Script.NOTE_DELIVERY, *job_ids)

    def events(self, job_id: str, after: str = "0") -> list[Event]:
        """The job's events later than the id `after`, oldest first."""
        with self._reaching():
            entries = cast("list[Any]", self.client.xrange(f"lutra:events:{job_id}", min=f"({after}", max="+"))
        return [Event(text(id_), text(fields[b"kind"]), text(fields[b"data"])) for id_, fields in entries]

    def read_result(self, status: JobStatus, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) of a succeeded job's result, in pieces of at most PIECE_BYTES."""
        size = int((status.output or {})["bytes"])
        stop = size if stop is None else min(stop, size)
        yield from self._read_range(_result_prefix(status.computation_id, status.result_attempt), start, stop)

    def queue(self, until: str = "") -> QueueFacts:
        """The queue, the workers and the bytes held at this moment; `until`: the computation that is asked about."""
        queued, running, active, oldest, alive, stored, work, room, now = self._run(
            Script.QUEUE, HEARTBEAT_TTL_S, until
        )
        since, room_at = number(oldest), number(room)
        age = max(0.0, float(now) - since) if since is not None else 0.0
        room_s = room_at - float(now) if room_at is not None and room_at < LATER else None
        return QueueFacts(queued, running, active, age, alive, int(stored), float(work), room_s)

    def rates(self) -> dict[str, str]:
        """What `keep_rate` was given last under each key, and whatever older versions kept there."""
        with self._reaching():
            found = cast("dict[bytes, bytes]", self.client.hgetall("lutra:rates"))
        return {text(key): text(rate) for key, rate in found.items()}

    def children(self) -> dict[str, dict[str, Any]]:
        """Facts of each worker child with a live heartbeat, by its name."""
        with self._reaching():
            now = float(self.client.time()[0])
            alive = cast("list[bytes]", self.client.zrangebyscore("lutra:alive", now - HEARTBEAT_TTL_S, "+inf"))
            facts = cast("list[bytes | None]", self.client.hmget("lutra:child_facts", alive)) if alive else []
        return {text(name): json.loads(fact) for name, fact in zip(alive, facts, strict=True) if fact}

    # -- the workers' side -------------------------------------------------------------------------------------------

    def claim(self, computation_id: str, owner: str, *, lease_s: float, timeout_s: float) -> Claim | None:
        """Take a queued computation; None where it is leased, ended or unknown, and the message is to be dropped."""
        attempt, *told = self._run(Script.CLAIM, computation_id, owner, lease_s, timeout_s, secrets.token_hex(8))
        if not attempt:
            return None
        queue_s, record, jobs = told[0], _mapping(told[1]), sorted(told[2])
        return Claim(
            computation_id,
            int(attempt),
            text(record[b"operation"]),
            text(record[b"model"]),
            json.loads(record[b"parameters"]),
            json.loads(record[b"input"]),
            int(record[b"input_chunks"]),
            float(queue_s),
            timeout_s,
            text(record[b"request_id"]),
            text(jobs[0]) if jobs else "",
        )

    def read_input(self, claim: Claim) -> bytes:
        """The picture as it came in. Raises JobGone where it is not whole any more."""
        return self._read_pieces(claim, 0, claim.input["bytes"])

    def read_table(self, claim: Claim) -> bytes:
        """The numbers of the user's own table, of a job that has one. Raises JobGone where they are not whole."""
        return self._read_pieces(claim, _chunks_of(claim.input["bytes"]), claim.parameters["lut"]["bytes"])

    def _read_pieces(self, claim: Claim, first: int, size_bytes: int) -> bytes:
        keys = [f"lutra:in:{claim.computation_id}:{first + i}" for i in range(_chunks_of(size_bytes))]
        with self._reaching():
            chunks = [self.client.get(key) for key in keys]
        data = b"".join(cast("bytes", chunk) for chunk in chunks if chunk is not None)
        if len(data) != size_bytes:
            raise JobGone("the input of this job is gone")
        return data

    def renew(self, claim: Claim, *, lease_s: float) -> Hold:
        """Prolong the lease, never past the deadline."""
        return Hold(self._run(Script.RENEW, claim.computation_id, claim.attempt, lease_s))

    def progress(self, claim: Claim, done: int, total: int) -> Hold:
        """Note how many tiles of how many are done."""
        return Hold(self._run(Script.PROGRESS, claim.computation_id, claim.attempt, done, total))

    def put_result(self, claim: Claim, result: bytes) -> int:
        """Write the result's pieces under this attempt; nobody sees them before `succeed`. How many there are."""
        ttl_s = self.limits.result_ttl_s + ADMISSION_HOLD_S
        return self._write_chunks(_result_prefix(claim.computation_id, claim.attempt), result, ttl_s)

    def succeed(
        self,
        claim: Claim,
        result: bytes,
        output: Mapping[str, Any],
        timings_s: Mapping[str, float],
        *,
        chunks: int | None = None,
        tiles: int = 0,
    ) -> bool:
        """Record, event and limits in one step, after the result (unless `put_result` wrote its `chunks` already).

        `tiles`: how many there were, if that has not been told. False where the lease was lost meanwhile; the result is
        dropped then.
        """
        chunks = self.put_result(claim, result) if chunks is None else chunks
        output = {**output, "bytes": len(result), "etag": hashlib.sha256(result).hexdigest()}
        fields = {"output": json.dumps(output), "timings_s": json.dumps(timings_s)}
        numbers = {"result_attempt": claim.attempt, "result_chunks": chunks}
        if tiles:
            numbers |= {"done": tiles, "total": tiles}
        if self._finish(claim, JobState.SUCCEEDED, len(result), "", {**fields, **numbers}):
            return True
        prefix = _result_prefix(claim.computation_id, claim.attempt)
        self._unlink(f"{prefix}:{i}" for i in range(chunks))
        return False

    def fail(self, claim: Claim, error: LutraError, timings_s: Mapping[str, float]) -> bool:
        """End as failed with a problem that users may read; False where the lease was lost meanwhile."""
        return self._finish(claim, JobState.FAILED, 0, problem_json(error), {"timings_s": json.dumps(timings_s)})

    def end_cancelled(self, claim: Claim) -> bool:
        """End as cancelled, because every job that wanted it was."""
        return self._finish(claim, JobState.CANCELLED, 0, "", {})

    def _finish(self, claim: Claim, state: JobState, size: int, error: str, fields: Mapping[str, Any]) -> bool:
        args = [claim.computation_id, claim.attempt, state, self.limits.result_ttl_s, TOMBSTONE_S, size, error]
        return bool(self._run(Script.FINISH, *args, *_pairs(fields)))

    def keep_rate(self, key: str, rate: str) -> None:
        """Remember how fast a model is here (`operations.speeds`). Of two writers the later one counts."""
        with self._reaching():
            self.client.hset("lutra:rates", key, rate)

    def beat(
        self, children: Mapping[str, Mapping[str, Any] | None], *, place: str = "", is_loading: bool = False
    ) -> None:
        """These children live; facts None keeps what they told before (a child that never told any is not counted).

        `is_loading`: another child of this `place` is loading its models. For RETURN_S after a child of the place was
        last alive, jobs are admitted in the hope of it.
        """
        pairs = {name: "" if facts is None else json.dumps(facts) for name, facts in children.items()}
        self._run(Script.BEAT, HEARTBEAT_TTL_S, RETURN_S, place, int(is_loading), *_pairs(pairs))

    def worker_returns(self) -> bool:
        """True where a worker that was alive a moment ago is loading its models again: jobs are admitted meanwhile."""
        with self._reaching():
            now = float(self.client.time()[0])
            return bool(self.client.zcount("lutra:returning", now, "+inf"))

    def messages(self, queue: str) -> int:
        """How many messages wait in a queue of Celery's."""
        with self._reaching():
            return int(self.client.llen(queue))

    def forget_children(self, names: Iterable[str]) -> None:
        """These children are gone."""
        names = list(names)
        if not names:
            return
        with self._reaching():
            self.client.zrem("lutra:alive", *names)
            self.client.hdel("lutra:child_facts", *names)

    # -- the reaper's side -------------------------------------------------------------------------------------------

    def running(self) -> dict[str, str]:
        """Every running computation and the child that holds it."""
        with self._reaching():
            names = [text(name) for name in cast("list[bytes]", self.client.zrange("lutra:running", 0, -1))]
            pipe = self.client.pipeline(transaction=False)
            for name in names:
                pipe.hget(f"lutra:comp:{name}", "owner")
            owners = pipe.execute()
        return {name: text(owner or "") for name, owner in zip(names, owners, strict=True)}

    def reclaim(
        self, computation_id: str, owner: str, lost: LutraError, timeout: LutraError, *, blame: bool = True
    ) -> Reclaimed | None:
        """Take back what `owner` (empty: whoever's lease has ended) held; `blame`: the MAX_LOSSES-th time fails it.

        None where that holds nothing of it, or its lease has not ended: then nothing is changed.
        """
        args = [computation_id, owner, self.limits.result_ttl_s, TOMBSTONE_S, MAX_LOSSES if blame else 0]
        answer = self._run(Script.RECLAIM, *args, problem_json(lost), problem_json(timeout))
        verdict, operation, model, error = map(text, answer)
        if verdict == "kept":
            return None
        return Reclaimed(JobState(verdict), operation, model, json.loads(error)["code"] if error else "")

    def unsent(self, grace_s: float) -> list[str]:
        """Computations queued in the store whose message was sent more than `grace_s` ago; sweeps what has expired."""
        return [text(name) for name in self._run(Script.UNSENT, grace_s)]

    def touch(self, computation_id: str) -> bool:
        """Note that a message is being sent now; False where the computation is no longer queued."""
        return bool(self._run(Script.TOUCH, computation_id))

    def try_lock(self, name: str, owner: str, seconds: float) -> bool:
        """True where `owner` holds the lock `name` for the next `seconds`, newly or still."""
        key, ttl_ms = f"lutra:lock:{name}", int(seconds * 1000)
        with self._reaching():
            if self.client.set(key, owner, nx=True, px=ttl_ms):
                return True
            holder = self.client.get(key)
            if holder is None or text(holder) != owner:
                return False
            return bool(self.client.pexpire(key, ttl_ms))

    # -- pieces ------------------------------------------------------------------------------------------------------

    def _write_chunks(self, prefix: str, data: bytes, ttl_s: int, first: int = 0) -> int:
        """How many there are. What a full store took in part is given back, so that it does not fill it."""
        view = memoryview(data)
        count = _chunks_of(len(data))
        try:
            with self._reaching():
                for i in range(count):
                    piece = bytes(view[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES])
                    self.client.set(f"{prefix}:{first + i}", piece, ex=ttl_s)
        except StoreFull:
            self._unlink(f"{prefix}:{first + i}" for i in range(count))
            raise
        return count

    def _read_range(self, prefix: str, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            chunk, first = divmod(start, CHUNK_BYTES)
            size = min(PIECE_BYTES, CHUNK_BYTES - first, stop - start)
            with self._reaching():
                piece = cast("bytes", self.client.getrange(f"{prefix}:{chunk}", first, first + size - 1))
            if len(piece) != size:
                raise JobGone("this job and its result have expired")
            yield piece
            start += size

    def _unlink(self, keys: Iterable[str]) -> None:
        with self._reaching():
            self.client.unlink(*keys)
