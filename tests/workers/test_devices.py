"""How many devices and cores there are, and who gets which, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from workers.devices import (
    MOST_KEPT,
    NICE,
    child_device,
    default_concurrency,
    default_express_concurrency,
    may_have_gpu,
    stand_back,
    usable_cores,
    visible_gpus,
)


@pytest.mark.parametrize(
    ("named", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,1", 2), ("GPU-ab,GPU-cd, ", 2), (" 3 ", 1)]
)
def test_gpus_are_those_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, named: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == count


def test_a_gpu_may_be_there_that_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.devices.UNCOUNTED_GPUS", ("/dev/null",))
    for named in ("", "0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert may_have_gpu()
    monkeypatch.setattr("workers.devices.UNCOUNTED_GPUS", ("/dev/no-such-gpu",))
    assert may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not may_have_gpu()


def test_gpus_are_dealt_in_turn_a_child_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert default_concurrency("auto") == default_concurrency("cuda") == 2
    assert [child_device("auto", index) for index in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert default_concurrency("cpu") == default_concurrency("cuda:1") == 1
    assert [child_device(device, 3) for device in ("cpu", "cuda:1")] == ["cpu", "cuda:1"]


def test_without_gpus_one_child_serves_and_finds_out_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert default_concurrency("auto") == 1
    assert child_device("auto", 0) == "auto"


@pytest.mark.parametrize(("cores", "kept"), [(1, 1), (2, 2), (4, 4), (64, MOST_KEPT)])
def test_a_core_each_is_kept_for_express_jobs_and_one_child_where_a_gpu_may_serve(
    monkeypatch: pytest.MonkeyPatch, cores: int, kept: int
) -> None:
    monkeypatch.setattr("workers.devices.usable_cores", lambda: cores)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert default_express_concurrency("cpu") == default_express_concurrency("auto") == kept
    assert default_express_concurrency("cuda") == default_express_concurrency("cuda:1") == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert default_express_concurrency("auto") == 1
    assert default_express_concurrency("cpu") == kept


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_a_thread_that_stands_back_does_so_alone_with_those_that_it_starts() -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen: list[int] = []

    def back() -> None:
        stand_back()
        seen.append(nice())
        another = threading.Thread(target=lambda: seen.append(nice()))
        another.start()
        another.join()

    before = nice()
    thread = threading.Thread(target=back)
    thread.start()
    thread.join()
    assert (seen, nice()) == ([NICE, NICE], before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_cores_are_those_that_this_process_may_run_on() -> None:
    one = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, {{{one}}}); from workers.devices import usable_cores; "
    done = subprocess.run([sys.executable, "-c", program + "print(usable_cores())"], capture_output=True, check=True)
    assert int(done.stdout) == 1
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("policy", "told"), [(None, "1000"), ("active", "None")])
def test_threads_sleep_at_barriers_unless_somebody_chose_otherwise(policy: str | None, told: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    program = "import os; from workers.devices import share_cores_politely; share_cores_politely(); "
    done = subprocess.run(
        [sys.executable, "-c", program + "print(os.environ.get('GOMP_SPINCOUNT'))"],
        env=kept | ({"OMP_WAIT_POLICY": policy} if policy else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == told
