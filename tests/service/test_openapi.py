"""The document of the service: complete, consistent with itself, and what is really answered fits it.

jsonschema comes with check-jsonschema.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service import problems
from service.app import create_app
from service.openapi import body_of, headers_of, problems_of
from tests.service.asgi import fail, running_app, succeed
from tests.service.committed import COMMITTED, text_now
from workers.errors import CorruptPicture
from workers.jobs.store import Store
from workers.operations.sizes import parse_scale
from workers.operations.upscale import RATIO
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
    comes_out = operation["responses"]["200"]["content"]
    pictures = {imageio.MEDIA_TYPE[name] for name in imageio.FORMATS_OUT}
    table = {"text/plain"} if path == "/enhance" else set()
    assert set(comes_out) == {"application/octet-stream", *pictures, *table}
    assert all(comes_out[name]["schema"] == {"type": "string", "format": "binary"} for name in pictures)
    assert operation["responses"]["202"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("path", ["/enhance", "/restore", "/upscale"])
def test_the_headers_of_a_request_and_of_its_answers_are_documented(path: str) -> None:
    operation = document()["paths"][path]["post"]
    headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
    assert headers == {"Prefer", "Idempotency-Key", "Cache-Control"}
    answers = operation["responses"]
    assert {"X-Cache", "ETag", "Content-Location", "X-Lutra-Model", "X-Lutra-Found"} <= set(answers["200"]["headers"])
    assert {"X-Cache", "Location", "Retry-After"} <= set(answers["202"]["headers"])
    assert {"Retry-After", "RateLimit"} <= set(answers["429"]["headers"])
    assert "WWW-Authenticate" in answers["401"]["headers"]
    assert document()["components"]["headers"]["X-Cache"]["schema"]["enum"] == ["hit", "coalesced", "miss"]


def test_the_lists_of_a_client_are_documented() -> None:
    jobs, usage = (document()["paths"][path]["get"] for path in ("/jobs", "/usage"))
    assert {one["name"] for one in jobs["parameters"]} == {"limit", "cursor", "state"}
    assert "Link" in jobs["responses"]["200"]["headers"]
    for one, name in ((jobs, "JobsJson"), (usage, "UsageJson")):
        assert one["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith(name)


def test_every_refusal_is_a_problem_with_its_schema_and_nothing_else() -> None:
    answers = [
        (path, status, answer)
        for path, _, operation in operations()
        for status, answer in operation["responses"].items()
        if int(status) >= 400
    ]
    assert len(answers) > 100
    for path, status, answer in answers:
        if "$ref" in answer:
            assert answer["$ref"] == f"#/components/responses/Problem{status}"
            answer = document()["components"]["responses"][f"Problem{status}"]
        kinds = {problems.MEDIA_TYPE} | ({"application/json"} if (path, status) == ("/readyz", "503") else set())
        assert set(answer["content"]) == kinds
        assert answer["content"][problems.MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert ("Retry-After" in answer["headers"]) == (status in ("409", "429", "503"))


def test_every_answer_carries_the_id_of_its_request() -> None:
    for _, _, operation in operations():
        for answer in operation["responses"].values():
            assert "$ref" in answer or "X-Request-ID" in answer["headers"]


def test_every_parameter_says_what_it_is_for_and_is_never_null() -> None:
    for path, _, operation in operations():
        for one in operation.get("parameters", ()):
            assert one["in"] == "path" or one.get("description"), (path, one["name"])
            assert "null" not in str(one["schema"]) and "title" not in one["schema"]


def test_numbers_have_their_ranges_by_the_settings_too() -> None:
    def schema_of(name: str, of: dict[str, Any]) -> dict[str, Any]:
        (found,) = (one["schema"] for one in of["paths"]["/upscale"]["post"]["parameters"] if one["name"] == name)
        return dict(found)

    quality = schema_of("quality", document())
    assert (quality["type"], quality["minimum"], quality["maximum"], quality["examples"]) == ("integer", 1, 100, [85])
    assert schema_of("strength", document())["default"] == 1
    number, text = schema_of("scale", document())["anyOf"]
    assert number == {"type": "number", "exclusiveMinimum": 1, "maximum": 8} and text["type"] == "string"
    small = create_app(read_settings(max_scale=3), "redis://127.0.0.1:1/0").openapi()
    assert schema_of("scale", small)["anyOf"][0]["maximum"] == 3


@pytest.mark.parametrize(("scale", "fits"), [("3.7", True), ("7/2", True), ("1e1", False), ("7/0", False), ("", False)])
def test_a_scale_as_text_is_described_as_it_is_read(scale: str, fits: bool) -> None:
    assert bool(re.fullmatch(RATIO, scale)) is fits
    if fits:
        assert parse_scale(scale) > 1


def test_what_fastapi_adds_of_its_own_and_never_comes_is_not_told() -> None:
    assert "ValidationError" not in str(document())
    assert "422" not in document()["paths"]["/jobs/{id}"]["get"]["responses"]


def test_who_may_ask_is_told_where_it_counts() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert (schemes["BearerAuth"]["scheme"], schemes["ApiKeyAuth"]["name"]) == ("bearer", "X-API-Key")
    for path, _, operation in operations():
        assert ("security" in operation) == (path not in ("/livez", "/readyz"))


def test_the_pieces_are_told_as_they_are_put_together() -> None:
    form = body_of(more={"type": "string"})["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert (form["required"], set(form["properties"])) == (["file"], {"file", "more"})
    assert set(problems_of(404, 410)) == {404, 410}
    assert headers_of("ETag") == {"ETag": {"$ref": "#/components/headers/ETag"}}


def test_the_committed_document_is_what_the_service_says() -> None:
    assert COMMITTED.read_text() == text_now(), f"run `make openapi`: {COMMITTED} is of another version"


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
