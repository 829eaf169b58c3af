"""`lutra up`: Redis (private, unless one is set), worker and gateway as children of one process that looks after them.

A child that dies is started again, later each time it dies young. SIGTERM and Ctrl-C drain: the gateway finishes what
it has taken in, then the worker, then Redis; a second one kills. No child outlives this process, however it ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import redis

from service.crowd import raise_descriptor_limit
from workers import embedded
from workers.errors import LutraError
from workers.jobs.connections import connect
from workers.log import Log
from workers.settings import Settings

LOOK_EVERY_S = 0.1
REDIS_START_S = 10.0
BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
OLD_ENOUGH_S = 60.0
DRAIN_S = {"gateway": 40.0, "worker": 40.0, "redis": 10.0}
PR_SET_PDEATHSIG = 1
ELSEWHERE = "set LUTRA_BIND and LUTRA_PORT to a place that is free"

log = Log(__name__)


class StartupError(LutraError):
    code = "startup"


def check_port(host: str, port: int) -> None:
    """Raises StartupError, in a sentence, where the gateway could not listen there."""
    try:
        listen(host, port).close()
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}; {ELSEWHERE}") from None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(2048)
    except OSError:
        server.close()
        raise
    return server


def _die_with_parent() -> None:
    """In the child: SIGTERM when the supervisor is gone (Linux; elsewhere this protection is missing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Service:
    """One child: how it is started, and how it fares."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    start_at: float = 0.0

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if self.name == "redis" else None,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def look(self) -> None:
        """Start it if it is due; note its death and when to try again."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return
        if self.process.poll() is None:
            return
        self.deaths = 1 if now - self.started_at > OLD_ENOUGH_S else self.deaths + 1
        pause = BACK_OFF_S[min(self.deaths, len(BACK_OFF_S)) - 1]
        log.warning("died, will be restarted", name=self.name, status=self.process.returncode, in_s=pause)
        self.kill()
        self.process, self.start_at = None, now + pause

    def terminate(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End the child and whatever it left in its process group."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None


@dataclass
class Supervisor:
    """The children in the order in which they are started; they are stopped in the reverse order."""

    settings: Settings
    services: list[Service] = field(default_factory=list)
    stops: int = 0

    def run(self) -> int:
        """Until a signal says stop; the exit status. Raises LutraError where it cannot start."""
        check_port(self.settings.bind, self.settings.port)
        folder = self._make_folder()
        raise_descriptor_limit()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            url = self._start_redis(folder)
            environment = self._environment(url, folder)
            self._greet()
            for name in ("worker", "gateway"):
                command = [sys.executable, "-m", "service.cli", name]
                self.services.append(Service(name, command, environment))
            self._look_after()
            return 0
        finally:
            self._stop_all()
            shutil.rmtree(folder, ignore_errors=True)

    def _greet(self) -> None:
        where = f"http://{self.settings.bind}:{self.settings.port}"
        if self.settings.log_as_text:
            print(f"lutra: serving on {where} (pictures are taken once {where}/readyz says ok)", flush=True)
        else:
            log.info("serving", url=where)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    def _make_folder(self) -> Path:
        """This run's own folder; folders of runs that were killed are swept away."""
        runs = self.settings.data_dir
        try:
            runs.mkdir(parents=True, exist_ok=True)
            for old in runs.glob("run-*"):
                pid = old.name.removeprefix("run-")
                if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
                    shutil.rmtree(old, ignore_errors=True)
            folder = runs / f"run-{os.getpid()}"
            (folder / "metrics").mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise StartupError(
                f"the data folder {runs} cannot be used: {error.strerror}; set LUTRA_DATA_DIR to another"
            ) from None
        return folder

    def _start_redis(self, folder: Path) -> str:
        """The URL of the Redis to use, once it answers."""
        url = self.settings.redis_url
        if url is None:
            private = embedded.prepare(folder / "redis", self.settings.store_bytes)
            self.services.append(Service("redis", private.command, dict(os.environ)))
            self.services[0].start()
            url = private.url
        self._wait_for_redis(url)
        return url

    def _wait_for_redis(self, url: str) -> None:
        give_up = time.monotonic() + REDIS_START_S
        while not self.stops:
            try:
                client = connect(url, timeout_s=1.0)
                client.ping()
                client.close()
                return
            except redis.RedisError as error:
                if time.monotonic() > give_up:
                    where = "the private Redis" if self.settings.redis_url is None else "LUTRA_REDIS_URL"
                    raise StartupError(f"{where} does not answer: {type(error).__name__}") from None
                time.sleep(0.05)

    def _environment(self, url: str, folder: Path) -> dict[str, str]:
        """One folder of counts for all children, so that the gateway's /metrics shows everything."""
        shared = {"LUTRA_REDIS_URL": url, "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics")}
        return {**os.environ, "LUTRA_METRICS_PORT": "0", **shared}

    def _look_after(self) -> None:
        while not self.stops:
            for service in self.services:
                service.look()
            time.sleep(LOOK_EVERY_S)
        log.info("stopping: running jobs are finished first, once more to stop at once")

    def _stop_all(self) -> None:
        for service in reversed(self.services):
            give_up = time.monotonic() + DRAIN_S[service.name]
            service.terminate()
            while not service.ended and time.monotonic() < give_up and self.stops < 2:
                time.sleep(LOOK_EVERY_S / 2)
            if not service.ended:
                log.warning("did not stop in time, killed", name=service.name)
            service.kill()
