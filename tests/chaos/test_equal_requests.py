"""A worker killed under a hundred equal requests: each has its picture, of one computation."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.living import as_file, opened, photo, running_lutra, wait_until
from tests.service.test_equal_requests import LONG, SUCCEEDED, cached, post_at_once

pytestmark = pytest.mark.chaos


def test_a_hundred_equal_requests_survive_their_worker_as_one_computation(tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    data = as_file(photo(256, 256, seed=5), quality=95)
    with running_lutra(tmp_path) as lutra:
        posting = threading.Thread(
            target=lambda: answers.extend(post_at_once(lutra, 100, LONG, data, Prefer="wait=240"))
        )
        posting.start()
        wait_until(lambda: lutra.samples("lutra_jobs_in_progress").get('{operation="upscale"}') == 1, 60, "it runs")
        wait_until(lambda: sum(cached(lutra).values()) == 100, 60, "all are taken in")
        (child,) = lutra.children()
        os.kill(child, signal.SIGKILL)
        posting.join()
        assert Counter(answer.status_code for answer in answers) == {200: 100}
        assert opened(answers[0].content).size == (1024, 1024)
        assert len({answer.content for answer in answers}) == 1
        assert cached(lutra)['{result="miss"}'] == 1
        assert lutra.samples("lutra_jobs_finished_total")[SUCCEEDED % "liif"] == 1
        told = lutra.client.get(f"/jobs/{answers[0].headers['x-job-id']}").json()
        assert told["attempts"] == 2
