"""`lutra doctor`: device, kernels, weights, Redis, codecs: what is there, and why something is not."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from models.cards import CARDS
from workers import devices, embedded
from workers.errors import LutraError
from workers.job import served_models
from workers.settings import Settings
from workers.store import Store

if TYPE_CHECKING:
    from workers.engine import Engine

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

Line = tuple[str, bool, str]


def examine(settings: Settings) -> int:
    """Print one line a finding; 0 where the service could run, else 1."""
    fine = True
    for name, good, text in findings(settings):
        fine = fine and good
        print(f"{'ok' if good else 'MISSING':8} {name:12} {text}")
    return 0 if fine else 1


def findings(settings: Settings) -> Iterator[Line]:
    """(what, whether it is good, what was seen)."""
    yield (
        "lutra",
        True,
        f"{version('lutra')} on Python {platform.python_version()}, {platform.machine()} {sys.platform}",
    )
    yield "cores", True, f"{devices.usable_cores()} usable, {devices.visible_gpus()} GPUs visible"
    yield from _packages()
    yield _tried("redis", lambda: _redis(settings))
    yield from _engine(settings)


def _packages() -> Iterator[Line]:
    for name in PACKAGES:
        try:
            yield name, True, version(name)
        except PackageNotFoundError:
            optional = name == "pillow-heif"
            yield name, optional, "not installed" + (" (HEIC pictures are refused)" if optional else "")


def _tried(name: str, look: Callable[[], str]) -> Line:
    try:
        return name, True, look()
    except LutraError as error:
        return name, False, error.message
    except (ValueError, OSError) as error:  # a weight file that is missing, cut off or another's
        return name, False, str(error)


def _redis(settings: Settings) -> str:
    if settings.redis_url is None:
        return f"a private one would be started: {embedded.find_server().name} ({embedded.server_version()})"
    store = Store.at(settings.redis_url)
    store.ping()
    queue = store.queue()
    return f"LUTRA_REDIS_URL answers; {queue.workers_alive} worker children alive, {queue.queued} jobs queued"


def _engine(settings: Settings) -> Iterator[Line]:
    try:
        from workers.engine import Engine
    except ImportError as error:
        yield "engine", False, f"{error.name} is not installed: pip install 'lutra[worker]'"
        return
    engine = Engine(
        device=settings.device, precision=settings.precision, tile=settings.tile, weights_dir=settings.weights_dir
    )
    for name in served_models(settings.models):
        yield _tried(name, lambda name=name: _load(engine, name))  # type: ignore[misc]
    facts = engine.facts()
    yield "device", True, f"{facts['device']}, {facts['precision']}, {facts['threads']} threads"
    for kernel, told in facts["kernels"].items():
        yield f"kernel {kernel}", True, str(told)


def _load(engine: Engine, name: str) -> str:
    engine.load(name)
    card = CARDS[name]
    sha256 = engine.facts()["models"][name]["sha256"]
    weights = (
        f"weights {sha256[:12]}" + ("" if sha256 == card.sha256 else " (your own)") if sha256 else "nothing learnt"
    )
    return f"{card.task}, {card.parameters:,} parameters, {weights}"
