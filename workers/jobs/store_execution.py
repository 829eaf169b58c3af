"""How a computation is done: claimed, computed under a lease, ended; or taken back from a worker that is gone.

Each write carries the attempt that `claim` gave and is refused once another one holds the computation (fencing).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from workers.errors import JobGone, LutraError, StoreFull
from workers.jobs.job import JobState, Lane
from workers.jobs.lanes import QUEUES
from workers.jobs.records import (
    ADMISSION_HOLD_S,
    TOMBSTONE_S,
    Claim,
    Hold,
    Reclaimed,
    claim_of,
    problem_json,
    text,
)
from workers.jobs.script import Command, Script
from workers.jobs.store_base import CARRIED_BYTES, StoreBase, chunk_count, flat_pairs, named, result_prefix

MAX_LOSSES = 2
WRITTEN, NO_PIECE = 1, 2  # as `finish.lua` answers
SHORT_S = 0.11  # an estimate, of which 0.05 are there for any job: such jobs may be claimed several at once
# What `claim_of` reads.
CLAIMED_FIELDS = ("version", "operation", "model", "request_id", "parameters", "input", "input_chunks", "lane")


@dataclass(frozen=True)
class Wish:
    """What a worker child asks for, once: the next computation of the lane `wanted`, or the one that it is the id of.

    `most`: with a short one further short ones, so many in all, where more wait than there are children.
    """

    wanted: str
    owner: str
    lease_s: float
    timeout_s: float
    most: int = 1
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Success:
    """An end with its result. `chunks`: so many pieces of it are there already; 0: it is one, which goes along.
    `tiles`: how many there were, if that has not been reported.
    """

    claim: Claim
    result: bytes
    output: Mapping[str, Any]
    timings_s: Mapping[str, float]
    chunks: int = 0
    tiles: int = 0

    @property
    def prefix(self) -> str:
        return result_prefix(self.claim.computation_id, self.claim.attempt)

    def words(self) -> list[Any]:
        """As `finish.lua` reads them."""
        output = {**self.output, "bytes": len(self.result), "etag": hashlib.sha256(self.result).hexdigest()}
        fields = {"output": json.dumps(output), "timings_s": json.dumps(self.timings_s)}
        numbers = {"result_attempt": self.claim.attempt, "result_chunks": self.chunks or 1}
        if self.tiles:
            numbers |= {"done": self.tiles, "total": self.tiles}
        return _end_words(self.claim, JobState.SUCCEEDED, {**fields, **numbers}, len(self.result))


@dataclass(frozen=True)
class Ended:
    """Whether an end `is_written`, or the lease was lost before; and what was claimed along with it."""

    is_written: bool
    next: Claim | None = None

    def __bool__(self) -> bool:
        return self.is_written


class Execution(StoreBase):
    """The runner's side, and the reaper's."""

    def claim(
        self, wanted: str, owner: str, *, lease_s: float, timeout_s: float, by_message: bool = True
    ) -> Claim | None:
        """Take the next computation of the lane `wanted`, or the queued one that it is the id of.

        None where none waits there, or it is leased, ended or unknown: the message is to be dropped. What is not taken
        `by_message` takes one off the lane's queue, so that there are no more of them than jobs that wait.
        """
        wish = Wish(wanted, owner, lease_s, timeout_s)
        args = _claim_args(wish, "" if by_message else QUEUES[Lane(wanted)])
        answer, *pictures = self._run_among(Script.CLAIM, *args, after=_taken(wish))
        return _claimed(wish, answer, pictures)

    def read_input(self, claim: Claim) -> bytes:
        """The picture as it came in. Raises JobGone where it is not whole any more."""
        size_bytes = claim.input["bytes"]
        return claim.picture if len(claim.picture) == size_bytes else self._read_pieces(claim, 0, size_bytes)

    def read_table(self, claim: Claim) -> bytes:
        """The numbers of the user's own table, of a job that has one. Raises JobGone where they are not whole."""
        return self._read_pieces(claim, chunk_count(claim.input["bytes"]), claim.parameters["lut"]["bytes"])

    def _read_pieces(self, claim: Claim, first: int, size_bytes: int) -> bytes:
        keys = [f"lutra:in:{claim.computation_id}:{first + i}" for i in range(chunk_count(size_bytes))]
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

    def overrun(self, claim: Claim, seconds: float, express_s: float) -> tuple[int, int]:
        """It takes so many seconds in all by its pace, although it is express: what waits there by its model becomes
        bulk where it would not be express at this pace.

        How many computations did so, which have no message there yet; how many still wait in the express lane.
        """
        moved, waiting = self._run(Script.OVERRUN, claim.computation_id, claim.attempt, seconds, express_s)
        return int(moved), int(waiting)

    def preempt(self, claim: Claim, estimate_s: float, message: bytes) -> Hold:
        """Give it back, to wait in the bulk lane with this estimate; not where it is cancelled or lost."""
        args = [claim.computation_id, claim.attempt, estimate_s, QUEUES[Lane.BULK], message]
        return Hold(self._run(Script.PREEMPT, *args))

    def send(self, lane: Lane, *messages: bytes) -> None:
        """Put messages into a lane; one that is lacking is found missing by the reaper."""
        with self._reaching():
            self.client.lpush(QUEUES[lane], *messages)

    def put_result(self, claim: Claim, result: bytes) -> int:
        """Write the result's pieces under this attempt; nobody sees them before `succeed`. How many there are."""
        return self._write_chunks(result_prefix(claim.computation_id, claim.attempt), result, self._unseen_s)

    @property
    def _unseen_s(self) -> int:
        """How long pieces of a result stay that nobody has been told of."""
        return self.limits.result_ttl_s + ADMISSION_HOLD_S

    def succeed(
        self,
        claim: Claim,
        result: bytes,
        output: Mapping[str, Any],
        timings_s: Mapping[str, float],
        *,
        chunks: int | None = None,
        tiles: int = 0,
        then: Wish | None = None,
    ) -> Ended:
        """Record, event and limits in one step, after the result, unless `put_result` wrote its `chunks` already; with
        0 of them it is one piece, which goes along. A child without a message may claim what it does `then`.

        `tiles`: how many there were, if that has not been reported. Not written where the lease was lost meanwhile; the
        result is dropped then. Raises StoreFull where it has no room.
        """
        if chunks is None:
            chunks = self.put_result(claim, result)
        (answer,), following = self._succeed([Success(claim, result, output, timings_s, chunks, tiles)], then)
        return _ended(answer, following)

    def succeed_all(self, ends: Sequence[Success], then: Wish | None = None) -> tuple[list[bool], Claim | None]:
        """Several ends of one child in one step each, all in one call; `then` as for `succeed`.

        Which of them are written: not where the lease was lost or the result has no room; what was claimed.
        """
        answers, following = self._succeed(ends, then)
        return [answer == WRITTEN for answer in answers], following

    def _succeed(self, ends: Sequence[Success], then: Wish | None) -> tuple[list[int], Claim | None]:
        carried = [end for end in ends if not end.chunks]
        before = [("SET", f"{end.prefix}:0", end.result, "EX", self._unseen_s) for end in carried]
        answers, following = self._finish([end.words() for end in ends], then, before)
        lost = [end for end, answer in zip(ends, answers, strict=True) if not answer]
        if lost:
            self._unlink(f"{end.prefix}:{i}" for end in lost for i in range(end.chunks or 1))
        return answers, following

    def fail(self, claim: Claim, error: LutraError, timings_s: Mapping[str, float], then: Wish | None = None) -> Ended:
        """End as failed with a problem that users may read; `then` as for `succeed`."""
        fields = {"timings_s": json.dumps(timings_s)}
        return self._end(_end_words(claim, JobState.FAILED, fields, problem=problem_json(error)), then)

    def end_cancelled(self, claim: Claim, then: Wish | None = None) -> Ended:
        """End as cancelled, because every job that wanted it was; `then` as for `succeed`."""
        return self._end(_end_words(claim, JobState.CANCELLED, {}), then)

    def _end(self, words: list[Any], then: Wish | None) -> Ended:
        (answer,), following = self._finish([words], then)
        return _ended(answer, following)

    def _finish(
        self, ends: Sequence[list[Any]], then: Wish | None, before: Sequence[Command] = ()
    ) -> tuple[list[int], Claim | None]:
        """`ends`: the words of each. What the script answers of each, and what was claimed along with them."""
        args = [self.limits.result_ttl_s, TOMBSTONE_S, len(ends), *(word for words in ends for word in words)]
        if then is None:
            (answers, _), *_ = self._run_among(Script.FINISH, *args, before=before)
            return answers, None
        args += _claim_args(then, QUEUES[Lane(then.wanted)])
        (answers, claimed), *pictures = self._run_among(Script.FINISH, *args, before=before, after=_taken(then))
        return answers, _claimed(then, claimed, pictures)

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
        verdict, operation, model, error, lane = map(text, answer)
        if verdict == "kept":
            return None
        return Reclaimed(JobState(verdict), operation, model, json.loads(error)["code"] if error else "", Lane(lane))

    def unsent(self, grace_s: float) -> dict[str, Lane]:
        """Computations queued in the store for which a message was sent `grace_s` ago or more, and their lanes.

        It sweeps what has expired, and lines up what a version without lanes has queued.
        """
        answer = [text(word) for word in self._run(Script.UNSENT, grace_s)]
        return {name: Lane(lane) for name, lane in zip(answer[::2], answer[1::2], strict=True)}

    def touch(self, computation_id: str) -> bool:
        """Note that a message is being sent for it now; False where the computation is no longer queued."""
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


