"""Counts: what stands at nought from the start, what an end counts, and processes that count together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import REGISTRY

from workers import metrics
from workers.errors import Unavailable, error_codes


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def run(program: str, folder: Path) -> str:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", f"from workers import metrics; {program}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_whatever_a_worker_will_write_stands_at_nought_before() -> None:
    metrics.zero_worker([("dream", "dreamer")], ["nightmare"])
    for outcome in metrics.OUTCOMES:
        finished = {"operation": "dream", "model": "dreamer", "outcome": outcome}
        assert sample("lutra_jobs_finished_total", **finished) == 0
    for stage in metrics.STAGES:
        assert sample("lutra_job_stage_duration_seconds_count", operation="dream", stage=stage) == 0
    assert sample("lutra_job_errors_total", operation="dream", code="nightmare") == 0
    assert sample("lutra_tiles_total", model="dreamer") == 0
    assert sample("lutra_jobs_in_progress", operation="dream") == 0


def test_whatever_the_gateway_will_write_stands_there_before() -> None:
    metrics.zero_gateway(["dream"])
    assert sample("lutra_jobs_submitted_total", operation="dream") == 0
    assert all(sample("lutra_admission_rejected_total", reason=reason) is not None for reason in metrics.REJECTIONS)


def test_the_reasons_of_refusals_are_codes_of_errors_that_pass() -> None:
    passing = {kind.code for kind in Unavailable.__subclasses__()}
    assert set(metrics.REJECTIONS) <= passing <= set(error_codes())


def test_an_end_is_counted_once_and_a_failure_by_its_code_too() -> None:
    done = {"operation": "upscale", "model": "counted", "outcome": "succeeded"}
    failed = {**done, "outcome": "failed"}
    code = {"operation": "upscale", "code": "counted_code"}
    metrics.count_end("upscale", "counted", "succeeded")
    metrics.count_end("upscale", "counted", "failed", "counted_code")
    assert sample("lutra_jobs_finished_total", **done) == sample("lutra_jobs_finished_total", **failed) == 1
    assert sample("lutra_job_errors_total", **code) == 1
    assert metrics.shared_registry() is REGISTRY


def test_a_process_that_died_gauges_nothing_more_and_its_counts_stay(tmp_path: Path) -> None:
    live = "metrics.JOBS_IN_PROGRESS.labels('upscale').inc(); metrics.TILES.labels('liif').inc(5); "
    pid = run(live + "import os; print(os.getpid())", tmp_path).strip()
    show = "from prometheus_client import generate_latest; print(generate_latest(metrics.shared_registry()).decode())"
    before = run(show, tmp_path)
    assert 'lutra_jobs_in_progress{operation="upscale"} 1.0' in before
    after = run(f"metrics.forget_process({pid}); " + show, tmp_path)
    assert 'lutra_jobs_in_progress{operation="upscale"}' not in after
    assert 'lutra_tiles_total{model="liif"} 5.0' in after
