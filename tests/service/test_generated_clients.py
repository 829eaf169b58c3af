"""Clients generated from the committed document: one in Python calls the service, one in TypeScript is type-checked.

The generators are tools: where one is missing its test is skipped, and says so.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.living import Lutra, as_file, opened, photo
from tests.service.committed import COMMITTED

PHOTO = as_file(photo())
# The one kind of body that the generator has no name for; the others of the same endpoint are there.
KNOWN_WARNING = "Unsupported content type image/*"
OPENAPI_TYPESCRIPT, TYPESCRIPT = "openapi-typescript@7.13.0", "typescript@5.9.3"


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the Python package, which can be imported."""
    tool = shutil.which("openapi-python-client", path=Path(sys.executable).parent)
    if tool is None:
        pytest.skip("openapi-python-client is not installed")
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.json").write_text(json.dumps({"post_hooks": []}))
    command = [tool, "generate", "--path", str(COMMITTED), "--meta", "none", "--output-path", str(folder / "gateway")]
    told = subprocess.run(
        [*command, "--config", str(folder / "config.json")], capture_output=True, text=True, timeout=300
    )
    assert told.returncode == 0, told.stdout + told.stderr
    warnings = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith(("Unsupported", "ERROR"))]
    assert warnings == 3 * [KNOWN_WARNING]
    sys.path.insert(0, str(folder))
    return "gateway"


class Generated:
    """Its modules by name, and a client of it."""

    def __init__(self, package: str, url: str) -> None:
        self._package = package
        self.client = self.module("client").Client(base_url=url, timeout=60)
        self.models = self.module("models")

    def module(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}")

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """The whole answer: status, headers and what the body was parsed to."""
        return self.module(f"api.{name}").sync_detailed(*arguments, client=self.client, **options)

    def file(self, data: bytes) -> Any:
        return self.module("types").File(payload=io.BytesIO(data))


@pytest.fixture
def api(generated: str, lutra: Lutra) -> Iterator[Generated]:
    made = Generated(generated, f"http://127.0.0.1:{lutra.port}")
    with made.client:
        yield made


def test_pictures_are_files_whether_they_go_raw_or_as_a_form(api: Generated) -> None:
    raw = api.call("upscale.upscale", body=api.file(PHOTO), scale=1.5, model="nearest")
    assert raw.status_code == 200
    assert opened(raw.parsed.payload.read()).size == (96, 72)
    form = api.models.EnhanceFilesBody(file=api.file(PHOTO))
    format_ = api.models.EnhanceFormat.PNG
    better = api.call("enhance.enhance", body=form, format_=format_)
    assert opened(better.parsed.payload.read()).format == "PNG"


def test_problems_are_problems_with_what_was_seen(api: Generated) -> None:
    for options, status, kind in (
        ({"scale": 99.0}, 422, "urn:lutra:problem:bad-parameter"),
        ({"scale": "3/2", "model": "nothing"}, 422, "urn:lutra:problem:unknown-model"),
    ):
        told = api.call("upscale.upscale", body=api.file(PHOTO), **options)
        assert (told.status_code, type(told.parsed).__name__) == (status, "Problem")
        assert (told.parsed.type_, told.parsed.status) == (kind, status)
    told = api.call("upscale.upscale", body=api.file(b"no picture"), scale=2.0)
    assert (told.status_code, type(told.parsed).__name__) == (415, "Problem")
    told = api.call("jobs.read_job", "nobody")
    assert (told.parsed.type_, told.parsed.status) == ("urn:lutra:problem:job-unknown", 404)


def test_a_job_is_followed_to_its_picture(api: Generated) -> None:
    asked = api.call("upscale.upscale", body=api.file(PHOTO), scale=2.0, model="nearest", prefer="respond-async")
    assert (asked.status_code, type(asked.parsed).__name__) == (202, "JobJson")
    job = asked.parsed
    events = api.call("jobs.read_events", job.id)
    assert "event: end" in events.parsed
    job = api.call("jobs.read_job", job.id).parsed
    assert (job.state, job.output.width, job.created_at.year > 2000) == (api.models.JobJsonState.SUCCEEDED, 128, True)
    result = api.call("jobs.read_result", job.id)
    assert opened(result.parsed.payload.read()).size == (128, 96)


def test_lists_are_lists(api: Generated) -> None:
    assert "nearest" in {model.name for model in api.call("models.list_models").parsed.models}
    assert api.call("jobs.list_jobs", limit=1).parsed.jobs[0].id
    assert api.call("ops.livez").parsed.status == api.models.HealthJsonStatus.OK


CALLS = """
import type { operations, paths } from "./lutra";
type Upscale = operations["upscale"];
const query: Upscale["parameters"]["query"] = { scale: 3.7, format: "png", strength: 0.5 };
const text: Upscale["parameters"]["query"] = { scale: "7/2" };
const picture: Upscale["responses"][200]["content"]["image/png"] = "";
const problem: Upscale["responses"][422]["content"]["application/problem+json"] =
  { type: "a", title: "b", status: 422, instance: "c", limit: 8 };
const after: Upscale["responses"][202]["headers"]["Retry-After"] = 5;
const job: paths["/jobs/{id}"]["get"]["responses"][200]["content"]["application/json"]["state"] = "running";
// @ts-expect-error: no such format
const wrong: Upscale["parameters"]["query"] = { format: "gif" };
// @ts-expect-error: a problem has a status
const less: Upscale["responses"][422]["content"]["application/problem+json"] = { type: "a", title: "b", instance: "c" };
export { query, text, picture, problem, after, job, wrong, less };
"""


@pytest.mark.slow
def test_the_types_of_typescript_are_checked(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    options = ["--prefix", str(tmp_path), "--no-audit", "--no-fund", "--ignore-scripts"]
    installed = subprocess.run(
        [npm, "install", *options, OPENAPI_TYPESCRIPT, TYPESCRIPT], capture_output=True, text=True, timeout=300
    )
    if installed.returncode:
        pytest.skip(f"npm cannot install {OPENAPI_TYPESCRIPT} here")
    bin_ = tmp_path / "node_modules" / ".bin"
    (tmp_path / "calls.ts").write_text(CALLS)
    commands: tuple[list[str | Path], ...] = (
        [bin_ / "openapi-typescript", COMMITTED, "--output", tmp_path / "lutra.ts"],
        [bin_ / "tsc", "--noEmit", "--strict", tmp_path / "calls.ts"],
    )
    for command in commands:
        told = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "CI": "1"})
        assert told.returncode == 0, told.stdout + told.stderr