def _claim_args(wish: Wish, queue: str) -> list[Any]:
    """As `lease_out` of the scripts takes them. `queue`: that a message is taken off, empty for none."""
    words = [wish.wanted, wish.owner, wish.lease_s, wish.timeout_s, wish.nonce]
    return [*words, queue, CARRIED_BYTES, wish.most, SHORT_S, *CLAIMED_FIELDS]


def _end_words(
    claim: Claim, state: JobState, fields: Mapping[str, Any], result_bytes: int = 0, problem: str = ""
) -> list[Any]:
    """An end as `finish.lua` reads it."""
    words = [claim.computation_id, claim.attempt, state, result_bytes, problem]
    return [*words, len(fields), *flat_pairs(fields)]


def _ended(answer: int, following: Claim | None) -> Ended:
    """Raises StoreFull where the result had no room."""
    if answer == NO_PIECE:
        raise StoreFull("the job store is out of memory")
    return Ended(answer == WRITTEN, following)


def _taken(wish: Wish) -> list[Command]:
    """Fetch the small pictures that `lease_out` has laid ready."""
    return [("GETDEL", f"lutra:taken:{wish.owner}:{place}") for place in range(wish.most)]


def _claimed(wish: Wish, answer: Sequence[Any], pictures: Sequence[bytes | None]) -> Claim | None:
    """The claim out of what `lease_out` answers, with its further ones."""
    if not answer[0]:
        return None
    leases = [answer[:5], *(answer[5] if len(answer) > 5 else ())]  # none further by an id
    first, *others = (_claim(wish, lease, picture) for lease, picture in zip(leases, pictures, strict=False))
    return replace(first, further=tuple(others)) if others else first


def _claim(wish: Wish, lease: Sequence[Any], picture: bytes | None) -> Claim:
    attempt, queue_s, values, jobs, name = lease
    known = {"queue_s": float(queue_s), "timeout_s": wish.timeout_s, "picture": picture or b""}
    return claim_of(text(name), int(attempt), named(CLAIMED_FIELDS, values), jobs, **known)
