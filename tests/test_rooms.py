"""Who may import whom: downwards only, torch below the gateway, no heavy import in the worker's parent."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.cards import CARDS
from workers.settings import Settings

ROOT = Path(__file__).parent.parent
FLOORS = {"kernels": 0, "models": 1, "workers": 2, "service": 3}
TORCH_ROOMS = (
    "kernels/",
    "models/",
    "workers/engine/",
    "workers/operations/",  # for type checkers alone
    "workers/runner",
)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for room in FLOORS:
        for path in (ROOT / room).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def test_imports_go_downwards_only() -> None:
    upwards = [
        f"{path} imports {name}"
        for path, tree in modules()
        for name in imported(tree)
        if name.split(".")[0] in FLOORS and FLOORS[name.split(".")[0]] > FLOORS[path.split("/")[0]]
    ]
    assert not upwards


def test_torch_is_imported_only_where_it_lives() -> None:
    elsewhere = [
        path
        for path, tree in modules()
        if any(name.split(".")[0] == "torch" for name in imported(tree)) and not path.startswith(TORCH_ROOMS)
    ]
    assert not elsewhere
    assert not [path for path, tree in modules() if path.startswith("models/cards/") and "torch" in set(imported(tree))]


@pytest.mark.parametrize(
    "module", ["service.app", "service.cli", "service.serve", "service.supervisor", "workers.worker"]
)
def test_the_gateway_and_the_worker_parent_start_without_torch_and_numpy(module: str) -> None:
    heavy = "torch numpy cv2 simplejpeg imagecodecs safetensors"
    program = f"import sys, {module}; sys.exit(str([name for name in '{heavy}'.split() if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


def test_every_setting_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in Settings.model_fields if f"`LUTRA_{name.upper()}`" not in readme] == []


def test_every_model_has_a_card_and_a_builder() -> None:
    from models.catalog import NETWORKS

    assert set(CARDS) <= set(NETWORKS)


def test_no_file_outgrows_what_one_reads_in_a_sitting() -> None:
    long = [path for path, _ in modules() if len((ROOT / path).read_text().splitlines()) > 520]
    assert long == []
