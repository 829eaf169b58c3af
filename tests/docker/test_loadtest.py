"""The compose profile `loadtest` and the environment of `make load` agree with the project's versions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.docker.test_compose import ROOT, services

LOAD = ROOT / "benchmarks" / "load"
# What a user elsewhere does not have: these modules drive the service on its own machine.
HERE_ALONE = {"here", "services", "peers", "enhancing", "litserve_peer", "bentoml_peer", "faults"}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line)


def test_the_load_test_comes_only_when_asked_for_and_has_no_rights() -> None:
    service = services()["loadtest"]
    assert service["profiles"] == ["loadtest"]
    assert service["restart"] == "no"
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["networks"] == ["inside"]
    assert "USER 10001:10001" in service["build"]["dockerfile_inline"]


def test_its_image_has_the_versions_of_the_project() -> None:
    steps = services()["loadtest"]["build"]["dockerfile_inline"]
    (image,) = re.findall(r"FROM locustio/locust:(\S+)", steps)
    (pillow,) = re.findall(r"pillow==(\S+)", steps)
    assert {"locust": image, "pillow": pillow}.items() <= constraints().items()


def test_what_it_copies_is_there_and_what_it_runs_needs_nothing_else() -> None:
    service = services()["loadtest"]
    context = ROOT / service["build"]["context"]
    for pattern in re.findall(r"COPY (\S+)", service["build"]["dockerfile_inline"]):
        assert list(context.glob(pattern))
    program = "import sys, benchmarks.load.__main__; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"service", "workers", "models", "kernels", "torch", "numpy", "httpx"} & set(done.stdout.split())
    for file in LOAD.glob("*.py"):
        if file.stem not in HERE_ALONE:
            assert not rooms_imported_by(file), file


def rooms_imported_by(file: Path) -> set[str]:
    """The project's own packages that a module names in its imports."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    return {(node.module or "").partition(".")[0] for node in nodes} & {"service", "workers", "models", "kernels"}


def test_peers_are_pinned_to_exact_versions() -> None:
    lines = [line for line in (LOAD / "peers.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert {line.partition("==")[0] for line in lines} >= {"litserve", "bentoml"}
