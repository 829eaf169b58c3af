"""Who may import whom: downwards only, torch below the gateway, no heavy import in the worker's parent; and how large
things may grow.

Imports are followed over all steps: those at import time, which are loaded with a module, and those inside functions,
which come late. Of the service the command line alone may come to the engine, for it computes in its own process: late,
so that `lutra gateway` and `lutra models` start without torch; `service.files` is that late import.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

from models.cards import CARDS
from tests import structure
from tests.structure import ROOT, Checkout, reached, read_checkout

# How many of each there may be. They go down and never up; where the work on one is done, its number is lowered.
RATCHETS: dict[structure.Measure, int] = {
    structure.long_files: 0,
    structure.long_functions: 0,
    structure.wide_functions: 0,
    structure.circles: 0,
    structure.upward_imports: 0,
    structure.unread_names: 0,
    structure.untested_modules: 0,
}

# Where torch lives; nothing above loads it on import but the files of the command line, which come late themselves.
TORCH_ROOMS = ("kernels", "models", "workers.engine", "workers.runner")
COMMANDS_THAT_COMPUTE = {"service.files"}
LATE = {"service.cli", "service.compare", "service.doctor", "workers.child", "workers.preload", "workers.worker"}

ENTRANCES = ("service.app", "service.cli", "service.serve", "service.supervisor", "workers.worker")
HEAVY = {"torch", "numpy", "cv2", "simplejpeg", "imagecodecs", "tifffile", "safetensors"}


@cache
def checkout() -> Checkout:
    return read_checkout(ROOT)


def heavy(loaded: dict[str, str]) -> dict[str, str]:
    """Of what is loaded the heavy packages, with the module that imports them."""
    return {name: by for name, by in loaded.items() if name.partition(".")[0] in HEAVY}


def comes_to_torch(module: str, *, late: bool) -> bool:
    return any(name.partition(".")[0] == "torch" for name in reached(checkout(), module, late=late))


@pytest.mark.parametrize("measure", RATCHETS, ids=lambda measure: measure.__name__)
def test_the_structure_grows_no_worse(measure: structure.Measure) -> None:
    found = measure(checkout())
    assert len(found) <= RATCHETS[measure], "\n".join(found)


def test_torch_is_loaded_only_where_it_lives() -> None:
    above = {name for name in checkout().modules if not name.startswith(TORCH_ROOMS)}
    assert {name for name in above if comes_to_torch(name, late=False)} == COMMANDS_THAT_COMPUTE
    assert {name for name in above if comes_to_torch(name, late=True)} == COMMANDS_THAT_COMPUTE | LATE


def test_the_cards_need_no_torch() -> None:
    assert not heavy(reached(checkout(), "models.cards"))


@pytest.mark.parametrize("module", ENTRANCES)
def test_nothing_that_the_gateway_and_the_worker_parent_import_imports_torch_or_numpy(module: str) -> None:
    loaded = reached(checkout(), module)
    assert {"workers.log", "workers.errors"} <= set(loaded)  # the steps were taken
    assert not heavy(loaded)


@pytest.mark.parametrize("module", ENTRANCES)
def test_the_gateway_and_the_worker_parent_start_without_torch_and_numpy(module: str) -> None:
    """What packages of others import of their own accord no source of ours tells."""
    program = f"import sys, {module}; sys.exit(str([name for name in {sorted(HEAVY)} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


def test_every_model_has_a_card_and_a_builder() -> None:
    from models.catalog import NETWORKS

    assert set(CARDS) <= set(NETWORKS)
