"""The service as it is started on one machine, and a Redis beside it that keeps its file and can be restarted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.crowd import ROOT
from workers import embedded

READY_S = 180.0
STOP_S = 100.0


@dataclass(frozen=True)
class Server:
    """Something that is served, and the processes at its roots."""

    name: str
    url: str
    pids: tuple[int, ...]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status_of(url: str, data: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of a GET, or of a POST of a JPEG; (0, b"") where nothing answers."""
    request = urllib.request.Request(url, data, {"Content-Type": "image/jpeg"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def wait_until(is_so: Callable[[], bool], log: Path, process: subprocess.Popen[bytes]) -> None:
    """Raises SystemExit with the end of its log where that takes longer than READY_S, or the process ends."""
    give_up = time.monotonic() + READY_S
    while not is_so():
        if process.poll() is not None or time.monotonic() > give_up:
            raise SystemExit(f"{log.stem} did not become ready:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


@contextmanager
def started(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, whose output goes to `log`; ended by SIGTERM, and killed, with what it leaves of its group."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def lutra(folder: Path, settings: Mapping[str, str], beside: Sequence[int] = ()) -> Iterator[Server]:
    """`lutra up` with these settings, ready; `beside` are processes that belong to it as well."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    own = {"LUTRA_PORT": str(port), "LUTRA_DATA_DIR": str(folder), "LUTRA_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "service.cli", "up"]
    with started(command, log := folder / "lutra.log", {**own, **settings}) as process:
        wait_until(lambda: status_of(f"{url}/readyz")[0] == 200, log, process)
        yield Server("Lutra", url, (process.pid, *beside))


def configured(own: Mapping[str, str]) -> str:
    """docker/redis.conf with these directives in place of its own."""
    lines = (ROOT / "docker" / "redis.conf").read_text().splitlines()
    kept = [line for line in lines if line.partition(" ")[0] not in own]
    return "\n".join([*kept, *(f"{name} {value}" for name, value in own.items())]) + "\n"


class Redis:
    """A Redis by docker/redis.conf, which keeps what it took in over a restart."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._log = folder / "redis.log"
        configuration = folder / "redis.conf"
        configuration.write_text(configured({"port": str(self._port), "bind": "127.0.0.1", "dir": str(folder)}))
        self._command = [str(embedded.find_server()), str(configuration)]
        self._start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self) -> None:
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(STOP_S)

    def restart(self) -> None:
        self.stop()
        self._start()
