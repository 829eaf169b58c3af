"""One computation from `queued` to a terminal state: claim, read, decode, infer, encode, write.

The lease is renewed from a thread; progress, cancel and deadline meet in one place, `Watch.tick`, which the engine
calls between tiles. A store that stops answering does not stop the work: only the picture's reading and the final write
must get through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from models.cards import OWN_LUT, Card
from workers import metrics
from workers.engine.engine import Engine
from workers.errors import (
    InternalError,
    JobCancelled,
    JobTimeout,
    LutraError,
    OutOfMemory,
    StoreFull,
    StoreUnavailable,
)
from workers.jobs.job import JobState
from workers.jobs.lease import LeaseLost, Watch
from workers.jobs.records import LEASE_S, Claim
from workers.jobs.store import Store
from workers.log import Log, about
from workers.operations import OPERATIONS, speeds
from workers.operations.operation import Colour, Encoded, Operation, Work
from workers.operations.way import compute
from workers.pictures.decoder import Decoder
from workers.pictures.picture import Picture

PATIENCE_S = 120.0
FULL_PAUSE_S = 1.0

T = TypeVar("T")

log = Log(__name__)


class Stages:
    """Seconds spent in each stage of a job."""

    def __init__(self, queue_s: float) -> None:
        self.seconds: dict[str, float] = {"queue": round(queue_s, 6)}
        self.deep = False  # more than 8 bits, which some models compute another way

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 6)


@dataclass(frozen=True)
class Observed:
    """One attempt as `way.compute` sees it."""

    watch: Watch
    stages: Stages

    def stage(self, name: str) -> AbstractContextManager[None]:
        return self.stages.measure(name)

    def check(self) -> None:
        self.watch.check()

    def tick(self, done: int, total: int) -> None:
        self.watch.tick(done, total)


class EngineMetrics:
    """The engine's observer: counts tiles, batches and retries."""

    def tiles(self, model: str, count: int) -> None:
        metrics.TILES.labels(model).inc(count)

    def batch(self, model: str, size: int) -> None:
        metrics.BATCH_SIZE.labels(model).observe(size)

    def oom_retry(self, model: str) -> None:
        metrics.OOM_RETRIES.labels(model).inc()

    def nonfinite_retry(self, model: str) -> None:
        metrics.NONFINITE_RETRIES.labels(model).inc()


