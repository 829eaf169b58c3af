"""Every Prometheus instrument of both processes, by name and unit; the one place where a name is spelt.

The instruments are made at import, and prometheus_client looks for PROMETHEUS_MULTIPROC_DIR at just that moment: an
entrance sets it before anything imports this module. What the store knows best (queue, workers) is read from it at each
scrape by `service.scrape`, not counted here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)

OUTCOMES = ("succeeded", "failed", "cancelled")
STAGES = ("queue", "decode", "infer", "encode")
REJECTIONS = ("queue_full", "store_full", "store_unavailable", "share_reached", "no_worker", "too_many_uploads")
CACHE_RESULTS = ("hit", "coalesced", "miss")
REQUEUE_REASONS = ("worker_lost", "lease_expired", "message_lost")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

HTTP_REQUESTS = Counter("http_requests_total", "HTTP requests.", ["handler", "method", "status"])
HTTP_DURATION = Histogram(
    "http_request_duration_seconds", "Time to the last byte of the answer.", ["handler", "method"], buckets=SECONDS
)

JOBS_SUBMITTED = Counter("lutra_jobs_submitted_total", "Jobs taken in.", ["operation"])
JOBS_FINISHED = Counter("lutra_jobs_finished_total", "Jobs ended.", ["operation", "model", "outcome"])
JOB_ERRORS = Counter("lutra_job_errors_total", "Jobs failed, by the problem's code.", ["operation", "code"])
JOBS_IN_PROGRESS = Gauge(
    "lutra_jobs_in_progress", "Jobs a worker child is computing.", ["operation"], multiprocess_mode="livesum"
)
QUEUE_WAIT = Histogram(
    "lutra_job_queue_wait_seconds", "From taken in to claimed by a worker.", ["operation"], buckets=SECONDS
)
JOB_DURATION = Histogram(
    "lutra_job_duration_seconds", "From claimed to ended.", ["operation", "model"], buckets=SECONDS
)
STAGE_DURATION = Histogram(
    "lutra_job_stage_duration_seconds", "Each stage of a job.", ["operation", "stage"], buckets=SECONDS
)
INPUT_PIXELS = Counter("lutra_input_pixels_total", "Pixels decoded.", ["operation", "model"])
OUTPUT_PIXELS = Counter("lutra_output_pixels_total", "Pixels produced.", ["operation", "model"])
TILES = Counter("lutra_tiles_total", "Tiles computed.", ["model"])
BATCH_SIZE = Histogram("lutra_batch_size", "Tiles a call of the network.", ["model"], buckets=BATCH_SIZES)
OOM_RETRIES = Counter("lutra_oom_retries_total", "Smaller tiles after memory ran out.", ["model"])
NONFINITE_RETRIES = Counter("lutra_nonfinite_retries_total", "Tiles repeated in full precision.", ["model"])
CACHE_REQUESTS = Counter("lutra_cache_requests_total", "Jobs taken in, by how they came to a result.", ["result"])
ADMISSION_REJECTED = Counter("lutra_admission_rejected_total", "Jobs refused at the door.", ["reason"])
JOBS_REQUEUED = Counter("lutra_jobs_requeued_total", "Computations queued again.", ["reason"])
MODEL_LOADED = Gauge("lutra_model_loaded", "Children that hold the model.", ["model"], multiprocess_mode="livesum")
MODEL_LOAD = Gauge("lutra_model_load_duration_seconds", "Time the last load took.", ["model"], multiprocess_mode="max")
MODEL_INFO = Gauge("lutra_model_info", "Always 1.", ["model", "sha256", "precision", "device"], multiprocess_mode="max")
GPU_MEMORY = Gauge("lutra_gpu_memory_allocated_bytes", "By torch.", ["gpu"], multiprocess_mode="livesum")
GPU_MEMORY_USED = Gauge("lutra_gpu_memory_used_bytes", "By whoever.", ["gpu"], multiprocess_mode="livemax")
GPU_MEMORY_TOTAL = Gauge("lutra_gpu_memory_total_bytes", "That there are.", ["gpu"], multiprocess_mode="livemax")
GPU_UTILIZATION = Gauge("lutra_gpu_utilization_ratio", "0 to 1.", ["gpu"], multiprocess_mode="livemax")
BUILD_INFO = Gauge("lutra_build_info", "Always 1.", ["version", "revision"], multiprocess_mode="max")


def shared_registry() -> CollectorRegistry:
    """What all processes that share PROMETHEUS_MULTIPROC_DIR have counted; without it, this process alone."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def forget_process(pid: int) -> None:
    """A process died: its live gauges no longer count."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def labelled(instrument: Instrument, *labels: str) -> Instrument:
    """The instrument under these labels, looked up once: that costs more than to count."""
    return cast("Instrument", _labelled(instrument, labels))


@cache
def _labelled(instrument: Any, labels: tuple[str, ...]) -> Any:
    return instrument.labels(*labels)


def count_end(operation: str, model: str, outcome: str, error_code: str = "") -> None:
    """A job ended; `error_code` is empty unless it failed."""
    labelled(JOBS_FINISHED, operation, model, outcome).inc()
    if error_code:
        JOB_ERRORS.labels(operation, error_code).inc()


def zero_gateway(operations: Iterable[str]) -> None:
    """Let every label set that the gateway will write stand at 0 from the start."""
    for operation in operations:
        JOBS_SUBMITTED.labels(operation)
    for result in CACHE_RESULTS:
        CACHE_REQUESTS.labels(result)
    for reason in REJECTIONS:
        ADMISSION_REJECTED.labels(reason)


def zero_worker(models: Iterable[tuple[str, str]], codes: Iterable[str]) -> None:
    """Let every label set that a worker will write stand at 0; `models` are (operation, model) pairs."""
    codes = list(codes)
    for operation, model in models:
        for outcome in OUTCOMES:
            JOBS_FINISHED.labels(operation, model, outcome)
        JOB_DURATION.labels(operation, model)
        for counter in (INPUT_PIXELS, OUTPUT_PIXELS):
            counter.labels(operation, model)
        for counter in (TILES, OOM_RETRIES, NONFINITE_RETRIES):
            counter.labels(model)
        BATCH_SIZE.labels(model)
        JOBS_IN_PROGRESS.labels(operation)
        QUEUE_WAIT.labels(operation)
        for stage in STAGES:
            STAGE_DURATION.labels(operation, stage)
        for code in codes:
            JOB_ERRORS.labels(operation, code)
    for reason in REQUEUE_REASONS:
        JOBS_REQUEUED.labels(reason)
