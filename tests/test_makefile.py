"""The Makefile: what `make -n` says would be done, of a checkout that nothing was installed into, and does not do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MADE_OF = ("Makefile", "CMakeLists.txt", "pyproject.toml", "constraints.txt", "client/pyproject.toml")
TARGETS = ("run", "test", "check", "lint", "types", "build", "load", "coverage", "openapi", "asan", "clean")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the rules are made of, alone."""
    for name in MADE_OF:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "kernels" / "csrc", tmp_path / "kernels" / "csrc")
    (tmp_path / "benchmarks" / "load").mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks" / "load" / "peers.txt", tmp_path / "benchmarks" / "load")
    return tmp_path


def test_no_rule_calls_make() -> None:
    """Such a line runs under `make -n`, too; one that asks for what it belongs to calls itself without end there."""
    assert not [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(MAKE)" in line or "${MAKE}" in line]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on the PATH")
@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_does_nothing_and_names_each_step_once(checkout: Path, target: str) -> None:
    test_no_rule_calls_make()  # what it says would come true here
    before = {path: path.stat().st_mtime_ns for path in checkout.rglob("*")}
    told = subprocess.run(["make", "-n", target], cwd=checkout, capture_output=True, text=True, timeout=60, check=True)
    assert {path: path.stat().st_mtime_ns for path in checkout.rglob("*")} == before
    if target in ("run", "clean"):
        return
    environment, kernels = (
        [line for line in told.stdout.splitlines() if "pip install" in line and part in line]
        for part in ("--editable '.[dev]'", "build-dir=build/kernels")
    )
    assert len(environment) == len(kernels) == 1
    assert told.stdout.index(environment[0]) < told.stdout.index(kernels[0])
