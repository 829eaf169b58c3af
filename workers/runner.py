"""One computation from `queued` to a terminal state: claim, read, decode, infer, encode, write.

What holds and ends it is its `Attempt`; here is what is computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from models.cards import OWN_LUT, Card
from workers import metrics
from workers.attempt import Attempt, with_retry
from workers.engine.engine import Engine
from workers.errors import InternalError, JobCancelled, LutraError, OutOfMemory, Preempted, Unavailable
from workers.group_commit import GroupCommit
from workers.jobs.checkpoints import StoredCheckpoint
from workers.jobs.job import Lane
from workers.jobs.lease import LeaseLost
from workers.jobs.records import LEASE_S, Claim, readable
from workers.jobs.store import Store
from workers.jobs.store_base import CARRIED_BYTES
from workers.jobs.store_execution import Wish
from workers.log import Log, about
from workers.metrics import labelled
from workers.operations import OPERATIONS, speeds
from workers.operations.operation import Colour, Encoded, Operation, Work
from workers.operations.way import compute
from workers.pictures.decoder import MOST_AHEAD, Decoder
from workers.pictures.picture import Picture

SPEEDS_AGE_S = 5.0  # of what the engine knows of them: a speed is the median of several jobs
LEARN_EVERY_S = 1.0  # of one model: to read and write what was learnt costs as much as a job of milliseconds

log = Log(__name__)


class EngineMetrics:
    """The engine's observer: counts tiles, batches and retries."""

    def tiles(self, model: str, count: int) -> None:
        labelled(metrics.TILES, model).inc(count)

    def batch(self, model: str, size: int) -> None:
        labelled(metrics.BATCH_SIZE, model).observe(size)

    def oom_retry(self, model: str) -> None:
        metrics.OOM_RETRIES.labels(model).inc()

    def nonfinite_retry(self, model: str) -> None:
        metrics.NONFINITE_RETRIES.labels(model).inc()


