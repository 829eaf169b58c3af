"""The scripts: each has its file, and Redis is told one again that it has forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.workers.stored import claim, put
from workers.jobs import script as script_module
from workers.jobs.script import PRELUDE, Script, load_scripts, with_prelude
from workers.jobs.store import Store


def test_scripts_that_redis_has_forgotten_are_sent_again(store: Store) -> None:
    job = put(store)
    store.client.script_flush()
    taken = claim(store, job)
    store.client.script_flush()
    assert store.succeed(taken, b"better", {"format": "png", "width": 2, "height": 2}, {})
    assert store.status(job.id).state == "succeeded"


def test_every_file_of_a_script_has_its_name_in_the_enum() -> None:
    files = {path.stem for path in (Path(script_module.__file__).parent / "scripts").iterdir()}
    assert files == {*Script, *PRELUDE} and set(load_scripts()) == set(Script)


def test_a_script_stands_behind_what_it_uses_of_the_prelude_and_behind_nothing_else() -> None:
    parts = ["-- a\nlocal A = 1", "local function b() return A end", "local function c() return b() end", "local D = 2"]
    assert with_prelude("return c()", parts) == "\n\n".join((*parts[:3], "return c()"))
    assert with_prelude("return D", parts) == f"{parts[3]}\n\nreturn D"
    assert with_prelude("return 1", parts) == "return 1"


def test_no_script_lacks_anything_of_the_prelude() -> None:
    folder = Path(script_module.__file__).parent / "scripts"
    prelude = "".join((folder / f"{name}.lua").read_text() for name in PRELUDE)
    for script, source in load_scripts().items():
        defined = set(re.findall(r"(?m)^local (?:function )?(\w+)", prelude))
        used = set(re.findall(r"\w+", re.sub(r"--.*", "", source.text))) & defined
        assert all(re.search(rf"(?m)^local (?:function )?{name}\b", source.text) for name in used), script


def test_redis_knows_each_script_by_the_name_that_we_call_it_by(store: Store) -> None:
    """It compiles them all as well."""
    for script, source in load_scripts().items():
        assert store.client.script_load(source.text) == source.sha1, script


def test_scripts_are_read_once_so_that_an_upgrade_mixes_no_versions() -> None:
    assert load_scripts() is load_scripts()
    assert len({source.sha1 for source in load_scripts().values()}) == len(Script)
    with pytest.raises(TypeError):
        load_scripts()[Script.ADMIT] = load_scripts()[Script.CLAIM]  # type: ignore[index]
