"""What a scrape shows of the queue, beside what the processes have counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import generate_latest

from service.scrape import registry_of
from workers import metrics
from workers.jobs.job import Lane
from workers.jobs.records import LaneFacts, QueueFacts

LANES = {Lane.EXPRESS: LaneFacts(3, 1, 1.5), Lane.BULK: LaneFacts(7, 1, 90.0)}
FACTS = QueueFacts(LANES, 12, 4, 123456)


def samples(text: str) -> dict[str, float]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_the_queue_is_shown_as_the_store_knows_it() -> None:
    shown = samples(generate_latest(registry_of(FACTS, 90, (1000, 2000))).decode())
    assert {name: value for name, value in shown.items() if name.startswith(("lutra_queue", "lutra_workers"))} == {
        'lutra_queue_capacity{lane="express"}': 90,
        'lutra_queue_capacity{lane="bulk"}': 90,
        'lutra_queue_depth{lane="express"}': 3,
        'lutra_queue_depth{lane="bulk"}': 7,
        'lutra_queue_oldest_job_age_seconds{lane="express"}': 1.5,
        'lutra_queue_oldest_job_age_seconds{lane="bulk"}': 90.0,
        "lutra_workers_alive": 4,
    }
    assert shown["lutra_store_bytes"] == 123456
    assert (shown["lutra_redis_memory_bytes"], shown["lutra_redis_memory_limit_bytes"]) == (1000, 2000)


def test_without_a_store_only_the_capacity_is_known_and_what_was_counted_is_shown_all_the_same() -> None:
    metrics.ADMISSION_REJECTED.labels("queue_full").inc()
    shown = samples(generate_latest(registry_of(None, 7)).decode())
    assert shown['lutra_queue_capacity{lane="bulk"}'] == 7
    assert not any(name.startswith("lutra_queue_depth") for name in shown) and "lutra_store_bytes" not in shown
    assert shown['lutra_admission_rejected_total{reason="queue_full"}'] >= 1


def test_processes_that_share_a_folder_are_shown_as_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from workers import metrics; metrics.JOBS_REQUEUED.labels('worker_lost').inc(2)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count], env=environment, check=True)
    show = "from prometheus_client import generate_latest; from service.scrape import registry_of; "
    show += "print(generate_latest(registry_of(None, 7)).decode())"
    done = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    shown = samples(done.stdout)
    assert shown['lutra_jobs_requeued_total{reason="worker_lost"}'] == 4
    assert shown['lutra_queue_capacity{lane="express"}'] == 7
