"""Installed without the extras: each command works or ends with one sentence, and no children die in a loop."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from service import parts
from tests.living import as_file, photo

ROOT = Path(__file__).parents[2]
# A sitecustomize.py: modules named in HIDDEN are found by nobody, as if they were not installed.
HIDING = """
import os, sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in os.environ["HIDDEN"].split()
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""
GATEWAY, WORKER = parts.MODULES["gateway"], parts.MODULES["worker"]
PICTURES = [[name, "a.png", "-o", "b.png"] for name in ("enhance", "restore", "upscale")]
CONVERT = ["convert", "a.pth", "-o", "a.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    (tmp_path / "a.png").touch()
    return tmp_path


def run(folder: Path, arguments: list[str], hidden: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
        "HIDDEN": " ".join(hidden),
        "LUTRA_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=folder)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models"], ["upscale", "--help"]])
def test_what_needs_no_more_than_the_core_works_without_the_extras(folder: Path, arguments: list[str]) -> None:
    done = run(folder, arguments, GATEWAY + WORKER)
    assert done.returncode == 0, done.stderr
    assert done.stdout and not done.stderr


@pytest.mark.parametrize("arguments", [["up"], ["gateway"], ["worker"], *PICTURES, CONVERT], ids=lambda given: given[0])
def test_without_the_extras_one_sentence_says_what_is_missing_and_what_to_do(
    folder: Path, arguments: list[str]
) -> None:
    done = run(folder, arguments, GATEWAY + WORKER)
    assert done.returncode == 1
    assert not done.stdout and done.stderr.startswith("lutra: installed without ") and done.stderr.count("\n") == 1
    assert "make run" in done.stderr and "/path/to/lutra[" in done.stderr


def test_without_the_client_a_service_is_not_asked_and_completion_needs_its_own(folder: Path) -> None:
    done = run(folder, ["upscale", "a.png", "--scale", "2", "--url", "http://127.0.0.1:1"], ("lutra_client",))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "installed without client (lutra_client)" in done.stderr and "/path/to/lutra/client" in done.stderr
    done = run(folder, ["completion", "bash"], ("shtab",))
    assert done.returncode == 1 and "installed without completion (shtab)" in done.stderr


def test_a_service_is_asked_without_the_packages_that_compute(folder: Path) -> None:
    (folder / "a.png").write_bytes(as_file(photo(), "PNG"))
    words = ["upscale", "a.png", "--scale", "2", "--url", "http://127.0.0.1:1/nothing", "--suffix", ""]
    done = run(folder, [*words, "-o", "out/"], GATEWAY + WORKER)
    assert "installed without" not in done.stderr and done.returncode == 1, done.stderr


@pytest.mark.parametrize("hidden", ["python_multipart", "torch"])
def test_one_module_that_is_missing_is_named(folder: Path, hidden: str) -> None:
    done = run(folder, ["up"], (hidden,))
    assert done.returncode == 1
    assert f"({hidden})" in done.stderr and done.stderr.count("\n") == 1


def test_each_half_starts_without_the_other_half(folder: Path) -> None:
    done = run(folder, CONVERT, GATEWAY)
    assert "a.pth" in done.stderr and "installed without" not in done.stderr
    done = run(folder, ["gateway", "--bind", "192.0.2.1"], WORKER)
    assert "cannot listen on 192.0.2.1" in done.stderr


def test_the_doctor_tells_of_both_halves_and_ends_with_one(folder: Path) -> None:
    done = run(folder, ["doctor"], GATEWAY + WORKER)
    assert done.returncode == 1 and not done.stderr
    assert "MISSING  engine" in done.stdout and "/path/to/lutra[worker]" in done.stdout
    assert "absent   gateway" in done.stdout and "/path/to/lutra[gateway]" in done.stdout


@pytest.mark.parametrize("part", parts.MODULES)
def test_the_modules_looked_for_are_those_that_the_extra_installs(part: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {name_of(line) for line in project["optional-dependencies"][part]} - {"uvloop"}  # uvicorn does without
    installed = packages_distributions()
    assert {name_of(dist) for module in parts.MODULES[part] for dist in installed[module]} == asked


def name_of(requirement: str) -> str:
    end = next((at for at, letter in enumerate(requirement) if letter in "<>=;[ "), len(requirement))
    return requirement[:end].lower().replace("_", "-")
