"""A worker child: it has every model loaded before its first job, and reports to its parent through a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.cards import OWN_LUT, Card
from workers import devices, metrics
from workers.errors import error_codes
from workers.jobs import place
from workers.jobs.job import Lane
from workers.jobs.lanes import QUEUES
from workers.jobs.records import Limits
from workers.jobs.store import Store
from workers.liveness import Pulses
from workers.log import Log
from workers.preload import Loaded, load
from workers.settings import Settings

if TYPE_CHECKING:
    from workers.engine.engine import Engine
    from workers.runner import Runner

RELOAD_PAUSE_S = 2.0
GO_ON_S = 1.0  # how long one message serves: for a job of milliseconds, to be handed over costs as much as to be done

log = Log(__name__)


class Child:
    """One worker child: its store, its engine with the models loaded, its runner.

    Bulk jobs run in a thread of their own that stands back: a child beside this one may have an express job. Threads of
    torch and of the kernels are as who starts them.
    """

    _current: Child | None = None

    def __init__(self, runner: Runner, store: Store, pulses: Pulses, index: int) -> None:
        self._runner = runner
        self._store = store
        self._pulses = pulses
        self._index = index
        self._bulk = ThreadPoolExecutor(1, thread_name_prefix="bulk", initializer=devices.stand_back)

    @classmethod
    def current(cls) -> Child:
        if cls._current is None:
            raise RuntimeError("this process has not loaded the models")
        return cls._current

    @classmethod
    def start(
        cls, settings: Settings, redis_url: str, parent_pid: int, pulses: Pulses, shared: Loaded | None = None
    ) -> None:
        """Load what is not `shared`, and report all. Celery would swallow an exception, so a failure ends all."""
        try:
            cls._current = load_child(settings, redis_url, parent_pid, pulses, shared)
        except Exception:
            log.exception("a worker child could not load")
            time.sleep(RELOAD_PAUSE_S)
            os._exit(1)

    def run(self, wanted: str) -> None:
        """What a message asks for, to its end: the next of a lane, or the computation that has this id; and then the
        next of the lane again and again, until none waits, GO_ON_S are over or the worker stops.
        """
        with self._pulses.at_work(self._index):
            if wanted == Lane.EXPRESS:
                self._run(wanted)
            else:
                self._bulk.submit(self._run, wanted).result()

    def _run(self, wanted: str) -> None:
        until = time.monotonic() + GO_ON_S

        def goes_on() -> bool:
            return wanted in QUEUES and time.monotonic() < until and not self._pulses.is_stopping

        self._runner.run(wanted, goes_on)

    def close(self) -> None:
        self._bulk.shutdown(wait=False)
        self._runner.close()
        self._store.close()


def load_child(
    settings: Settings, redis_url: str, parent_pid: int, pulses: Pulses, shared: Loaded | None = None
) -> Child:
    """Build store, engine and runner in a fresh child and report it to the store as ready.

    `shared`: the engine that its parent loaded before it forked.
    """
    from billiard import current_process

    from workers.engine import gpu
    from workers.operations.choice import served_models
    from workers.runner import Runner

    facts_file(os.getpid()).unlink(missing_ok=True)
    owner, index = place.name_of(parent_pid, os.getpid()), getattr(current_process(), "index", 0)
    store = Store.at(redis_url, store_limits(settings))
    cards = served_models(settings.models, settings.weights_dir)
    loaded = shared or load(make_engine(settings, index), cards)
    engine = loaded.engine
    engine.use_threads(threads_of_child(settings))
    tell_models(loaded, cards)
    facts = engine.facts() | {"lane": lane_of_child(settings, index)}
    pulses.start(index)
    gpu.watch(engine.device)
    report_facts(facts)
    store.beat({owner: facts}, place=place.this_place())
    log.info("models loaded", child=owner, models=len(cards))
    runner = Runner(
        store,
        engine,
        owner=owner,
        job_timeout_s=settings.job_timeout_seconds,
        max_pixels=settings.max_input_pixels,
        is_walled=settings.sandbox == "on",
        express_s=settings.express_seconds,
    )
    return Child(runner, store, pulses, index)


def bulk_children(settings: Settings) -> int:
    """Children for bulk jobs; between them the cores are shared out, whatever express jobs want of them."""
    return settings.worker_concurrency or devices.default_concurrency(settings.device)


def express_children(settings: Settings) -> int:
    """Further ones, which take no bulk jobs."""
    return settings.express_concurrency or devices.default_express_concurrency(settings.device)


def lane_of_child(settings: Settings, index: int) -> Lane:
    """In whose number the child counts. Any child takes jobs of any lane; how many of each, the consumer sees to."""
    return Lane.BULK if index < bulk_children(settings) else Lane.EXPRESS


def make_engine(settings: Settings, index: int) -> Engine:
    """The engine of the child with this index: its device, and its share of the cores."""
    from workers.engine.engine import Engine
    from workers.runner import EngineMetrics

    return Engine(
        device=devices.child_device(settings.device, index),
        precision=settings.precision,
        tile=settings.tile,
        weights_dir=settings.weights_dir,
        threads=threads_of_child(settings),
        observe=EngineMetrics(),
    )


def threads_of_child(settings: Settings) -> int:
    """Its share of the cores."""
    return max(1, devices.usable_cores() // bulk_children(settings))


def tell_models(loaded: Loaded, cards: Mapping[str, Card]) -> None:
    """What this child has loaded, as metrics."""
    metrics.zero_worker([(card.task, name) for name, card in {**cards, OWN_LUT.name: OWN_LUT}.items()], error_codes())
    for name, seconds in loaded.seconds.items():
        metrics.MODEL_LOAD.labels(name).set(seconds)
        metrics.MODEL_LOADED.labels(name).set(1)
    facts = loaded.engine.facts()
    for name, model in facts["models"].items():
        metrics.MODEL_INFO.labels(name, model["sha256"] or "", model["precision"], facts["device"]).set(1)


def facts_file(pid: int) -> Path:
    """Where a child of this machine leaves its facts for its parent, beside its counts."""
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / f"child-{pid}.json"


def report_facts(facts: dict[str, Any]) -> None:
    """In the child: it is loaded, and this is what it is. The parent repeats it with each heartbeat."""
    target = facts_file(os.getpid())
    draft = target.with_suffix(".new")
    draft.write_text(json.dumps(facts))
    draft.replace(target)


def reported_facts(pid: int) -> dict[str, Any] | None:
    """In the parent: what the child `pid` reported, None before it is loaded."""
    try:
        facts: dict[str, Any] = json.loads(facts_file(pid).read_text())
    except FileNotFoundError:
        return None
    return facts


def store_limits(settings: Settings) -> Limits:
    """The store's limits out of the settings."""
    return Limits(settings.queue_size, settings.store_bytes, settings.result_ttl_seconds)
