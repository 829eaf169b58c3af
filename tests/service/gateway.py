"""A gateway alone, without a worker: what is refused before a job is made, and how connections fare, needs no more."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.living import free_port, private_redis, wait_until

# A real gateway whose limits of time are over sooner than the real ones.
HURRIED = """
import sys
from service import connections, upload
{changes}
from service.cli import main
sys.exit(main(["gateway"]))
"""


@dataclass
class Answer:
    """A raw answer on a socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, object]:
        assert self.headers["content-type"] == "application/problem+json"
        told: dict[str, object] = json.loads(self.body)
        assert told["status"] == self.status
        return told


@dataclass
class Gateway:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """A connection from one of the loopback network's addresses."""
        line = socket.create_connection(("127.0.0.1", self.port), 60, (source, 0))
        line.settimeout(60)
        return line

    def is_alive(self) -> bool:
        """Whether /livez answers within some seconds, on a connection of its own."""
        try:
            return httpx.get(f"{self.url}/livez", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def send(line: socket.socket, *pieces: bytes) -> bool:
    """Whether all of it went out before the other end closed."""
    try:
        for piece in pieces:
            line.sendall(piece)
    except OSError:
        return False
    return True


def read_answer(line: socket.socket) -> Answer | None:
    """The next answer with a Content-Length; None where the connection ended without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := _received(line)):
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
    while len(body) < int(headers["content-length"]):
        body += _received(line)
    return Answer(int(first.split()[1]), headers, body)


def ends(line: socket.socket, seconds: float) -> bool:
    """Whether the other end closes within `seconds`, whatever it says before."""
    line.settimeout(seconds)
    try:
        while line.recv(65536):
            continue
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def _received(line: socket.socket) -> bytes:
    with suppress(ConnectionError):
        return line.recv(65536)
    return b""


def _program(hurry: Mapping[str, float]) -> tuple[str, ...]:
    if not hurry:
        return "-m", "service.cli", "gateway"
    changes = (f"assert {name} > {value}; {name} = {value}" for name, value in hurry.items())
    return "-c", HURRIED.format(changes="\n".join(changes))


@contextmanager
def running_gateway(
    folder: Path, *, files: int = 4096, hurry: Mapping[str, float] | None = None, **environment: str
) -> Iterator[Gateway]:
    """`lutra gateway` with a Redis of its own and at most `files` descriptors; stopped with SIGTERM.

    `hurry`: other values of its constants, "connections.HEAD_S" for instance, so that nobody waits for the real ones.
    """
    port, log = free_port(), folder / "gateway.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LUTRA_", "PROMETHEUS_"))}
    with private_redis(folder / "redis") as (redis_url, _), log.open("wb") as output:
        settings = {"LUTRA_PORT": str(port), "LUTRA_REDIS_URL": redis_url, "LUTRA_LOG_FORMAT": "json", **environment}
        process = subprocess.Popen(
            [sys.executable, *_program(hurry or {})],
            env={**inherited, **settings},
            stdout=output,
            stderr=output,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 1024), files)),
        )
        gateway = Gateway(port, process, log)
        try:
            wait_until(lambda: gateway.is_alive() or process.poll() is not None, 60, "the gateway answers")
            assert process.poll() is None, log.read_text()
            yield gateway
        finally:
            process.terminate()
            process.wait(60)
