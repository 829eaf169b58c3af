"""What the routes share: settings, store, queue, wake-ups and threads, opened and closed together.

What each job asks of the store goes through a pipeline; what is rare, or large, is asked in threads.

Here is the life of a request's job: made, submitted, waited for, cancelled; answers are made in `service.routes`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from models.cards import OWN_LUT, Card
from models.cube import MAX_BYTES, Cube, CubeError, read_cube
from service.delivery import Deliveries
from service.offload import Threads
from service.upload import ENVELOPE_BYTES, Budget
from service.waiting import Waiter, Wakeups
from workers import metrics
from workers.errors import (
    JobGone,
    JobUnknown,
    ParameterError,
    StoreFull,
    StoreUnavailable,
    TooManyUploads,
    Unavailable,
)
from workers.jobs import celery_app
from workers.jobs.job import NO_WEIGHTS, Job, JobState, JobStatus, PictureFacts, ResultKey, Weights, new_job
from workers.jobs.pipeline import Pipeline
from workers.jobs.records import CacheResult, CancelOutcome, Event, Limits, QueueFacts
from workers.jobs.script import Call
from workers.jobs.store import Store
from workers.jobs.store_admission import RESERVED, cache_of
from workers.jobs.store_base import CARRIED_BYTES
from workers.log import Log
from workers.operations import choice, speeds
from workers.operations.choice import served_models
from workers.operations.operation import Installation, Plan
from workers.pictures import imageio
from workers.settings import Settings

STORE_TIMEOUT_S = 2.0
STORE_THREADS = 32
PICTURE_THREADS = 4
AT_ONCE_BYTES = 128 * 1024  # of a picture whose header and hash take less than a thread: 10 ms at the very worst
BREAKER_S = 1.0
CLOSING_S = 20.0
LONGEST_ID = 64
RATE_AGE_S = 2.0
TABLE_S = 60.0
EQUAL_WAIT_S = 2.0  # for an equal computation whose input is on its way into the store, without a word of it

T = TypeVar("T")

log = Log(__name__)


@dataclass
class Gateway:
    """The gateway's parts."""

    settings: Settings
    store: Store
    pipeline: Pipeline
    wakeups: Wakeups
    store_threads: Threads
    picture_threads: Threads
    table_threads: Threads
    models: Mapping[str, Card]
    uploads: Budget
    deliveries: Deliveries
    closes_at: float = math.inf
    speeds_at: float = -math.inf
    speeds_then: Mapping[str, float] = field(default_factory=dict)
    weights_at: float = -math.inf
    weights_then: Weights = field(default_factory=lambda: NO_WEIGHTS)

    def start_closing(self) -> None:
        """Who still waits is answered within CLOSING_S (with its job, if it is not done); event streams end now."""
        self.closes_at = min(self.closes_at, time.monotonic() + CLOSING_S)
        self.wakeups.wake_all()

    @property
    def is_closing(self) -> bool:
        return self.closes_at < math.inf

    async def ask(self, call: Call[T]) -> T:
        """What a call of the store answers. Raises Unavailable, or as the store's method of that name does."""
        return await self.pipeline.ask(call)

    async def probe(self, data: bytes) -> imageio.Header:
        """Format and size from the header alone. Raises NotAPicture or CorruptPicture."""
        if len(data) <= AT_ONCE_BYTES:
            return imageio.probe(data)
        return await self.picture_threads.run(imageio.probe, data)

    async def read_table(self, data: bytes) -> Cube:
        """The table in a .cube file. One is read at a time: it holds the interpreter, a second or two for the largest.

        Raises ParameterError, or TooManyUploads where others are read for longer than TABLE_S.
        """
        try:
            return await self.table_threads.run(read_cube, data)
        except CubeError as error:
            members = {} if error.line is None else {"line": error.line}
            raise ParameterError(f"the part lut is no .cube file: {error}", parameter="lut", **members) from None

    async def installation(self) -> Installation:
        """What plans are made for."""
        limits = choice.Limits(
            self.settings.max_scale, self.settings.max_output_pixels, self.settings.job_timeout_seconds
        )
        return Installation(self.models, limits, await self.speeds())

    async def make_job(self, data: bytes, header: imageio.Header, plan: Plan[Any], **members: Any) -> Job:
        """A job for these bytes, which are hashed. `members`: as of `new_job`."""
        facts = PictureFacts(header.format, header.width, header.height, len(data))
        make = partial(new_job, data, facts, plan, weights=await self.weights(), **members)
        return make() if len(data) <= AT_ONCE_BYTES else await self.picture_threads.run(make)

    async def submit(
        self, job: Job, data: bytes, result_bytes: int, table: bytes = b"", *, is_fresh: bool = False
    ) -> CacheResult:
        """Store the job and send its computation to the queue, unless it joins an equal one (`is_fresh`: it does not).

        `result_bytes`: room for its result. Raises Unavailable, and then nothing is left behind.
        """
        submit = partial(self._submit, job, data, result_bytes, table, is_fresh)
        try:
            cache = await self._submitted(submit)
            if cache is None:  # the input of an equal one is on its way: from now on its arrival is heard
                async with self.wakeups.wait_for(job.equal) as waiter:
                    while (cache := await self._submitted(submit)) is None:
                        await waiter.wait(EQUAL_WAIT_S)
        except Unavailable as error:
            metrics.ADMISSION_REJECTED.labels(error.code).inc()
            raise
        metrics.labelled(metrics.JOBS_SUBMITTED, job.computation.operation).inc()
        metrics.labelled(metrics.CACHE_REQUESTS, cache).inc()
        return cache

    async def _submitted(self, submit: Callable[[], Awaitable[CacheResult | None]]) -> CacheResult | None:
        """A full store is told of what was delivered meanwhile, and asked once more."""
        try:
            return await submit()
        except StoreFull:
            await self.deliveries.report()
            return await submit()

    async def _submit(
        self, job: Job, data: bytes, result_bytes: int, table: bytes, is_fresh: bool
    ) -> CacheResult | None:
        """As the store's `put`: what is large is written in a thread."""
        message = celery_app.message(job.computation.lane)
        options: dict[str, Any] = {"result_bytes": result_bytes, "table": table, "is_fresh": is_fresh}
        answer = await self.ask(self.store.admit_call(job, data, message=message, **options))
        if answer == RESERVED:
            return await self.store_threads.run(self.store.write_input, job, data, table, message)
        return cache_of(answer)

    async def status(self, job_id: str, *, owner: str = "", detach: bool = False) -> JobStatus:
        """The job as it stands; of a client other than `owner` (`clients.owner_of`) there is none.

        Raises JobUnknown, JobGone, StoreUnavailable.
        """
        if len(job_id) > LONGEST_ID:
            raise JobUnknown("no job has this id")
        return await self.ask(self.store.status_call(job_id, owner=owner, detach=detach))

    async def follow(self, job_id: str, after: str, *, owner: str = "") -> tuple[JobStatus, list[Event]]:
        """As the store's; raises as `status` does."""
        if len(job_id) > LONGEST_ID:
            raise JobUnknown("no job has this id")
        return await self.store_threads.run(self.store.follow, job_id, after, owner=owner)

    async def cancel(self, job_id: str, *, owner: str = "") -> JobStatus:
        """Cancel, or remove what has ended: the job after it, or as it was. Raises JobUnknown, JobGone, Unavailable."""
        before = await self.status(job_id, owner=owner)
        outcome = await self._cancel(before)
        if outcome is not CancelOutcome.REMOVED:
            return await self.status(job_id)
        return before if before.ended else replace(before, state=JobState.SUCCEEDED)  # it ended between the two

    async def _cancel(self, before: JobStatus, *, only_if_attached: bool = False) -> CancelOutcome:
        """What became of it; counts a job that ends here because no worker had it yet."""
        outcome = await self.store_threads.run(self.store.cancel, before.id, only_if_attached=only_if_attached)
        if before.state is JobState.QUEUED and outcome is CancelOutcome.CANCELLED:
            metrics.count_end(before.operation, before.model, JobState.CANCELLED)
        return outcome

    async def speeds(self) -> Mapping[str, float]:
        """Seconds per megapixel by name of all that is served, and of a user's own table; RATE_AGE_S old at most, but
        for the moment in which one request asks for all.
        """
        before, now = self.speeds_at, time.monotonic()
        if now - before > RATE_AGE_S:
            self.speeds_at = now if self.speeds_then else before  # the others have what is known meanwhile
            cards, stored = [*self.models.values(), OWN_LUT], {}
            try:
                stored = await self.store_threads.run(self.store.rates)
            except Unavailable:
                if self.speeds_then:
                    self.speeds_at = before
                    return self.speeds_then
            self.speeds_then = speeds.every(cards, stored)
            self.speeds_at = time.monotonic()
        return self.speeds_then

    async def weights(self) -> Weights:
        """Hashes of each model's weights, as workers report them; as old as `speeds`, older where none lives."""
        before, now = self.weights_at, time.monotonic()
        if now - before > RATE_AGE_S:
            self.weights_at = now if self.weights_then else before
            try:
                children = await self.store_threads.run(self.store.children)
            except Unavailable:
                self.weights_at = before
                return self.weights_then
            self.weights_then = {**self.weights_then, **reported_weights(children.values())}
            self.weights_at = time.monotonic()
        return self.weights_then

    async def queue(self, asked: str = "") -> QueueFacts:
        return await self.ask(self.store.queue_call(asked))

    async def queue_or_none(self, status: JobStatus | None = None) -> QueueFacts | None:
        """The queue, and where this job stands in it; None where the store does not answer: for what an answer can do
        without.
        """
        with suppress(Unavailable):
            return await self.queue(status.computation_id if status else "")
        return None

    async def wait_for_end(
        self, job_id: str, waiter: Waiter, seconds: float, gone: Callable[[], Awaitable[None]]
    ) -> JobStatus | None:
        """The job once it has ended, or as it is after `seconds`; None where `gone` (the client left) came first.

        A client that leaves cancels its own job, unless somebody has read it by id meanwhile.
        """
        left = asyncio.ensure_future(gone())
        left.add_done_callback(lambda _: waiter.stir())
        try:
            status = await self._until_ended(job_id, waiter, seconds, left)
            if status is None:
                log.info("client left, its job is cancelled", job_id=job_id)
                await self._cancel(await self.status(job_id), only_if_attached=True)
            return status
        finally:
            left.cancel()

    async def _until_ended(
        self, job_id: str, waiter: Waiter, seconds: float, left: asyncio.Future[None]
    ) -> JobStatus | None:
        """Wait for news (`waiter` was there before the job was), then read; a store that hangs is asked again. None
        once `left` is done, unless there are news.

        Raises StoreUnavailable for a job that is gone although it was just taken in: the store lost its data.
        """
        give_up = time.monotonic() + seconds
        while True:
            has_news = not left.done() and await waiter.wait(min(give_up, self.closes_at) - time.monotonic())
            if left.done() and not has_news:
                return None
            in_time = time.monotonic() < min(give_up, self.closes_at)
            try:
                status = await self._read(job_id, waiter.result)
                if status.ended or not in_time:
                    return status
            except StoreUnavailable:
                if not in_time:
                    raise
                waiter.set_again()
            except (JobUnknown, JobGone):
                raise StoreUnavailable("the job store lost its data, and this job with it") from None

    async def _read(self, job_id: str, result: ResultKey | None) -> JobStatus:
        """The job, and its result where that is small: at once where a wake-up has told where it lies, and it does."""
        status = None if result else await self.status(job_id)
        result = result or (status.result_key if status else None)
        if result and result.size_bytes <= CARRIED_BYTES:
            status = await self.pipeline.look(self.store.result_lookup(job_id, result)) or status
        return status or await self.status(job_id)


