"""The worker process: a Celery parent that computes nothing, and children that do: one for each device, and further
ones that are kept for express jobs, so that these need not wait for a bulk job.

The parent loads what its children share before the first of them (`workers.preload`), so that a child is there at once.

The parent's consumer loop beats for each child that reported its models loaded, reclaims the work of children that
died or are stopped, and looks for lost work (`jobs.reaper`): when that loop hangs, the heartbeat ends, and the gateway
refuses jobs. The same where it runs but takes no message (`workers.liveness`): the worker then reconnects, and if
that does not help restarts itself. A child has every model before its first job; one that cannot load says why and
exits.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from celery.exceptions import SecurityWarning

from workers import devices, metrics
from workers.child import Child, bulk_children, express_children, facts_file, reported_facts, store_limits
from workers.errors import Unavailable
from workers.jobs import celery_app, place
from workers.jobs.lanes import intakes
from workers.jobs.reaper import PERIOD_S, Reaper
from workers.jobs.records import LEASE_S
from workers.jobs.store import Store
from workers.liveness import STUCK_S, LoopMonitor, PulseMonitor, Pulses, Remedy, StallMonitor
from workers.log import Log
from workers.preload import Loaded, preload
from workers.restart import EXIT_RESTART, kill, restart_in_place
from workers.settings import Settings

DRAIN_S = 10.0  # longer than checkpoints wait: what runs still has kept what it finished, and nobody serves meanwhile
IDLE_S = 0.5
RESTART_GRACE_S = 15.0

log = Log(__name__)


def run_worker(settings: Settings, redis_url: str) -> int:
    """Serve the queue until a signal to stop; the exit status, EXIT_RESTART where it is to `restart_in_place`.

    SIGTERM: no new jobs, DRAIN_S for those that run, the rest goes back into the queue.
    """
    devices.share_cores_politely()
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # Celery reads it when its worker module is imported
    warnings.filterwarnings("ignore", category=SecurityWarning)  # it warns of pickles in the queue; we take JSON only
    from workers.pool import Pool

    parent = Parent(settings, redis_url)
    parent.load()
    worker = parent.app.Worker(
        pool=Pool,
        concurrency=parent.concurrency,
        hostname=f"lutra@{socket.gethostname()}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        task_events=False,
        loglevel=settings.log_level.upper(),
        quiet=True,
    )
    worker.wait_for_soft_shutdown = parent.drain
    try:
        worker.start()
    finally:
        parent.leave()
    return EXIT_RESTART if parent.must_restart else int(worker.exitcode or 0)


class Parent:
    """What the worker's parent does beside Celery: metrics, heartbeats, lost children, lost work."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self.settings = settings
        self.intakes = intakes(bulk_children(settings), settings.express_seconds, express_children(settings))
        self.concurrency = max(intake.places for intake in self.intakes)
        self.pid = os.getpid()
        self.app = celery_app.make_app(redis_url, job_timeout_s=settings.job_timeout_seconds)
        self.app.conf.worker_soft_shutdown_timeout = DRAIN_S
        self.store = Store.at(redis_url, store_limits(settings))
        self.reaper = Reaper(
            self.store,
            lambda lane: celery_app.send(self.app, lane),
            name=place.name_of(self.pid, self.pid),
            lease_s=LEASE_S,
        )
        self.pulses = Pulses(self.concurrency)
        self.must_restart = False
        self._shared: Loaded | None = None
        self._pulse_monitor = PulseMonitor()
        self._stall_monitors = [StallMonitor() for _ in self.intakes]
        self._rounds = 0
        self._children: set[str] = set()
        self._reclaimed: set[str] = set()
        self._is_first_round = True
        self._define_task()
        self._add_supervision()
        self._take_by_lane()
        self._connect_signals(redis_url)

    def load(self) -> None:
        """What the children share, before the first of them; meanwhile it is told that this place is coming back."""
        is_over = threading.Event()
        teller = threading.Thread(target=self._tell_loading, args=(is_over,), name="loading")
        teller.start()
        try:
            self._shared = preload(self.settings)
        finally:
            is_over.set()
            teller.join()

    def _tell_loading(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            with suppress(Unavailable):
                self.store.beat({}, place=place.this_place(), is_loading=True)
            is_over.wait(PERIOD_S)

    def _define_task(self) -> None:
        parent = self

        class Compute(self.app.Task):  # type: ignore[name-defined, misc]
            def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
                """At the hard limit the child is killed and writes nothing; the parent does."""
                parent.reaper.expire()

        @self.app.task(name=celery_app.TASK, base=Compute)  # type: ignore[untyped-decorator]
        def compute(wanted: str) -> None:
            """The next of a lane; or a computation by its id, in messages of versions without lanes."""
            Child.current().run(wanted)

    def _add_supervision(self) -> None:
        from celery import bootsteps

        parent = self

        class Supervision(bootsteps.StartStopStep):  # type: ignore[misc]
            requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

            def start(self, worker: Any) -> None:
                worker.timer.call_after(0, parent.supervise, (worker,), priority=10)
                worker.timer.call_repeatedly(PERIOD_S, parent.supervise, (worker,), priority=10)
                worker.pool._pool.on_death = parent.lose
                threading.Thread(target=parent.watch_loop, args=(worker,), name="loop-watch", daemon=True).start()

        self.app.steps["worker"].add(Supervision)

    def _take_by_lane(self) -> None:
        from workers.consumer import LaneConsumer

        self.app.amqp.Consumer = partial(LaneConsumer, self.intakes)

    def _connect_signals(self, redis_url: str) -> None:
        from celery import signals

        def start_child(**_: Any) -> None:
            Child.start(self.settings, redis_url, self.pid, self.pulses, self._shared)

        def stop_child(**_: Any) -> None:
            Child.current().close()

        def keep_logging(**_: Any) -> None:
            """A receiver makes Celery leave the loggers as `workers.log` set them up."""

        def on_ready(**_: Any) -> None:
            self._serve_metrics()
            log.info("worker started", children=self.concurrency)

        signals.worker_process_init.connect(start_child, weak=False)
        signals.worker_process_shutdown.connect(stop_child, weak=False)
        signals.setup_logging.connect(keep_logging, weak=False)
        signals.worker_ready.connect(on_ready, weak=False)

    def _serve_metrics(self) -> None:
        if not self.settings.metrics_port:
            return
        from prometheus_client import start_http_server

        try:
            start_http_server(self.settings.metrics_port, self.settings.bind, registry=metrics.shared_registry())
        except OSError as error:
            log.warning("metrics are not served", port=self.settings.metrics_port, reason=error.strerror)

    def supervise(self, worker: Any) -> None:
        """One round of the parent's duties, on the consumer's loop."""
        self._rounds += 1
        indices = {process.pid: process.index for process in worker.pool._pool._pool if process.exitcode is None}
        loaded = {pid: facts for pid in indices if (facts := reported_facts(pid)) is not None}
        counts = {pid: self.pulses.count(indices[pid]) for pid in loaded}
        for pid in self._pulse_monitor.stopped(counts, time.monotonic()):
            log.error("a worker child stands still, killed", child=place.name_of(self.pid, pid))
            kill(pid)
            del indices[pid], loaded[pid]
        living = {place.name_of(self.pid, pid) for pid in indices}
        dead, self._children = self._children - living - self._reclaimed, living
        self._reclaimed.clear()  # of the time since the round before
        try:
            remedy = self._check_consumer([self.pulses.is_at_work(indices[pid]) for pid in loaded])
            self._beat(loaded, is_loading=len(loaded) < self.concurrency)
            if self._is_first_round:
                self._is_first_round = False
                self._reclaim_stale_children()
            self._reclaim(dead)
        except Unavailable:
            self._children |= dead
            log.warning("the store does not answer the worker's heartbeat")
            return
        self.reaper.look()
        self._recover(remedy, worker)

    def lose(self, pid: int) -> None:
        """A child ended, and while the worker serves it should not have: neither its work nor the word that another
        is loading waits for the next round.
        """
        name = place.name_of(self.pid, pid)
        if name in self._reclaimed or self.pulses.is_stopping:
            return
        self._children.add(name)  # it may have come since the last round; the next finds it, should no store answer
        with suppress(Unavailable):
            self.store.beat({}, place=place.this_place(), is_loading=True)
            self._reclaim({name})

    def watch_loop(self, worker: Any) -> None:
        """In a thread: restarts a worker whose loop hangs for STUCK_S although the store answers."""
        from celery import bootsteps

        monitor = LoopMonitor(STUCK_S / PERIOD_S)
        while worker.blueprint.state in (None, bootsteps.RUN):
            time.sleep(PERIOD_S)
            try:
                self.store.ping()
            except Unavailable:
                monitor.reset()
                continue
            if self._rounds and monitor.look(self._rounds) and worker.blueprint.state == bootsteps.RUN:
                log.error("the consumer's loop stands still; the worker starts again")
                self._restart_by_force(worker)

    def _check_consumer(self, at_work: Sequence[bool]) -> Remedy:
        """The strongest remedy that a lane needs, by who of the children is at work.

        A place is taken by a message in hand, but not by one that no child works at although one is idle.
        """
        from workers.consumer import QoS, in_hand

        remedies = [Remedy.NONE]
        has_idle_child = not all(at_work)
        has_lost_message = sum(map(in_hand, self.intakes)) > sum(at_work)
        for intake, monitor in zip(self.intakes, self._stall_monitors, strict=True):
            waiting = self.store.messages(*intake.queues)
            taken = sum(QoS.taken[queue] for queue in intake.queues)
            is_idle = has_idle_child and (in_hand(intake) < intake.places or has_lost_message)
            remedies.append(monitor.look(waiting=waiting, taken=taken, is_idle=is_idle, now=time.monotonic()))
        return max(remedies, key=list(Remedy).index)

    def _beat(self, loaded: Mapping[int, dict[str, Any]], *, is_loading: bool) -> None:
        """The heartbeat says that messages are consumed, so a stalled consumer has none."""
        named = {place.name_of(self.pid, pid): facts for pid, facts in loaded.items()}
        if any(monitor.is_stalled for monitor in self._stall_monitors):
            self.store.forget_children(named)
            return
        self.store.beat(named, place=place.this_place(), is_loading=is_loading)

    def _recover(self, remedy: Remedy, worker: Any) -> None:
        """Raises ConnectionError, which makes the consumer start on a fresh connection."""
        from celery import bootsteps

        if remedy is Remedy.NONE or worker.blueprint.state != bootsteps.RUN:
            return
        if remedy is Remedy.RECONNECT:
            log.error("messages wait and none is taken although a child is idle; reconnecting")
            raise redis.ConnectionError("no message was taken")
        log.error("messages wait and none is taken on a fresh connection either; the worker starts again")
        self.must_restart = True
        forced = threading.Timer(DRAIN_S + RESTART_GRACE_S, self._restart_by_force, [worker])
        forced.daemon = True
        forced.start()
        os.kill(self.pid, signal.SIGTERM)

    @staticmethod
    def _restart_by_force(worker: Any) -> None:
        """Without an orderly stop: children are killed, their work queued again as that of stale children."""
        pool = worker.pool._pool  # None once it was stopped
        for process in pool._pool if pool is not None else ():
            if process.exitcode is None:
                kill(process.pid)
        restart_in_place()

    def _reclaim_stale_children(self) -> None:
        """Children of this place that a killed parent left in the store: their work need not wait for its leases."""
        names = {*self.store.running().values(), *self.store.children()}
        self._reclaim({name for name in names if place.is_stale(name)})

    def _reclaim(self, dead: set[str]) -> None:
        for name in dead:
            metrics.forget_process(place.pid_of(name))
            facts_file(place.pid_of(name)).unlink(missing_ok=True)
            log.warning("a worker child died", child=name)
        self.reaper.reclaim(dead)
        self._reclaimed |= dead

    def drain(self) -> None:
        """At a signal to stop: wait for the children's jobs, DRAIN_S at most. Celery's own would sleep all of it.

        It runs in the signal's handler, so the consumer's loop stands still; the children's marks do not need it. A
        job that was handed over just now is given IDLE_S to begin. A child that has ended one goes on with no other.
        """
        self.pulses.stop()
        give_up = idle_since = time.monotonic()
        give_up += DRAIN_S
        while (now := time.monotonic()) < give_up and now - idle_since < IDLE_S:
            if any(self.pulses.is_at_work(index) for index in range(self.concurrency)):
                idle_since = now
            time.sleep(0.1)

    def leave(self) -> None:
        """Give back what the children still held, without blame, and end their heartbeat."""
        try:
            self.store.beat({}, place=place.this_place())
            self.reaper.reclaim(self._children, blame=False)
        except Unavailable:
            log.warning("the store does not answer; leases will run out by themselves")
