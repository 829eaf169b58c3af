"""What a decoding process can no longer do, tried in processes that really entered the sandbox."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workers.pictures import sandbox

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has walls")
WALLED = "from workers.pictures import sandbox; lacking = sandbox.enter(); "


def run(program: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def walls() -> None:
    """Skips where this kernel lacks a part."""
    lacking = json.loads(run(WALLED + "import json; print(json.dumps(lacking))").stdout)
    if lacking:
        pytest.skip("; ".join(lacking))


@linux
@pytest.mark.usefixtures("walls")
def test_nothing_that_is_forbidden_can_be_done() -> None:
    assert sandbox.lacking_here() == []


@linux
@pytest.mark.parametrize("name", sorted(sandbox._FORBIDDEN))
def test_without_the_sandbox_each_of_these_can_be_done(name: str) -> None:
    done = run(f"from workers.pictures import sandbox; sandbox._FORBIDDEN[{name!r}]()")
    assert done.returncode == 0, done.stderr
    Path("/tmp/lutra-sandbox").unlink(missing_ok=True)


@linux
@pytest.mark.usefixtures("walls")
def test_threads_can_be_started_and_are_walled_in_too() -> None:
    program = WALLED + (
        "import threading\n"
        "one = threading.Thread(target=lambda: print(sandbox._trial(), flush=True))\n"
        "one.start(); one.join()"
    )
    assert run(program).stdout.strip() == "[]"


@linux
@pytest.mark.usefixtures("walls")
def test_files_are_neither_changed_nor_removed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    acts: tuple[str, ...] = (
        "os.unlink(p)",
        "os.rename(p, p + '2')",
        "os.truncate(p, 0)",
        "os.chmod(p, 0o777)",
        "os.utime(p, (0, 0))",
    )
    acts += (
        "os.link(p, p + '2')",
        "os.symlink(p, p + '2')",
        "os.mkdir(p + '2')",
        "os.mkfifo(p + '2')",
        "open(p, 'r+')",
    )
    program = (
        WALLED
        + f"import os; p = {str(kept)!r}\n"
        + "".join(f"try:\n    {act}\n    print({act!r})\nexcept PermissionError:\n    pass\n" for act in acts)
    )
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert kept.read_text() == "kept" and list(tmp_path.iterdir()) == [kept]


@linux
@pytest.mark.usefixtures("walls")
def test_the_folder_it_was_started_in_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("redis://:password@host")
    program = WALLED + "import os, sys; print(os.getcwd() in sys.path); os.listdir('.'); open('secret').read()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program.replace("sandbox;", "sandbox; import sys; sys.path.insert(0, sys.path.pop(0));"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1 and "PermissionError" in done.stderr, done.stderr


@linux
def test_a_process_that_breaks_down_still_says_so_and_what_it_printed_is_kept(tmp_path: Path) -> None:
    """Its parent tells by the signal; a log that is a file grows, and a file in memory can be mapped and enlarged."""
    program = WALLED + (
        "import os, sys; from workers.pictures.memory_file import memory_file\n"
        "one = memory_file('one'); os.ftruncate(one, 1 << 20)\n"
        "print('last words', file=sys.stderr, flush=True); os.abort()"
    )
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run([sys.executable, "-c", program], stderr=log, check=False)
    assert done.returncode == -signal.SIGABRT
    assert (tmp_path / "log").read_text() == "last words\n"


def test_what_can_be_read_is_code_and_not_everything() -> None:
    found = sandbox.readable()
    assert Path(sandbox.__file__).parents[1] in found and Path("/") not in found
    assert not any(Path(home).expanduser() in found for home in ("~", "/home", "/root", "/tmp", "/etc"))
