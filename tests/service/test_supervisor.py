"""What `lutra up` looks after: children that die, a second signal, folders of runs that were killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service import supervisor
from service.supervisor import BACK_OFF_S, Service, StartupError, Supervisor, check_port, listen
from tests.living import free_port, wait_until
from workers.settings import read_settings


def child(program: str) -> Service:
    return Service("test", [sys.executable, "-c", program], dict(os.environ))


def test_a_child_that_dies_is_started_again_later_each_time_it_dies_young(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("service.supervisor.time.monotonic", lambda: now)
    service = child("import sys; sys.exit(3)")
    pauses: list[float] = []
    for _ in range(len(BACK_OFF_S) + 2):
        service.look()
        assert service.process is not None
        service.process.wait(20)
        service.look()
        assert service.process is None
        pauses.append(service.start_at - now)
        service.look()
        assert service.process is None  # it is not due yet
        now = service.start_at
    assert pauses == [*BACK_OFF_S, BACK_OFF_S[-1], BACK_OFF_S[-1]]
    service.look()
    assert service.process is not None
    service.process.wait(20)
    now += supervisor.OLD_ENOUGH_S + 1
    service.look()
    assert service.start_at - now == BACK_OFF_S[0]  # it had lived long enough to be forgiven


def test_a_child_is_asked_to_end_and_then_ended_with_all_it_started() -> None:
    program = "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program += "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    program += "print(other.pid, flush=True); signal.pause()"
    service = child("")
    service.process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert service.process.stdout is not None
    other = int(service.process.stdout.readline())
    service.terminate()
    assert not service.ended
    service.kill()
    assert service.ended
    wait_until(lambda: not _runs(other), 20, "what it started has ended")
    service.kill()  # once more is no error
    service.process.stdout.close()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this protection is missing")
def test_a_child_ends_with_its_supervisor_however_that_ends() -> None:
    program = "import os, sys, time; from service.supervisor import Service; "
    program += "made = Service('test', [sys.executable, '-c', 'import time; time.sleep(600)'], dict(os.environ)); "
    program += "made.start(); print(made.process.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _runs(pid)
        parent.kill()
    wait_until(lambda: not _runs(pid), 20, "the child has ended")


def test_what_it_starts_may_open_as_many_files_as_the_system_allows(tmp_path: Path) -> None:
    """A soft limit of 1024, as is common, is no bound; it is raised before the first child."""
    program = (
        "import resource, subprocess; from service import supervisor; from workers.settings import read_settings; "
    )
    program += "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 700)); supervisor.REDIS_START_S = 0; "
    program += f"settings = read_settings(redis_url='redis://127.0.0.1:1/0', port=0, data_dir={str(tmp_path)!r})\n"
    program += "try: supervisor.Supervisor(settings).run()\n"
    program += "except supervisor.StartupError: subprocess.run(['sh', '-c', 'ulimit -Sn'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["700"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_a_sentence_and_one_that_is_free_stays_free(host: str) -> None:
    try:
        server = listen(host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        port = server.getsockname()[1]
        with pytest.raises(StartupError, match=f"cannot listen on {host}:{port}: .*in use; set LUTRA_BIND"):
            check_port(host, port)
    check_port(host, port)
    check_port(host, port)


def test_folders_of_runs_that_were_killed_are_swept_away_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(20)
    names = [f"run-{gone.pid}", "run-1", "run-notes", "other"]
    for name in names:
        (tmp_path / name / "redis").mkdir(parents=True)
    made = Supervisor(read_settings(data_dir=tmp_path))._make_folder()
    assert made == tmp_path / f"run-{os.getpid()}"
    assert (made / "metrics").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], made.name])


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"cannot be used: .*; set LUTRA_DATA_DIR"):
        Supervisor(read_settings(data_dir=tmp_path / "file" / "below"))._make_folder()


def test_a_redis_that_does_not_answer_is_a_sentence_that_does_not_repeat_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "REDIS_START_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            settings = read_settings(redis_url=f"redis://:secret@127.0.0.1:{port}/0", data_dir=tmp_path)
            with pytest.raises(StartupError) as refused:
                Supervisor(settings)._start_redis(tmp_path)
            assert "LUTRA_REDIS_URL does not answer" in refused.value.message
            assert "secret" not in refused.value.message


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    """The child ignores SIGTERM; the supervisor's own signals are counted as they come."""
    made = Supervisor(read_settings(data_dir=tmp_path))
    ready = tmp_path / "ready"
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    stubborn = child(f"{program} open({str(ready)!r}, 'w').close(); signal.pause()")
    stubborn.name = "gateway"
    stubborn.start()
    wait_until(ready.exists, 20, "the child ignores the signal")
    made.services.append(stubborn)
    made._on_signal(signal.SIGTERM, None)
    made._on_signal(signal.SIGINT, None)
    made._stop_all()
    assert stubborn.process is not None and stubborn.process.returncode == -signal.SIGKILL
