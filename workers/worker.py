"""The worker process: a Celery parent that neither imports torch nor computes, and a child per device that does both.

The parent's consumer loop beats for each child that reported its models loaded, buries children that died or stand
still, and looks for lost work (`jobs.reaper`): when that loop stands still, so does the heartbeat, and the gateway
refuses jobs. The same where it turns but takes no message (`workers.liveness`): the worker then reconnects, and if
that does not help starts itself again. A child loads every model before its first job; one that cannot load says why
and exits.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any

import redis
from celery.exceptions import SecurityWarning

from workers import devices, metrics
from workers.child import Child, limits, told_by, told_file
from workers.errors import Unavailable
from workers.jobs import celery_app, place
from workers.jobs.reaper import PERIOD_S, Reaper
from workers.jobs.records import LEASE_S
from workers.jobs.store import Store
from workers.liveness import STUCK_S, Hunger, Pulses, Remedy, Standstill, Wards
from workers.log import Log
from workers.process import AGAIN, kill, start_again
from workers.settings import Settings

DRAIN_S = 30.0
IDLE_S = 0.5
RESTART_GRACE_S = 15.0

log = Log(__name__)


def run_worker(settings: Settings, redis_url: str) -> int:
    """Serve the queue until told to stop; the exit status, AGAIN where this process should `start_again`.

    SIGTERM: no new jobs, DRAIN_S for those that run, the rest goes back into the queue.
    """
    devices.share_cores_politely()
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # Celery reads it when its worker module is imported
    warnings.filterwarnings("ignore", category=SecurityWarning)  # it warns of pickles in the queue; we take JSON only
    parent = Parent(settings, redis_url)
    worker = parent.app.Worker(
        pool="prefork",
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
    return AGAIN if parent.is_to_restart else int(worker.exitcode or 0)


class Parent:
    """What the worker's parent does beside Celery: metrics, heartbeats, burials, lost work."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self.settings = settings
        self.concurrency = settings.worker_concurrency or devices.default_concurrency(settings.device)
        self.pid = os.getpid()
        self.app = celery_app.make_app(redis_url, job_timeout_s=settings.job_timeout_seconds)
        self.app.conf.worker_soft_shutdown_timeout = DRAIN_S
        self.store = Store.at(redis_url, limits(settings))
        self.reaper = Reaper(
            self.store,
            lambda computation: celery_app.send(self.app, computation),
            name=place.name_of(self.pid, self.pid),
            lease_s=LEASE_S,
        )
        self.pulses = Pulses(self.concurrency)
        self.is_to_restart = False
        self._wards = Wards()
        self._hunger = Hunger()
        self._looks = 0
        self._children: set[str] = set()
        self._arrived = True
        self._define_task()
        self._add_duties()
        self._connect_signals(redis_url)

    def _define_task(self) -> None:
        parent = self

        class Compute(self.app.Task):  # type: ignore[name-defined, misc]
            def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
                """At the hard limit the child is killed and writes nothing; the parent does."""
                parent.reaper.expire(args[0])

        @self.app.task(name=celery_app.TASK, base=Compute)  # type: ignore[untyped-decorator]
        def compute(computation_id: str) -> None:
            Child.current().run(computation_id)

    def _add_duties(self) -> None:
        from celery import bootsteps

        parent = self

        class Duties(bootsteps.StartStopStep):  # type: ignore[misc]
            requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

            def start(self, worker: Any) -> None:
                worker.timer.call_repeatedly(PERIOD_S, parent.look_after, (worker,), priority=10)
                threading.Thread(target=parent.watch_the_loop, args=(worker,), name="loop-watch", daemon=True).start()

        self.app.steps["worker"].add(Duties)

    def _connect_signals(self, redis_url: str) -> None:
        from celery import signals

        def start_child(**_: Any) -> None:
            Child.start(self.settings, redis_url, self.pid, self.pulses)

        def stop_child(**_: Any) -> None:
            Child.current().close()

        def keep_our_logging(**_: Any) -> None:
            """A receiver makes Celery leave the loggers as `workers.log` set them up."""

        def tell_ready(**_: Any) -> None:
            self._serve_metrics()
            log.info("worker started", children=self.concurrency)

        signals.worker_process_init.connect(start_child, weak=False)
        signals.worker_process_shutdown.connect(stop_child, weak=False)
        signals.setup_logging.connect(keep_our_logging, weak=False)
        signals.worker_ready.connect(tell_ready, weak=False)

    def _serve_metrics(self) -> None:
        if not self.settings.metrics_port:
            return
        from prometheus_client import start_http_server

        try:
            start_http_server(self.settings.metrics_port, self.settings.bind, registry=metrics.shared_registry())
        except OSError as error:
            log.warning("metrics are not served", port=self.settings.metrics_port, reason=error.strerror)

    def look_after(self, worker: Any) -> None:
        """One round of the parent's duties, on the consumer's loop."""
        self._looks += 1
        indices = {process.pid: process.index for process in worker.pool._pool._pool if process.exitcode is None}
        loaded = {pid: facts for pid in indices if (facts := told_by(pid)) is not None}
        for pid in self._wards.stopped({pid: self.pulses.count(indices[pid]) for pid in loaded}, time.monotonic()):
            log.error("a worker child stands still, killed", child=place.name_of(self.pid, pid))
            kill(pid)
            del indices[pid], loaded[pid]
        living = {place.name_of(self.pid, pid) for pid in indices}
        dead, self._children = self._children - living, living
        try:
            is_idle = any(not self.pulses.is_at_work(indices[pid]) for pid in loaded)
            remedy = self._look_for_hunger(is_idle)
            self._beat(loaded, is_loading=len(loaded) < self.concurrency)
            if self._arrived:
                self._arrived = False
                self._bury_ghosts()
            self._bury(dead)
        except Unavailable:
            self._children |= dead
            log.warning("the store does not answer the worker's heartbeat")
            return
        self.reaper.look()
        self._recover(remedy, worker)

    def watch_the_loop(self, worker: Any) -> None:
        """In a thread: a loop that stands still for STUCK_S although the store answers is never left to itself."""
        from celery import bootsteps

        stuck = Standstill(STUCK_S / PERIOD_S)
        while worker.blueprint.state in (None, bootsteps.RUN):
            time.sleep(PERIOD_S)
            try:
                self.store.ping()
            except Unavailable:
                stuck.forgive()
                continue
            if self._looks and stuck.look(self._looks) and worker.blueprint.state == bootsteps.RUN:
                log.error("the consumer's loop stands still; the worker starts again")
                self._start_again_by_force(worker)

    def _look_for_hunger(self, is_idle: bool) -> Remedy:
        from workers.consumer import QoS

        waiting = self.store.messages(celery_app.QUEUE)
        return self._hunger.look(waiting=waiting, taken=QoS.taken, is_idle=is_idle, now=time.monotonic())

    def _beat(self, loaded: Mapping[int, dict[str, Any]], *, is_loading: bool) -> None:
        """The heartbeat says: I consume. So a worker that is deaf has none."""
        named = {place.name_of(self.pid, pid): facts for pid, facts in loaded.items()}
        if self._hunger.is_deaf:
            self.store.forget_children(named)
            return
        self.store.beat(named, place=place.this_place(), is_loading=is_loading)

    def _recover(self, remedy: Remedy, worker: Any) -> None:
        """Raises ConnectionError, which makes the consumer start anew on a fresh connection."""
        from celery import bootsteps

        if remedy is Remedy.NONE or worker.blueprint.state != bootsteps.RUN:
            return
        if remedy is Remedy.RECONNECT:
            log.error("messages wait and none is taken although a child is idle; reconnecting")
            raise redis.ConnectionError("no message was taken")
        log.error("messages wait and none is taken on a fresh connection either; the worker starts again")
        self.is_to_restart = True
        by_force = threading.Timer(DRAIN_S + RESTART_GRACE_S, self._start_again_by_force, [worker])
        by_force.daemon = True
        by_force.start()
        os.kill(self.pid, signal.SIGTERM)

    @staticmethod
    def _start_again_by_force(worker: Any) -> None:
        """Without an orderly stop: children are killed, their work queued again as that of ghosts."""
        pool = worker.pool._pool  # None once it was stopped
        for process in pool._pool if pool is not None else ():
            if process.exitcode is None:
                kill(process.pid)
        start_again()

    def _bury_ghosts(self) -> None:
        """Children of this place that a killed parent left in the store: their work need not wait for its leases."""
        names = {*self.store.running().values(), *self.store.children()}
        self._bury({name for name in names if place.is_ghost(name)})

    def _bury(self, dead: set[str]) -> None:
        for name in dead:
            metrics.forget_process(place.pid_of(name))
            told_file(place.pid_of(name)).unlink(missing_ok=True)
            log.warning("a worker child died", child=name)
        self.reaper.bury(dead)

    def drain(self) -> None:
        """Told to stop: wait for the children's jobs, DRAIN_S at most. Celery's own would sleep all of it.

        It runs in the signal's handler, so the consumer's loop stands still; the children's marks do not need it. A
        job that was handed over just now is given IDLE_S to begin.
        """
        give_up = idle_since = time.monotonic()
        give_up += DRAIN_S
        while (now := time.monotonic()) < give_up and now - idle_since < IDLE_S:
            if any(self.pulses.is_at_work(index) for index in range(self.concurrency)):
                idle_since = now
            time.sleep(0.1)

    def leave(self) -> None:
        """Give back what the children still held, without blame, and take them off the list of the living."""
        try:
            self.store.beat({}, place=place.this_place())
            self.reaper.bury(self._children, blame=False)
        except Unavailable:
            log.warning("the store does not answer; leases will run out by themselves")
