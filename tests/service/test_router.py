"""HTTP's small rules through the real service: HEAD, Allow, trailing slashes, lists on several lines."""

from __future__ import annotations

import http.client

import pytest

from tests.living import Lutra, as_file, photo

PHOTO = as_file(photo(16, 24))
NEAREST = "/upscale?scale=2&model=nearest"
READABLE = ["/", "/livez", "/readyz", "/readyz?verbose=1", "/models", "/metrics", "/docs", "/redoc", "/openapi.json"]
OF_A_JOB = ["", "/result"]
CHANGING = {"date", "x-request-id", "content-length", "retry-after"}


def made(lutra: Lutra) -> str:
    """The path of a job that has ended."""
    answer = lutra.post(NEAREST, PHOTO)
    assert answer.status_code == 200, answer.text
    return f"/jobs/{answer.headers['x-job-id']}"


def as_get(lutra: Lutra, path: str) -> None:
    got, head = lutra.client.get(path), lutra.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert {name: value for name, value in head.headers.items() if name not in CHANGING} == {
        name: value for name, value in got.headers.items() if name not in CHANGING
    }
    assert ("content-length" in head.headers) == ("content-length" in got.headers)


@pytest.mark.parametrize("path", READABLE)
def test_head_is_get_without_the_body(lutra: Lutra, path: str) -> None:
    as_get(lutra, path)


@pytest.mark.parametrize("end", OF_A_JOB)
def test_head_is_get_of_a_job_too(lutra: Lutra, end: str) -> None:
    as_get(lutra, made(lutra) + end)


@pytest.mark.parametrize("path", ["/nothing", "/jobs/none", "/jobs/none/result", "/jobs/none/events"])
def test_head_of_what_is_not_there_is_as_get_too(lutra: Lutra, path: str) -> None:
    assert lutra.client.get(path).status_code == 404
    as_get(lutra, path)


def test_head_holds_no_stream_of_events_open(lutra: Lutra) -> None:
    waiting = lutra.post("/upscale?scale=4&model=liif", as_file(photo(200, 200)), headers={"Prefer": "respond-async"})
    path = f"{waiting.headers['location']}/events"
    with lutra.client.stream("GET", path) as got:
        expected = {name: value for name, value in got.headers.items() if name not in CHANGING | {"transfer-encoding"}}
    line = http.client.HTTPConnection("127.0.0.1", lutra.port, timeout=20)
    line.request("HEAD", path)
    answer = line.getresponse()
    assert answer.status == 200
    assert {name.lower(): value for name, value in answer.getheaders() if name.lower() not in CHANGING} == expected
    assert answer.read() == b""
    line.request("GET", "/livez")  # the same connection goes on
    assert line.getresponse().status == 200
    line.close()
    assert lutra.client.delete(waiting.headers["location"]).status_code in (200, 202)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *[("POST", path, "GET, HEAD") for path in READABLE],
        ("DELETE", "/", "GET, HEAD"),
        ("GET", "/upscale", "POST"),
        ("HEAD", "/enhance", "POST"),
        ("PUT", "/jobs/none", "DELETE, GET, HEAD"),
        ("POST", "/jobs/none/result", "GET, HEAD"),
        ("POST", "/jobs/none/events", "GET, HEAD"),
    ],
)
def test_another_method_is_told_all_that_are_allowed(lutra: Lutra, method: str, path: str, allowed: str) -> None:
    answer = lutra.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    ["/upscale/?scale=2&model=nearest", "/livez/", "/docs/", "/openapi.json/", "/jobs/", "/jobs/none/", "/models//"],
)
def test_a_trailing_slash_is_a_problem_and_never_a_redirect(lutra: Lutra, path: str) -> None:
    for method in ("GET", "POST"):
        answer = lutra.client.request(method, path, content=PHOTO, headers={"Host": "photos.localhost"})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "photos.localhost" not in str(answer.headers) + answer.text


def test_a_list_on_several_lines_is_one_list(lutra: Lutra) -> None:
    lines = [("Accept", "text/html"), ("Accept", "image/webp;q=0.5"), ("Accept", "image/png")]
    answer = lutra.post(NEAREST, PHOTO, headers=lines)
    assert answer.headers["content-type"] == "image/png", answer.text
    tags = [("If-None-Match", '"other"'), ("If-None-Match", answer.headers["etag"]), ("If-None-Match", '"third"')]
    assert lutra.client.get(answer.headers["content-location"], headers=tags).status_code == 304
    prefer = [("Prefer", "handling=strict"), ("Prefer", "respond-async")]
    assert lutra.post(NEAREST, PHOTO, headers=prefer).status_code == 202
