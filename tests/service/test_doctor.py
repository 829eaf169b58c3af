"""`lutra doctor` finds what is there and says what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import doctor
from tests.living import as_file, photo
from workers.settings import read_settings

CLI = [sys.executable, "-m", "service.cli"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*CLI, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(as_file(photo()))
    return path


def test_the_doctor_finds_everything_here_and_says_what_is_not(tmp_path: Path) -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(word in done.stdout for word in ("redis", "torch", "lut3d", "device", "kernel", "decoders"))
    assert "open files" in done.stdout and "with at most 2.50 GiB" in done.stdout
    done = run("doctor", "--json", LUTRA_REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    findings = {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert (findings["redis"]["state"], findings["torch"]["state"]) == ("MISSING", "ok")
    assert "absent   decoders     LUTRA_SANDBOX=off" in run("doctor", LUTRA_SANDBOX="off").stdout


def test_it_says_where_fewer_files_may_be_open_than_there_may_be_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.crowd.raise_descriptor_limit", lambda wanted: 1000)
    few, enough = (doctor._files(read_settings(max_connections=most)) for most in (5000, 100))
    assert few == (
        *("open files", "fewer"),
        "enough for 872 connections of 5000 (LUTRA_MAX_CONNECTIONS): raise `ulimit -Hn`",
    )
    assert enough[1] == "ok"


def test_it_shows_the_public_address_or_what_is_wrong_with_it() -> None:
    def line(**settings: object) -> doctor.Line:
        return doctor._tried("public url", lambda: doctor._public_url(read_settings(**settings)))

    assert line()[1:] == (
        "ok",
        "LUTRA_PUBLIC_URL is not set: links begin with /, as is right without a proxy that adds a path",
    )
    told = line(public_url="https://photos.example/lutra")
    assert told[1:] == ("ok", "https://photos.example/lutra: links begin with /lutra/ (LUTRA_PUBLIC_URL)")
    state, text = line(public_url="https://photos.example/jobs")[1:]
    assert state == "MISSING" and "cannot begin with /jobs" in text


def test_a_weight_file_that_is_cut_off_is_found_by_the_doctor_and_named_by_the_others(picture: Path) -> None:
    folder = picture.parent / "weights"
    folder.mkdir()
    (folder / "lut3d.safetensors").write_bytes(b"cut")
    done = run("doctor", LUTRA_WEIGHTS_DIR=str(folder))
    assert done.returncode == 1 and "MISSING  lut3d" in done.stdout
    done = run("enhance", picture, "-o", picture.parent / "x.jpg", LUTRA_WEIGHTS_DIR=str(folder))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert run("doctor", LUTRA_WEIGHTS_DIR=str(folder / "none")).returncode == 2