class Runner:
    """Runs computations on one engine. `owner` names this child in the store; `express_s`: the border of the lanes."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        *,
        owner: str,
        job_timeout_s: float,
        max_pixels: int,
        operations: Mapping[str, Operation[Any, Any]] = OPERATIONS,
        is_walled: bool = True,
        express_s: float = 0.0,
    ) -> None:
        self._store = store
        self._engine = engine
        self._owner = owner
        self._job_timeout_s = job_timeout_s
        self._max_pixels = max_pixels
        self._cards: dict[str, Card] = {OWN_LUT.name: OWN_LUT}
        self._operations = operations
        self._express_s = express_s
        self._decoder = Decoder(is_walled=is_walled)
        self._learnt_at: dict[str, float] = {}
        self._told_at = -SPEEDS_AGE_S

    def close(self) -> None:
        self._decoder.close()

    def run(self, wanted: str, goes_on: Callable[[], bool] = lambda: False) -> None:
        """Bring one computation to its end: the next of the lane `wanted`, or the one whose id that is.

        Where none waits, or that one is leased, ended or unknown, nothing is done: the message is to be dropped. As
        long as it `goes_on` the next of that lane is claimed along with each end, and done as well; of short express
        jobs a few at once, where many wait.
        """
        options: dict[str, Any] = {"lease_s": LEASE_S, "timeout_s": self._job_timeout_s}
        claim = with_retry(lambda: self._store.claim(wanted, self._owner, **options))
        if claim is None:
            log.debug("nothing is there to do", wanted=wanted)
        while claim is not None:
            wish = Wish(wanted, self._owner, **options, most=MOST_AHEAD if wanted == Lane.EXPRESS else 1)

            def then(wish: Wish = wish) -> Wish | None:
                return wish if goes_on() else None

            if claim.further:
                claim = self._run_group((claim, *claim.further), then)
            else:
                attempt = Attempt(self._store, claim, then, self._express_s)
                with self._at_work(attempt):
                    self._run(attempt)
                claim = attempt.next

    def _run_group(self, claims: Sequence[Claim], then: Callable[[], Wish | None]) -> Claim | None:
        """One after the other, each under its lease from the start; what was claimed along with their ends."""
        attempts = [Attempt(self._store, claim, express_s=self._express_s) for claim in claims]
        with ExitStack() as leases, GroupCommit(self._store) as group:
            for attempt in attempts:
                leases.enter_context(attempt.lease)
            self._send_ahead(claims)
            for attempt in attempts:
                with self._at_work(attempt):
                    attempt.begin()
                    self._run(attempt, group)
            return group.write(then())

    def _send_ahead(self, claims: Sequence[Claim]) -> None:
        """To the decoder, where all are alike; else each goes there in its turn."""
        colours = {known.colour if (known := self._operations.get(claim.operation)) else None for claim in claims}
        colour = colours.pop()
        if colour is None or colours or not all(claim.picture and not claim.problem for claim in claims):
            return
        try:
            self._decoder.send_ahead([claim.picture for claim in claims], colour=colour, max_pixels=self._max_pixels)
        except (LutraError, MemoryError):
            log.warning("pictures could not be sent ahead")

    @contextmanager
    def _at_work(self, attempt: Attempt) -> Iterator[None]:
        claim = attempt.claim
        in_progress = labelled(metrics.JOBS_IN_PROGRESS, claim.operation)
        with about(job_id=claim.job_id, request_id=claim.request_id), in_progress.track_inprogress():
            yield

    def _run(self, attempt: Attempt, group: GroupCommit | None = None) -> None:
        """`group`: where successes are put whose results are small."""
        claim = attempt.claim
        try:
            if claim.problem:
                raise claim.problem
            with attempt.lease:
                attempt.lease.look()
                result = self._compute(attempt)
                if group and len(result.data) <= CARRIED_BYTES:
                    group.add(attempt, result)
                else:
                    attempt.write_result(result)
                    attempt.succeed(result)
        except LeaseLost:
            log.warning("lease lost, result dropped", attempt=claim.attempt)
        except JobCancelled:
            attempt.cancel()
        except Preempted:
            attempt.give_way()
        except LutraError as error:
            attempt.fail(error)
        except MemoryError:
            log.warning("no memory for a job", operation=claim.operation, model=claim.model, input=dict(claim.input))
            attempt.fail(OutOfMemory("there is not enough memory here for this picture"))
        except Exception:
            log.exception("job failed by our fault", operation=claim.operation, model=claim.model)
            attempt.fail(InternalError("something went wrong on our side"))
        finally:
            self._decoder.tidy()
        if attempt.is_speed_sample and attempt.work:
            self._learn(attempt, attempt.work, attempt.timings_s.get("infer", 0.0), attempt.lease.share_done)

    def _compute(self, attempt: Attempt) -> Encoded:
        claim = attempt.claim
        work = attempt.work = self._work(claim)
        attempt.lease.allotment.teach = partial(self._learn, attempt, work)
        inputs = [self._read(claim, self._store.read_input)]

        def decode(colour: Colour) -> Picture:
            picture = self._decoder.decode(
                inputs.pop(),
                colour=colour,
                max_pixels=self._max_pixels,
                pixels=claim.input["width"] * claim.input["height"],
                check=attempt.lease.look,
            )
            attempt.is_deep = picture.pixels.itemsize > 1
            return picture

        self._tell_speeds()
        return compute(work, self._engine, decode, attempt)

    def _work(self, claim: Claim) -> Work[Any]:
        """What the record asks for, with the table that the user sent along. Raises RecordUnreadable."""
        with readable(claim.version):
            operation = self._operations[claim.operation]
            parameters = operation.parameters.model_validate(dict(claim.parameters))
        numbers = self._read(claim, self._store.read_table) if operation.has_table(parameters) else b""
        table = operation.table_of(parameters, numbers)
        return Work(operation, claim.model, parameters, table, StoredCheckpoint(self._store, claim))

    def _read(self, claim: Claim, read: Callable[[Claim], bytes]) -> bytes:
        """What came in with the job. A store that never answers leaves it to whoever holds the lease after that."""
        data = with_retry(lambda: read(claim))
        if data is None:
            raise LeaseLost
        return data

    def _tell_speeds(self) -> None:
        """To the engine, whose tiles follow them: SPEEDS_AGE_S old at most, older where the store does not answer."""
        now = time.monotonic()
        if now - self._told_at < SPEEDS_AGE_S:
            return
        self._told_at = now
        try:
            stored = self._store.rates()
        except Unavailable:
            log.warning("speeds could not be read")
            return
        self._engine.use_speeds(speeds.every(map(self._card, self._engine.loaded()), stored))

    def _learn(self, attempt: Attempt, work: Work[Any], infer_s: float, share: float = 1.0) -> None:
        """What a megapixel of this model costs here, from a job that succeeded, ran out of time or gave way, and
        computes a `share` of its pixels in `infer_s`; of many short ones from one every LEARN_EVERY_S.

        Of one that was disturbed, or that an attempt before has begun, this one's time says nothing.
        """
        now = time.monotonic()
        is_known = now - self._learnt_at.get(work.model, -LEARN_EVERY_S) < LEARN_EVERY_S
        if is_known or attempt.is_disturbed or (work.keeper and work.keeper.was_read):
            return
        size = attempt.claim.input["height"], attempt.claim.input["width"]
        try:
            card = self._card(work.model)
            pixels = work.operation.computed_pixels(card, size, work.parameters) * share
            told = speeds.told_by(card, size, pixels, infer_s, share)
            if told is None:
                return
            self._learnt_at[work.model] = now
            served = [self._card(name) for name in self._engine.loaded()]
            speed = speeds.learn(card, served, self._store.rates(), told)
            if speed is not None:
                self._store.keep_rate(speeds.key_of(card), speed.to_json())
        except LutraError:  # the job has ended well all the same
            log.warning("rates could not be told")

    def _card(self, name: str) -> Card:
        if name not in self._cards:
            self._cards[name] = self._engine.card(name)
        return self._cards[name]
