"""Every command of the documents for users, run as a user would: in a shell, by a running service with real workers.

A block is run in a folder of its own, which holds the files that the documents speak of. Every file that a line speaks
of has to be there afterwards, and every picture that came has to be whole, of the format of its name and of the right
size.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.cube import read_cube
from service.keys import add_key
from tests.documents import Block, blocks_of, section_of, text_of
from tests.living import Lutra, as_file, opened, photo, running_lutra

pytestmark = pytest.mark.slow

DOCUMENTS = ("README.md", "docs/http.md", "docs/cli.md", "docs/client.md", "client/README.md")
HERE = "127.0.0.1:8000"
BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]

NOT_RUN = {
    "make run": "installs into .venv and serves until it is stopped; its `lutra up` serves this test",
    "docker compose up": "needs Docker",
    "docker compose --profile gpu up": "needs Docker and a GPU",
    "LUTRA_API_KEYS_FILE=keys.jsonl lutra up": "runs until it is stopped; such a service answers the block after it",
    "lutra convert LUTs.pth classifier.pth -o lut3d.safetensors": "needs the published files: tests/models",
}

FILE = re.compile(r"[\w.-]+\.(?:jpg|png|webp|cube|json|jsonl|html|key)\b")
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
SIZE = (64, 48)
SIZES = {
    **{"larger.jpg": (237, 178), "larger.png": (237, 178), "photo-x3.7.jpg": (237, 178)},
    **{"twice.jpg": (128, 96), "twice.png": (128, 96), "remote.jpg": (256, 192)},
    **{"wide.png": (300, 225), "big.png": (300, 225)},
}

GREEN_FILM = "LUT_3D_SIZE 2\n" + "".join(f"{r} {(g + 1) / 2} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))


def presets() -> str:
    """The example in the documents itself."""
    (example,) = re.findall(r"```json\n(.*?)```", section_of(text_of("docs/http.md"), "Presets"), re.DOTALL)
    return str(example)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "presets.json").write_text(presets())
    settings = {"LUTRA_PRESETS_FILE": str(folder / "presets.json"), "LUTRA_EXPRESS_SECONDS": "2"}
    models = "lmliif,liif-real,airnet-u,lut3d,lanczos"
    with running_lutra(folder, LUTRA_MODELS=models, **settings) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a reader has: photos, folders of them, a film's table, and `.venv`."""
    for name in ("photo.jpg", "photos/a.jpg", "photos/more/b.jpg", "scans/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(as_file(photo(seed=len(name))))
    (tmp_path / "photo.png").write_bytes(as_file(photo(), "PNG"))
    (tmp_path / "film.cube").write_text(GREEN_FILM)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / ".local/share/bash-completion/completions").mkdir(parents=True)
    return tmp_path


def files_in(folder: Path) -> set[Path]:
    """But for what a service of its own keeps in `data`."""
    return {path for path in folder.rglob("*") if path.is_file() and folder / "data" not in path.parents}


def check_made(made: set[Path], mentioned: set[str], there: set[str]) -> None:
    """Raises AssertionError where a file is missing, damaged, or of another kind or size than its name says."""
    assert mentioned <= there, f"not there: {mentioned - there}"
    for path in made:
        data = path.read_bytes()
        if path.suffix in FORMATS:
            picture = opened(data)
            assert (picture.format, picture.size) == (FORMATS[path.suffix], SIZES.get(path.name, SIZE)), path.name
        elif path.suffix == ".cube":
            read_cube(data)
        elif path.suffix == ".json":
            json.loads(data)
        else:
            assert data, f"{path.name} is empty"


def test_every_line_is_run_or_is_told_why_not() -> None:
    known = {"sh", "python", "json"}
    assert {str(block): block.language for block in BLOCKS if block.language not in known} == {}
    commands = {command for block in BLOCKS if block.language == "sh" for command in block.lines}
    assert NOT_RUN.keys() <= commands, "no longer in a document"
    for document in DOCUMENTS:  # what is indented after an empty line would be a block that no test sees
        assert not re.search(r"\n\n    \S", re.sub(r"```.*?```", "", text_of(document), flags=re.DOTALL)), document


SHELL = [block for block in BLOCKS if block.language == "sh" and not block.lines.keys() <= NOT_RUN.keys()]
WITH_KEY = [block for block in SHELL if "phone.key)" in block.text]


@pytest.mark.parametrize("block", [block for block in SHELL if block not in WITH_KEY], ids=str)
def test_the_commands_of_a_block(block: Block, folder: Path, service: Lutra) -> None:
    run_and_check(folder, ["bash", "-euxo", "pipefail", "-c"], lines_of(block), service.port)


@pytest.mark.parametrize("block", WITH_KEY, ids=str)
def test_the_commands_of_a_block_with_a_key(block: Block, folder: Path) -> None:
    key = add_key(folder / "keys.jsonl", "phone")
    (folder / "phone.key").write_text(key)
    (folder / "data").mkdir()
    settings = {"LUTRA_API_KEYS_FILE": str(folder / "keys.jsonl"), "LUTRA_MODELS": "lut3d"}
    with running_lutra(folder / "data", **settings) as keyed:
        assert keyed.client.get("/usage").status_code == 401
        run_and_check(folder, ["bash", "-euxo", "pipefail", "-c"], lines_of(block), keyed.port)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_the_programs(block: Block, folder: Path, service: Lutra) -> None:
    run_and_check(folder, [sys.executable, "-c"], block.text, service.port)


def lines_of(block: Block) -> str:
    """The lines that are run."""
    return "\n".join(line for command, line in block.lines.items() if command not in NOT_RUN)


def run_and_check(folder: Path, words: list[str], text: str, port: int) -> None:
    before = files_in(folder)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUTRA_")}
    surroundings = clean | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    command = [*words, text.replace(HERE, f"127.0.0.1:{port}")]
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{done.stdout[-500:]}"
    after = files_in(folder)
    check_made(after - before, set(FILE.findall(text)), {path.name for path in after})


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2]


def as_png(data: bytes) -> bytes:
    return as_file(photo(), "PNG")


@pytest.mark.parametrize("spoil", [damaged, as_png])
def test_a_picture_that_is_not_what_its_name_says_is_noticed(folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    picture = folder / "better.jpg"
    picture.write_bytes(spoil(as_file(photo())))
    with pytest.raises((AssertionError, OSError)):
        check_made({picture}, set(), set())
    with pytest.raises(AssertionError, match="not there"):
        check_made(set(), {"larger.jpg"}, {"photo.jpg"})
