"""Which compiled kernels are imported, and what is said where they are not those of the checkout."""

from __future__ import annotations

import json
import os
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from kernels import cpu
from service import doctor
from service.built import Checkout, checkouts, what_differs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout by the name `a b`, whose sources are all of 1970."""
    folder = tmp_path / "a b"
    (folder / "kernels" / "csrc" / "area").mkdir(parents=True)
    for name in ("CMakeLists.txt", "kernels/csrc/area/area_cpu.cpp", "kernels/csrc/area/area_cpu.h"):
        touch(folder / name, 100)
    return folder


def touch(path: Path, seconds: float) -> Path:
    path.touch()
    os.utime(path, (seconds, seconds))
    return path


def installed(folder: Path, name: str, origin: object) -> Distribution:
    info = folder / f"{name}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: lutra\nVersion: 0\n")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    return PathDistribution(info)


def test_a_checkout_is_told_by_what_pip_writes_of_it_editable_ones_first(tmp_path: Path, checkout: Path) -> None:
    found = checkouts(
        [
            installed(tmp_path, "registry", None),
            installed(tmp_path, "wheel", {"url": (tmp_path / "lutra.whl").as_uri(), "archive_info": {}}),
            installed(tmp_path, "gone", {"url": (tmp_path / "gone").as_uri(), "dir_info": {}}),
            installed(tmp_path, "copied", {"url": checkout.as_uri(), "dir_info": {}}),
            installed(tmp_path, "editable", {"url": checkout.as_uri(), "dir_info": {"editable": True}}),
        ]
    )
    assert found == [Checkout(checkout, is_editable=True), Checkout(checkout, is_editable=False)]


@pytest.mark.parametrize("source", ["CMakeLists.txt", "kernels/csrc/area/area_cpu.cpp", "kernels/csrc/area/area_cpu.h"])
def test_kernels_that_are_older_than_any_source_are_said_to_be(tmp_path: Path, checkout: Path, source: str) -> None:
    module, extension = checkout / "kernels" / "cpu.py", touch(tmp_path / "_cpu.so", 200)
    for is_editable in (True, False):
        assert what_differs(module, extension, Checkout(checkout, is_editable)) is None
    touch(checkout / source, 300)
    for is_editable in (True, False):
        assert "older than the sources" in (what_differs(module, extension, Checkout(checkout, is_editable)) or "")


def test_an_installed_copy_that_hides_an_editable_installation_is_named(tmp_path: Path, checkout: Path) -> None:
    copy, extension = tmp_path / "kernels" / "cpu.py", touch(tmp_path / "_cpu.so", 200)
    told = what_differs(copy, extension, Checkout(checkout, is_editable=True))
    assert told is not None and told.startswith(f"they hide those of {checkout}")
    assert what_differs(copy, extension, Checkout(checkout, is_editable=False)) is None


def test_the_doctor_names_the_file_that_is_imported(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    name, state, text = doctor._cpu_kernels()
    if cpu.extension() is None:
        assert (name, state, text) == ("kernel cpu", "slower", cpu.why_missing())
        return
    assert name == "kernel cpu" and text.startswith(
        f"built, for this processor {', '.join(cpu.paths())}: {cpu.extension()}"
    )
    monkeypatch.setattr("service.built.checkouts", lambda: [Checkout(checkout, is_editable=True)])
    assert doctor._cpu_kernels()[1] == "other" and f"they hide those of {checkout}" in doctor._cpu_kernels()[2]
    monkeypatch.setattr("service.built.checkouts", lambda: [])
    assert doctor._cpu_kernels()[1] == "ok"
