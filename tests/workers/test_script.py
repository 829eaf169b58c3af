"""The scripts: each has its file, and Redis is told one again that it has forgotten."""

from __future__ import annotations

from pathlib import Path

from tests.workers.stored import claim, put
from workers.jobs import script as script_module
from workers.jobs.script import Script, load_scripts
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
    assert files == {*Script, "prelude"} and set(load_scripts()) == set(Script)
