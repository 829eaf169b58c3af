"""`lutra upscale` over many pictures, interrupted and killed, and resumed: nothing twice, nothing half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.living import as_file, opened, photo, wait_until

pytestmark = pytest.mark.slow

COUNT = 20
COMMAND = [sys.executable, "-m", "service.cli", "upscale", "--scale", "3.7", "--model", "bicubic", "--format", "png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    for number in range(COUNT):
        (made / f"{number:02}.jpg").write_bytes(as_file(photo(600, 800, number)))
    return made


def results(folder: Path) -> dict[str, tuple[int, int]]:
    """Of each result its place on the disk and when it was written."""
    facts = {path.name: path.stat() for path in folder.iterdir() if "-x3.7" in path.name}
    return {name: (fact.st_ino, fact.st_mtime_ns) for name, fact in facts.items()}


def stopped_after(folder: Path, count: int, by: signal.Signals) -> int:
    """The exit status of a run that is stopped once it has written so many more results."""
    before = len(results(folder))
    run = subprocess.Popen([*COMMAND, "--skip-existing", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: len(results(folder)) >= before + count, 120, f"{count} more results")
    run.send_signal(by)
    _, told = run.communicate(timeout=60)
    if by is signal.SIGINT:
        assert b"--skip-existing goes on" in told and b"Traceback" not in told
    return run.returncode


def test_a_run_that_was_interrupted_and_killed_goes_on_where_it_stood(folder: Path) -> None:
    (folder / ".lutra-left").write_bytes(as_file(photo())[:300])  # what a run leaves that is killed while it writes
    assert stopped_after(folder, 3, signal.SIGINT) == 128 + signal.SIGINT
    first = results(folder)
    assert stopped_after(folder, 3, signal.SIGKILL) == -signal.SIGKILL
    second = results(folder)
    assert 6 <= len(second) < COUNT and first.items() <= second.items()

    done = subprocess.run([*COMMAND, "--skip-existing", str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{COUNT - len(second)} done, {len(second)} skipped" in done.stderr
    after = results(folder)
    assert second.items() <= after.items()  # none was computed a second time
    assert sorted(after) == [f"{number:02}-x3.7.png" for number in range(COUNT)]
    assert {opened((folder / name).read_bytes()).size for name in after} == {(2960, 2220)}
    assert len(list(folder.iterdir())) == 2 * COUNT  # nothing is left of what was being written


def test_a_picture_goes_through_a_pipe(folder: Path) -> None:
    command = f"cat 00.jpg | {sys.executable} -m service.cli upscale - -o - --scale 2 --model bicubic | wc -c"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=120, cwd=folder, env=environment, check=True
    )
    assert int(done.stdout) > 10_000 and done.stderr == ""