class Runner:
    """Runs computations on one engine. `owner` names this child in the store."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        *,
        owner: str,
        job_timeout_s: float,
        max_pixels: int,
        operations: Mapping[str, Operation[Any, Any]] = OPERATIONS,
    ) -> None:
        self._store = store
        self._engine = engine
        self._owner = owner
        self._job_timeout_s = job_timeout_s
        self._max_pixels = max_pixels
        self._cards: dict[str, Card] = {OWN_LUT.name: OWN_LUT}
        self._operations = operations
        self._decoder = Decoder()

    def close(self) -> None:
        self._decoder.close()

    def run(self, computation_id: str) -> None:
        """Bring one computation to its end; a message for one that is leased, ended or unknown is dropped."""
        owner, timeout_s = self._owner, self._job_timeout_s
        claim = self._insist(lambda: self._store.claim(computation_id, owner, lease_s=LEASE_S, timeout_s=timeout_s))
        if claim is None:
            log.debug("message dropped", computation_id=computation_id)
            return
        in_progress = metrics.JOBS_IN_PROGRESS.labels(claim.operation)
        with about(job_id=claim.job_id, request_id=claim.request_id), in_progress.track_inprogress():
            self._run_claimed(claim)

    def _run_claimed(self, claim: Claim) -> None:
        start = time.perf_counter()
        stages = Stages(claim.queue_s)
        watch = Watch(self._store, claim)
        teaches = False
        try:
            with watch:
                result = self._compute(claim, watch, stages)
                chunks = self._keep(claim, result.data, watch)
        except LeaseLost:
            log.warning("lease lost, result dropped", attempt=claim.attempt)
            return
        except JobCancelled:
            self._end(claim, JobState.CANCELLED, stages, start, lambda: self._store.end_cancelled(claim))
        except LutraError as error:
            teaches = isinstance(error, JobTimeout)  # that what always takes too long is not tried for ever
            self._fail(claim, error, stages, start)
        except MemoryError:
            log.warning("no memory for a job", operation=claim.operation, model=claim.model, input=dict(claim.input))
            self._fail(claim, OutOfMemory("there is not enough memory here for this picture"), stages, start)
        except Exception:
            log.exception("job failed by our fault", operation=claim.operation, model=claim.model)
            self._fail(claim, InternalError("something went wrong on our side"), stages, start)
        else:
            teaches = True
            self._succeed(claim, result, chunks, stages, start, watch)
        finally:
            self._decoder.tidy()
        if teaches and not stages.deep and not watch.stood_still:
            self._learn(claim, watch.share_done, stages.seconds.get("infer", 0.0))

    def _compute(self, claim: Claim, watch: Watch, stages: Stages) -> Encoded:
        work = self._work(claim)
        inputs = [self._read(claim, self._store.read_input)]

        def decode(colour: Colour) -> Picture:
            picture = self._decoder.decode(
                inputs.pop(),
                colour=colour,
                max_pixels=self._max_pixels,
                pixels=claim.input["width"] * claim.input["height"],
                check=watch.look,
            )
            stages.deep = picture.pixels.itemsize > 1
            return picture

        return compute(work, self._engine, decode, Observed(watch, stages))

    def _work(self, claim: Claim) -> Work[Any]:
        """What the record asks for, with the table that the user sent along."""
        operation = self._operations[claim.operation]
        parameters = operation.parameters.model_validate(dict(claim.parameters))
        numbers = self._read(claim, self._store.read_table) if operation.has_table(parameters) else b""
        return Work(operation, claim.model, parameters, operation.table_of(parameters, numbers))

    def _read(self, claim: Claim, read: Callable[[Claim], bytes]) -> bytes:
        """What came in with the job. A store that never answers leaves it to whoever holds the lease after that."""
        data = self._insist(lambda: read(claim))
        if data is None:
            raise LeaseLost
        return data

    def _keep(self, claim: Claim, result: bytes, watch: Watch) -> int:
        """Write the result's pieces; how many. A store without memory is waited for, until the job's deadline.

        Raises StoreFull then; JobCancelled; LeaseLost, also where the store never answers.
        """
        while True:
            try:
                chunks = self._insist(lambda: self._store.put_result(claim, result))
            except StoreFull as full:
                log.warning("the store is full, the result waits")
                time.sleep(FULL_PAUSE_S)
                try:
                    watch.check()
                except JobTimeout:
                    raise full from None
                continue
            if chunks is None:
                raise LeaseLost
            return chunks

    def _succeed(
        self,
        claim: Claim,
        result: Encoded,
        chunks: int,
        stages: Stages,
        start: float,
        watch: Watch,
    ) -> None:
        def write() -> bool:
            return self._store.succeed(
                claim, result.data, result.facts(), stages.seconds, chunks=chunks, tiles=watch.total
            )

        self._end(claim, JobState.SUCCEEDED, stages, start, write, pixels=result.pixels, lease_is_sure=watch.is_fresh)

    def _fail(self, claim: Claim, error: LutraError, stages: Stages, start: float) -> None:
        def write() -> bool:
            return self._store.fail(claim, error, stages.seconds)

        self._end(claim, JobState.FAILED, stages, start, write, error_code=error.code)

    def _end(
        self,
        claim: Claim,
        outcome: JobState,
        stages: Stages,
        start: float,
        write: Callable[[], bool],
        *,
        pixels: int = 0,
        error_code: str = "",
        lease_is_sure: bool = False,
    ) -> None:
        """Count, then write the end: who is woken by it finds it counted. A store that hangs is given PATIENCE_S."""
        if not lease_is_sure and not self._insist(lambda: self._store.renew(claim, lease_s=LEASE_S)):
            log.warning("lease lost, end not written", attempt=claim.attempt, outcome=outcome)
            return
        seconds = time.perf_counter() - start
        self._count(claim, outcome, stages.seconds, seconds, pixels, error_code)
        if not self._insist(write):
            log.warning("lease lost at the last moment, end not written", attempt=claim.attempt, outcome=outcome)
            return
        log.info(
            "job ended",
            operation=claim.operation,
            model=claim.model,
            outcome=outcome,
            seconds=round(seconds, 4),
            attempt=claim.attempt,
            **({"code": error_code} if error_code else {}),
        )

    def _insist(self, ask: Callable[[], T]) -> T | None:
        """What `ask` answers, tried again while the store does not; None where it did not for PATIENCE_S."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except StoreUnavailable:
                if time.monotonic() >= give_up:
                    log.error("the store has not answered for this job", seconds=PATIENCE_S)
                    return None
                time.sleep(0.5)

    def _count(
        self,
        claim: Claim,
        outcome: JobState,
        stages_s: Mapping[str, float],
        seconds: float,
        pixels: int,
        error_code: str,
    ) -> None:
        operation, model = claim.operation, claim.model
        metrics.count_end(operation, model, outcome, error_code)
        metrics.QUEUE_WAIT.labels(operation).observe(claim.queue_s)
        metrics.JOB_DURATION.labels(operation, model).observe(seconds)
        for stage, stage_s in stages_s.items():
            metrics.STAGE_DURATION.labels(operation, stage).observe(stage_s)
        if outcome is not JobState.SUCCEEDED:
            return
        metrics.INPUT_PIXELS.labels(operation, model).inc(claim.input["width"] * claim.input["height"])
        metrics.OUTPUT_PIXELS.labels(operation, model).inc(pixels)

    def _learn(self, claim: Claim, share_done: float, infer_s: float) -> None:
        """What a megapixel of this model costs here, from a job that succeeded or ran out of time."""
        operation = self._operations[claim.operation]
        size = claim.input["height"], claim.input["width"]
        try:
            card = self._card(claim.model)
            parameters = operation.parameters.model_validate(dict(claim.parameters))
            pixels = operation.computed_pixels(card, size, parameters) * share_done
            if not speeds.is_representative(card, size, pixels):
                return
            served = [self._card(name) for name in self._engine.loaded()]
            speed = speeds.learn(card, served, self._store.rates(), infer_s * 1e6 / pixels)
            self._store.keep_rate(speeds.key_of(card), speed.to_json())
        except LutraError:  # the job has ended well all the same
            log.warning("rates could not be told")

    def _card(self, name: str) -> Card:
        if name not in self._cards:
            self._cards[name] = self._engine.card(name)
        return self._cards[name]
