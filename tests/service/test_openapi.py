"""The document of the service: complete, consistent with itself, and what is really answered fits it.

jsonschema comes with check-jsonschema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service import problems
from service.app import create_app
from service.openapi import body_of, problems_of
from tests.service.asgi import fail, running_app, succeed
from workers.errors import CorruptPicture
from workers.jobs.store import Store
from workers.pictures import imageio
from workers.settings import read_settings


@cache
def document() -> dict[str, Any]:
    return create_app(read_settings(), "redis://127.0.0.1:1/0").openapi()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def fits(body: object, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    Draft202012Validator(schema).validate(body)


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    for reference in set(references(document())):
        node: Any = document()
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names) and all(names)


@pytest.mark.parametrize("path", ["/enhance", "/restore", "/upscale"])
def test_a_picture_goes_in_raw_or_as_a_form_and_comes_out_in_every_format(path: str) -> None:
    operation = document()["paths"][path]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"image/*", "application/octet-stream", "multipart/form-data"}
    parts = set(content["multipart/form-data"]["schema"]["properties"])
    assert parts == ({"file", "lut"} if path == "/enhance" else {"file"})
    assert set(operation["responses"]["200"]["content"]) >= set(imageio.MEDIA_TYPE.values())
    assert operation["responses"]["202"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("path", ["/enhance", "/restore", "/upscale"])
def test_the_headers_that_repeat_a_request_and_tell_how_it_went_are_documented(path: str) -> None:
    operation = document()["paths"][path]["post"]
    headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
    assert headers == {"Idempotency-Key", "Cache-Control"}
    assert {"409", "410", "422"} <= set(operation["responses"])
    for status in ("200", "202"):
        told = operation["responses"][status]["headers"]["X-Cache"]["schema"]
        assert told["enum"] == ["hit", "coalesced", "miss"]


def test_the_lists_of_a_client_are_documented() -> None:
    jobs, usage = (document()["paths"][path]["get"] for path in ("/jobs", "/usage"))
    assert {one["name"] for one in jobs["parameters"]} == {"limit", "cursor", "state"}
    assert "Link" in jobs["responses"]["200"]["headers"]
    for one, name in ((jobs, "JobsJson"), (usage, "UsageJson")):
        assert one["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith(name)


def test_every_refusal_that_we_name_is_a_problem() -> None:
    refusals = [
        answer
        for path, _, operation in operations()
        if path != "/readyz"
        for status, answer in operation["responses"].items()
        if int(status) >= 400 and "HTTPValidationError" not in str(answer)  # FastAPI's own, of all that has parameters
    ]
    assert len(refusals) > 20
    for answer in refusals:
        assert problems.MEDIA_TYPE in answer["content"]


def test_the_pieces_are_told_as_they_are_put_together() -> None:
    form = body_of(more={"type": "string"})["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert (form["required"], set(form["properties"])) == (["file"], {"file", "more"})
    assert set(problems_of(404, 410)) == {404, 410}


def test_what_is_answered_fits_the_document(store: Store, redis_url: str) -> None:
    async def story() -> None:
        async with running_app(redis_url) as here:
            job, computation = await here.submit(store)
            fits((await here.client.get(f"/jobs/{job}")).json(), "JobJson")
            succeed(store, computation)
            fits((await here.client.get(f"/jobs/{job}")).json(), "JobJson")
            failed, computation = await here.submit(store, "/upscale?scale=3&model=nearest")
            fail(store, computation, CorruptPicture("cut off"))
            fits((await here.client.get(f"/jobs/{failed}")).json(), "JobJson")
            fits((await here.client.get(f"/jobs/{failed}/result")).json(), "Problem")
            fits((await here.client.get("/jobs")).json(), "JobsJson")
            fits((await here.client.get("/usage")).json(), "UsageJson")
            fits((await here.client.get("/models")).json(), "ModelsJson")
            fits((await here.client.get("/readyz?verbose=1")).json(), "HealthJson")

    asyncio.run(story())
