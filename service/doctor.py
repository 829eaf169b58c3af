"""`lutra doctor`: device, kernels, weights, Redis, codecs: what is there, and why something is not."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from service import built, parts
from service.crowd import connections_allowed
from service.prefix import check_prefix
from workers import devices, embedded
from workers.errors import LutraError
from workers.jobs.store import Store
from workers.operations.choice import served_models
from workers.pictures import sandbox
from workers.settings import Settings

if TYPE_CHECKING:
    from workers.engine.engine import Engine

PACKAGES = (
    "torch",
    "numpy",
    "pillow",
    "simplejpeg",
    "opencv-python-headless",
    "imagecodecs",
    "tifffile",
    "pillow-heif",
)

# Only the last keeps the service from running.
OK, SLOWER, FEWER, OTHER, ABSENT, MISSING = "ok", "slower", "fewer", "other", "absent", "MISSING"

Line = tuple[str, str, str]


def examine(settings: Settings, *, as_json: bool = False) -> int:
    """Print one line a finding; 0 where the service could run, else 1."""
    fine = True
    for name, state, text in findings(settings):
        fine = fine and state != MISSING
        as_object = {"name": name, "state": state, "text": text}
        print(json.dumps(as_object) if as_json else f"{state:8} {name:12} {text}", flush=True)
    return 0 if fine else 1


def findings(settings: Settings) -> Iterator[Line]:
    """(what, how it stands, what was seen)."""
    yield (
        "lutra",
        OK,
        f"{version('lutra')} on Python {platform.python_version()}, {platform.machine()} {sys.platform}",
    )
    yield "cores", OK, f"{devices.usable_cores()} usable, {devices.visible_gpus()} GPUs visible"
    yield from _packages()
    yield _gateway()
    yield _tried("public url", lambda: _public_url(settings))
    yield _files(settings)
    yield _decoders(settings)
    yield _tried("redis", lambda: _redis(settings))
    yield from _engine(settings)


def _packages() -> Iterator[Line]:
    for name in PACKAGES:
        try:
            yield name, OK, version(name)
        except PackageNotFoundError:
            if name == "pillow-heif":
                yield name, ABSENT, "not installed (HEIC pictures are refused)"
            else:
                yield name, MISSING, "not installed"


def _gateway() -> Line:
    lacking = ", ".join(parts.missing("gateway"))
    if lacking:
        return "gateway", ABSENT, f"{lacking} not installed: {parts.how_to_install('gateway')}"
    return "gateway", OK, "its packages are installed"


def _public_url(settings: Settings) -> str:
    check_prefix(settings.public_path)
    if settings.public_url is None:
        return "LUTRA_PUBLIC_URL is not set: links begin with /, as is right without a proxy that adds a path"
    return f"{settings.public_url}: links begin with {settings.public_path}/ (LUTRA_PUBLIC_URL)"


def _files(settings: Settings) -> Line:
    """Whether a gateway may have as many open files as it is to have connections."""
    most, room = settings.max_connections, connections_allowed(settings.max_connections)
    if room == most:
        return "open files", OK, f"enough for {most} connections (LUTRA_MAX_CONNECTIONS)"
    return "open files", FEWER, f"enough for {room} connections of {most} (LUTRA_MAX_CONNECTIONS): raise `ulimit -Hn`"


def _decoders(settings: Settings) -> Line:
    """Whether what decodes strangers' pictures is walled in, as a process of its own finds out."""
    if settings.sandbox == "off":
        return "decoders", ABSENT, "LUTRA_SANDBOX=off: a broken codec may do what this user may"
    lacking = "; ".join(sandbox.lacking_here())
    if lacking:
        return "decoders", ABSENT, f"not walled in as they should be: {lacking}"
    return "decoders", OK, "walled in: no network, no programs, no other processes, of files only Python's own"


def _tried(name: str, look: Callable[[], str]) -> Line:
    try:
        return name, OK, look()
    except LutraError as error:
        return name, MISSING, error.message
    except (ValueError, OSError) as error:  # a weight file that is missing, cut off or another's
        return name, MISSING, str(error)


def _redis(settings: Settings) -> str:
    if settings.redis_url is None:
        server = f"{embedded.find_server().name} ({embedded.server_version()})"
        most_gib = embedded.memory_limit(settings.store_bytes) / 1024**3
        return f"a private one would be started: {server}, with at most {most_gib:.2f} GiB"
    store = Store.at(settings.redis_url)
    store.ping()
    queue = store.queue()
    return f"LUTRA_REDIS_URL answers; {queue.workers_alive} worker children alive, {queue.queued} jobs queued"


def _engine(settings: Settings) -> Iterator[Line]:
    try:
        from workers.engine.engine import Engine
    except ImportError as error:
        yield "engine", MISSING, f"{error.name} is not installed: {parts.how_to_install('worker')}"
        return
    engine = Engine(
        device=settings.device, precision=settings.precision, tile=settings.tile, weights_dir=settings.weights_dir
    )
    for name in served_models(settings.models, settings.weights_dir):
        yield _tried(name, lambda name=name: _load(engine, name))  # type: ignore[misc]
    facts = engine.facts()
    yield "device", OK, f"{facts['device']}, {facts['precision']}, {facts['threads']} threads"
    yield _cpu_kernels()
    state = facts["kernels"]["cuda"]
    needed = engine.device.type == "cuda"
    yield "kernel cuda", OK if state == "built" else SLOWER if needed else ABSENT, str(state)


def _cpu_kernels() -> Line:
    from kernels import cpu

    extension = cpu.extension()
    if extension is None:
        return "kernel cpu", SLOWER, cpu.why_missing()
    seen = f"built, for this processor {', '.join(cpu.paths())}: {extension}"
    differs = next((built.what_differs(Path(cpu.__file__), extension, one) for one in built.checkouts()), None)
    return "kernel cpu", OTHER if differs else OK, f"{seen}; {differs}" if differs else seen


def _load(engine: Engine, name: str) -> str:
    engine.load(name)
    card = engine.card(name)
    sha256 = engine.facts()["models"][name]["sha256"]
    weights = (
        f"weights {sha256[:12]}" + ("" if sha256 == card.sha256 else " (your own)") if sha256 else "nothing learnt"
    )
    return f"{card.task}, {card.parameters:,} parameters, {weights}"
