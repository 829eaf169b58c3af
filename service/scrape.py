"""What a scrape of the gateway shows: what its processes counted, and the queue as the store knows it now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from workers import metrics
from workers.jobs.job import Lane
from workers.jobs.records import QueueFacts


class QueueCollector(Collector):
    """The queue's gauges, read once per scrape; without a store only the capacity of each lane is known.

    `memory`: bytes that Redis uses and may use, 0 for the latter where it has no limit.
    """

    def __init__(self, queue: QueueFacts | None, capacity: int, memory: tuple[int, int] | None = None) -> None:
        self._queue = queue
        self._capacity = capacity
        self._memory = memory

    def collect(self) -> Iterable[Metric]:
        yield _by_lane("lutra_queue_capacity", "Jobs that may wait or run.", dict.fromkeys(Lane, self._capacity))
        if self._queue is None:
            return
        facts = self._queue
        depths = {lane: of.queued for lane, of in facts.lanes.items()}
        ages = {lane: of.oldest_age_s for lane, of in facts.lanes.items()}
        yield _by_lane("lutra_queue_depth", "Jobs that wait.", depths)
        yield _by_lane("lutra_queue_oldest_job_age_seconds", "Age of the oldest job that waits.", ages)
        yield GaugeMetricFamily("lutra_workers_alive", "Worker children with a heartbeat.", value=facts.workers_alive)
        yield GaugeMetricFamily("lutra_store_bytes", "Bytes of pictures and records held.", value=facts.stored_bytes)
        if self._memory is not None:
            used, limit = self._memory
            yield GaugeMetricFamily("lutra_redis_memory_bytes", "Bytes that Redis uses.", value=used)
            yield GaugeMetricFamily("lutra_redis_memory_limit_bytes", "Its maxmemory, 0: none.", value=limit)


def _by_lane(name: str, documentation: str, values: Mapping[Lane, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=["lane"])
    for lane, value in values.items():
        family.add_metric([lane], value)
    return family


class _Joined(Collector):
    """Two registries as one collector."""

    def __init__(self, *parts: Collector) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        for part in self._parts:
            yield from part.collect()


def registry_of(queue: QueueFacts | None, capacity: int, memory: tuple[int, int] | None = None) -> CollectorRegistry:
    """A registry for one scrape; see `QueueCollector`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Joined(metrics.shared_registry(), QueueCollector(queue, capacity, memory)))
    return registry
