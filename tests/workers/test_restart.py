"""A process begins anew under its own number, and another is ended whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.living import wait_until
from workers.restart import kill


def test_a_process_starts_again_under_the_same_number_and_with_the_same_command(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = "import os, sys; from pathlib import Path; from workers.restart import restart_in_place; "
    program += "seen = Path(sys.argv[1]); times = seen.read_text().split() if seen.exists() else []; "
    program += "seen.write_text(' '.join([*times, str(os.getpid())])); print(sys.flags.dev_mode, sys.argv[1:]); "
    program += "sys.stdout.flush(); len(times) < 2 and restart_in_place()"
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", program, str(seen), "a word"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert seen.read_text().split() == [str(process.pid)] * 3
    assert output.splitlines() == [f"True {[str(seen), 'a word']}"] * 3


def test_a_process_that_stands_still_is_ended_and_one_that_is_gone_is_no_error() -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        kill(process.pid)
        wait_until(lambda: process.poll() is not None, 20, "it has ended")
    assert process.returncode == -signal.SIGKILL
    kill(process.pid)
