"""The table of operations: adding one is a file and a line; endpoint, command and worker follow by themselves."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
import uvicorn

from models.cards import CARDS, Card
from models.cube import Cube
from service import files
from service.app import create_app
from service.cli import build_parser
from tests.living import as_file, free_port, opened, photo, wait_until
from workers.engine.engine import Engine
from workers.jobs.store import Store
from workers.operations import OPERATIONS
from workers.operations.operation import (
    Encoding,
    Format,
    Installation,
    Lossless,
    Metadata,
    ModelName,
    Operation,
    Parameters,
    Plan,
    Quality,
    Query,
    Tick,
    Work,
)
from workers.pictures.picture import Header, Picture
from workers.runner import Runner
from workers.settings import read_settings

ROOT = Path(__file__).parents[2]

# ---- A new operation, as its author would write it -------------------------------------------------------------------


class MirrorQuery(Query):
    axis: Literal["left-right", "top-bottom"] = "left-right"
    model: ModelName = None
    format: Format = "auto"
    quality: Quality = None
    metadata: Metadata = "keep"
    lossless: Lossless = None


class MirrorParameters(Parameters):
    axis: Literal["left-right", "top-bottom"]


class Mirror(Operation[MirrorQuery, MirrorParameters]):
    name = "mirror"
    title = "The other way round"
    description = "Left becomes right, or top bottom."
    help = "Mirror picture files, without the service."
    query = MirrorQuery
    parameters = MirrorParameters

    def plan(
        self, query: MirrorQuery, header: Header, encoding: Encoding, at: Installation, table: Cube | None
    ) -> Plan[MirrorParameters]:
        parameters = MirrorParameters(**encoding.encoding(), axis=query.axis)
        return Plan(self, self.choose(query.model, at.models), parameters, (header.height, header.width))

    def run(self, engine: Engine, picture: Picture, work: Work[MirrorParameters], tick: Tick) -> Picture:
        tick(1, 1)
        axis = 1 if work.parameters.axis == "left-right" else 0
        picture.pixels = np.ascontiguousarray(np.flip(picture.pixels, axis))
        return picture


MIRROR = Card("mirror", "mirror", "A mirror", "Hero of Alexandria, Catoptrics", 0, "Apache-2.0")
WITH_MIRROR: dict[str, Operation[Any, Any]] = {**OPERATIONS, "mirror": Mirror()}


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CARDS, MIRROR.name, MIRROR)


@pytest.fixture
def client(store: Store, redis_url: str) -> Iterator[httpx.Client]:
    port = free_port()
    app = create_app(read_settings(), redis_url, WITH_MIRROR)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        wait_until(lambda: server.started, 30, "the gateway answers")
        yield client
    server.should_exit = True
    thread.join()


@pytest.fixture
def runner(store: Store) -> Iterator[Runner]:
    runner = Runner(store, Engine(), owner="test:1", job_timeout_s=60, max_pixels=10**6, operations=WITH_MIRROR)
    yield runner
    runner.close()


def test_a_new_operation_is_served_by_gateway_and_worker(client: httpx.Client, store: Store, runner: Runner) -> None:
    picture = photo()
    asked = client.post(
        "/mirror?axis=top-bottom&format=PNG", content=as_file(picture, "PNG"), headers={"Prefer": "respond-async"}
    )
    assert asked.status_code == 202, asked.text
    job = asked.json()
    assert (job["operation"], job["model"], job["parameters"]["axis"]) == ("mirror", "mirror", "top-bottom")

    runner.run(store.status(job["id"]).computation_id)
    answer = client.get(f"/jobs/{job['id']}/result")
    assert answer.status_code == 200, answer.text
    assert np.array_equal(np.asarray(opened(answer.content)), picture[::-1])
    assert answer.headers["x-lutra-model"] == "mirror"


def test_its_parameters_are_read_refused_and_described(client: httpx.Client) -> None:
    data = as_file(photo())
    assert client.post("/mirror?axis=diagonal", content=data).json()["errors"][0]["parameter"] == "axis"
    misspelt = client.post("/mirror?axes=top-bottom", content=data)
    assert misspelt.status_code == 422
    assert misspelt.json()["detail"].startswith("no parameter is named 'axes'; known are axis, model,")
    assert misspelt.json()["allowed"] == ["axis", "model", "format", "quality", "metadata", "lossless", "preset"]
    assert client.post("/mirror?model=window", content=data).json()["detail"].endswith("known are mirror")
    described = client.get("/openapi.json").json()["paths"]["/mirror"]["post"]
    assert described["summary"] == "The other way round"
    in_query = [one["name"] for one in described["parameters"] if one["in"] == "query"]
    assert in_query == misspelt.json()["allowed"]


def test_it_is_a_command_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "load", lambda self, name: None)  # a mirror has no weights
    picture, source, target = photo(), tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(as_file(picture, "PNG"))
    arguments = build_parser(WITH_MIRROR).parse_args(["mirror", str(source), "-o", str(target)])
    assert files.run_on_files(WITH_MIRROR["mirror"], read_settings(), arguments) == 0
    assert np.array_equal(np.asarray(opened(target.read_bytes())), picture[:, ::-1])


# ---- The operations that are there -----------------------------------------------------------------------------------


def test_each_stands_in_the_readme_and_in_a_file_of_its_name() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in OPERATIONS:
        assert f"/{name}" in readme and (ROOT / f"workers/operations/{name}.py").is_file()


def test_no_other_file_compares_with_the_name_of_an_operation() -> None:
    """What an operation is, its own file says."""
    names = "|".join(OPERATIONS)
    compared = re.compile(rf"""(==|!=|\bin\b)\s*\(?["']({names})["']""")
    rooms = [path for room in ("service", "workers", "models", "kernels") for path in (ROOT / room).rglob("*.py")]
    assert [str(path) for path in rooms if compared.search(path.read_text())] == []