@asynccontextmanager
async def open_gateway(settings: Settings, redis_url: str) -> AsyncIterator[Gateway]:
    """Open everything the gateway needs; before the first request only the Redis of the wake-ups is contacted."""
    limits = Limits(
        settings.queue_size,
        settings.store_bytes,
        settings.result_ttl_seconds,
        evict_delivered=settings.evict_delivered,
        lanes_apart=settings.express_seconds > 0,
    )
    patience = {"timeout_s": STORE_TIMEOUT_S, "breaker_s": BREAKER_S}
    store, pipeline = Store.at(redis_url, limits, **patience), Pipeline(redis_url, **patience)
    store_threads = Threads("store", STORE_THREADS, timeout_s=3 * STORE_TIMEOUT_S)
    picture_threads = Threads("picture", PICTURE_THREADS, timeout_s=30.0)
    table_threads = Threads("table", 1, timeout_s=TABLE_S, late=lambda: TooManyUploads("too many tables at once"))
    models = served_models(settings.models, settings.weights_dir)
    metrics.zero_gateway(sorted({card.task for card in models.values()}))
    try:
        wakeups = Wakeups(redis_url, lambda watches: pipeline.ask(store.news_call(watches)))
        async with wakeups.running():
            largest = settings.max_upload_bytes + MAX_BYTES + ENVELOPE_BYTES
            uploads = Budget(max(settings.store_bytes, 2 * largest))
            deliveries = Deliveries(lambda jobs: pipeline.ask(store.note_delivery_call(*jobs)))
            threads = store_threads, picture_threads, table_threads
            yield Gateway(settings, store, pipeline, wakeups, *threads, models, uploads, deliveries)
            await deliveries.report()
    finally:
        store_threads.close()
        picture_threads.close()
        table_threads.close()
        await pipeline.close()
        store.close()


def reported_weights(children: Iterable[Mapping[str, Any]]) -> Weights:
    """By model, each hash that one of the children has loaded."""
    found: dict[str, set[str]] = defaultdict(set)
    for facts in children:
        for name, loaded in facts.get("models", {}).items():
            found[name].add(loaded["sha256"] or "")
    return {name: tuple(sha256 or None for sha256 in sorted(hashes)) for name, hashes in found.items()}


def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway
