"""What a shell completes by."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from service.cli import build_parser, main
from service.completion import script_of


@pytest.mark.parametrize(
    ("shell", "known"), [("bash", ("--skip-existing", "avif")), ("zsh", ("--skip-existing", "avif")), ("tcsh", ())]
)
def test_it_knows_commands_options_and_choices(
    shell: str, known: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert told == script_of(build_parser(), shell) + "\n"
    assert all(word in told for word in ("upscale", *known))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "completed"),
    [("lutra ups", ["upscale"]), ("lutra upscale --skip", ["--skip-existing"]), ("lutra upscale --fit fi", ["fill"])],
)
def test_bash_completes_by_it(tmp_path: Path, words: str, completed: list[str]) -> None:
    script = tmp_path / "lutra.bash"
    script.write_text(script_of(build_parser(), "bash"))
    last = len(words.split()) - 1
    program = f"source {script}; COMP_WORDS=({words}); COMP_CWORD={last}; _shtab_lutra; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == completed, done.stderr
