"""How many short jobs a second, and what of the processor each part of the service takes for one.

    python -m benchmarks.throughput [--rounds 3] [--seconds 10] [--clients 16] [--side 512] [--beside DIR ...]
        [--profile DIR]

Starts `lutra up` on a free port, warms it up, and has `clients` connections POST one /enhance after the other, each a
computation of its own, for `seconds`, in each of `rounds`. Prints medians of the rounds: jobs a second, latencies,
milliseconds of processor time a job of each kind of process, of these the picture's own (decode, enhance and encode in
one process, with one thread) and the rest, which is the service's own; and the commands that Redis ran for a job.

`--beside`: other checkouts, with their .venv, whose services take turns with this one's: before and after a change.
`--profile`: a folder for what py-spy, where it is installed, sees of gateway and worker, and the functions on top.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import redis

from benchmarks import machine
from benchmarks.service import free_port, in_process, photo, wait_until_ready
from workers.embedded import prepare

WARM_S = 3.0
KINDS = ("gateway", "parent", "children", "decoders", "store", "supervisor")
TOP = 40


class Connection:
    """One kept-alive connection, as cheap as can be: it shares the cores with what is measured."""

    def __init__(self, port: int, body: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        head = f"POST /enhance?format=jpeg HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        self._request = f"{head}Content-Type: image/jpeg\r\nCache-Control: no-cache\r\n\r\n".encode() + body

    def call(self) -> int:
        """The status of one request, its answer read to the end."""
        self._socket.sendall(self._request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(fields[b"content-length"]) - len(body)
        while left > 0:
            left -= len(self._received())
        return int(head.split(b" ", 2)[1])

    def _received(self) -> bytes:
        data = self._socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the service closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


@dataclass
class Round:
    """What was seen in one."""

    jobs_per_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    refused: int = 0
    cpu_ms: dict[str, float] = field(default_factory=dict)
    commands: dict[str, float] = field(default_factory=dict)


class Service:
    """`lutra up` of a checkout on a Redis of its own, and what its processes have used."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], store: subprocess.Popen[bytes], url: str) -> None:
        self.port = port
        self._process, self._store = process, store
        self._redis = redis.from_url(url)

    def pids(self) -> dict[int, str]:
        """Kinds of its processes by their ids."""
        kinds = {self._process.pid: "supervisor", self._store.pid: "store"}
        parents = {int(pid.name): _parent_of(pid) for pid in Path("/proc").iterdir() if pid.name.isdecimal()}
        for _ in range(3):
            for pid, parent in parents.items():
                if parent in kinds and pid not in kinds:
                    kinds[pid] = _kind_of(pid, kinds[parent])
        return kinds

    def processor_s(self) -> dict[str, float]:
        """By kind; of the processes that live."""
        used = dict.fromkeys(KINDS, 0.0)
        for pid, kind in self.pids().items():
            used[kind] += time.clock_gettime(~pid << 3 | 2)  # of the process: clock_getcpuclockid(3)
        return used

    def commands(self) -> dict[str, int]:
        """How often each was run so far, also inside scripts."""
        stats: dict[str, dict[str, int]] = self._redis.info("commandstats")
        return {name.removeprefix("cmdstat_"): facts["calls"] for name, facts in stats.items()}

    def drive(self, body: bytes, clients: int, seconds: float) -> Round:
        """That many connections, each one request after the other, for so long."""
        seen = Round()
        used, ran, start = self.processor_s(), self.commands(), time.perf_counter()
        threads = [
            threading.Thread(target=_drive_one, args=(self.port, body, start + seconds, seen)) for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        jobs, elapsed_s = max(1, len(seen.latencies_ms)), time.perf_counter() - start
        seen.jobs_per_s = jobs / elapsed_s
        after, ran_after = self.processor_s(), self.commands()
        seen.cpu_ms = {kind: (after[kind] - used[kind]) * 1000 / jobs for kind in KINDS}
        seen.commands = {name: (count - ran.get(name, 0)) / jobs for name, count in ran_after.items()}
        return seen


def _parent_of(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _kind_of(pid: int, parent: str) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    if "decoder_process" in command:
        return "decoders"
    if parent == "parent":
        return "children"
    return "gateway" if "gateway" in command else "parent"


def _drive_one(port: int, body: bytes, until: float, seen: Round) -> None:
    connection = Connection(port, body)
    while (start := time.perf_counter()) < until:
        if connection.call() == 200:
            seen.latencies_ms.append((time.perf_counter() - start) * 1000)
        else:
            seen.refused += 1
    connection.close()


@contextmanager
def running(checkout: Path) -> Iterator[Service]:
    """The service of a checkout, ready."""
    port = free_port()
    with TemporaryDirectory() as folder:
        private = prepare(Path(folder) / "redis")
        store = subprocess.Popen(private.command, stdout=subprocess.DEVNULL)
        own = {"LUTRA_PORT": str(port), "LUTRA_DATA_DIR": folder, "LUTRA_REDIS_URL": private.url}
        python = checkout / ".venv/bin/python"
        command = [str(python) if python.exists() else sys.executable, "-m", "service.cli", "up"]
        environment = {**os.environ, "LUTRA_LOG_LEVEL": "warning", **own}
        process = subprocess.Popen(command, cwd=checkout, env=environment)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_ready(client)
            yield Service(port, process, store, private.url)
        finally:
            for one in (process, store):
                one.terminate()
                one.wait()


def profile(service: Service, folder: Path, seconds: float) -> list[subprocess.Popen[bytes]]:
    """py-spy beside each process that runs Python of ours; it writes folded stacks."""
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if spy is None:
        raise SystemExit("--profile needs py-spy, which is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    options = [spy, "record", "--duration", str(round(seconds)), "--rate", "200", "--format", "raw", "--nonblocking"]
    targets = {pid: kind for pid, kind in service.pids().items() if kind in ("gateway", "parent", "children")}
    return [
        subprocess.Popen([*options, "--output", folder / f"{kind}-{pid}.txt", "--pid", str(pid)])
        for pid, kind in targets.items()
    ]


def print_top(stacks: Path) -> None:
    """The functions under which most samples lie, each counted once a stack."""
    under: Counter[str] = Counter()
    total = 0
    for line in stacks.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        total += int(samples)
        under.update(dict.fromkeys({frame.rpartition(":")[0] for frame in stack.split(";")}, int(samples)))
    print(f"{stacks.stem}: {total} samples")
    for frame, count in under.most_common(TOP):
        print(f"  {100 * count / max(1, total):5.1f} %  {frame}")


def picture_cpu_ms(body: bytes, calls: int = 50) -> float:
    """Of decode, enhance and encode alone."""
    call = in_process(body, threads=1)
    call()
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) * 1000 / calls


def report(name: str, rounds: list[Round], picture_ms: float) -> None:
    latencies = sorted(ms for one in rounds for ms in one.latencies_ms)
    p50, p95 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.95)]
    rates = ", ".join(f"{one.jobs_per_s:.1f}" for one in rounds)
    rate, refused = statistics.median(one.jobs_per_s for one in rounds), sum(one.refused for one in rounds)
    print(f"{name}: {rate:.1f} jobs/s ({rates}); p50 {p50:.0f} ms, p95 {p95:.0f} ms; refused {refused}")
    cpu = {kind: statistics.median(one.cpu_ms[kind] for one in rounds) for kind in KINDS}
    parts = ", ".join(f"{kind} {ms:.2f}" for kind, ms in cpu.items())
    print(f"  processor time a job: {sum(cpu.values()):.2f} ms ({parts})")
    print(f"  the picture's own {picture_ms:.2f} ms, the service's own {sum(cpu.values()) - picture_ms:.2f} ms")
    commands = {name: statistics.median(one.commands[name] for one in rounds) for name in rounds[0].commands}
    top = ", ".join(f"{name} {count:.2f}" for name, count in Counter(commands).most_common(14))
    print(f"  Redis commands a job: {sum(commands.values()):.1f} ({top})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--profile", type=Path)
    arguments = parser.parse_args()
    body = photo(arguments.side)
    checkouts = [Path.cwd(), *(folder.resolve() for folder in arguments.beside)]
    print(machine.line("torch"))
    seen: Mapping[Path, list[Round]] = {checkout: [] for checkout in checkouts}
    with ExitStack() as stack:
        services = {checkout: stack.enter_context(running(checkout)) for checkout in checkouts}
        for service in services.values():
            service.drive(body, arguments.clients, WARM_S)
        for _ in range(arguments.rounds):
            for checkout, service in services.items():
                seen[checkout].append(service.drive(body, arguments.clients, arguments.seconds))
        if arguments.profile:
            spies = profile(services[checkouts[0]], arguments.profile, arguments.seconds)
            services[checkouts[0]].drive(body, arguments.clients, arguments.seconds + 1)
            for spy in spies:
                spy.wait()
    picture_ms = picture_cpu_ms(body)
    print(f"/enhance, {arguments.side}x{arguments.side} JPEG of {len(body)} bytes, {arguments.clients} clients")
    for checkout, rounds in seen.items():
        report(str(checkout), rounds, picture_ms)
    for stacks in sorted(arguments.profile.glob("*.txt")) if arguments.profile else ():
        print_top(stacks)


if __name__ == "__main__":
    main()
