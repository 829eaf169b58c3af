"""Which pages may ask through their readers' browsers: what is sent here is what browsers send of each kind of page."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.origins import EXPOSED, is_same_host
from tests.service.asgi import NEAREST
from tests.service.gateway import Gateway, read_answer, running_gateway, send

FRIEND = "https://friend.example"
EVIL = {"Origin": "http://evil.example"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Open, on loopback, as `lutra up` starts it."""
    with running_gateway(tmp_path_factory.mktemp("closed")) as running:
        yield running


@pytest.fixture(scope="module")
def friendly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The same, with an origin whose pages may ask."""
    with running_gateway(tmp_path_factory.mktemp("friendly"), LUTRA_CORS_ORIGINS=FRIEND) as running:
        yield running


def asked(gateway: Gateway, method: str, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value.replace("PORT", str(gateway.port)) for name, value in headers.items()}
    return httpx.request(method, gateway.url + path, headers=named, content=b"x" if method == "POST" else None)


# What is answered to a POST without a picture where it comes so far: 415.
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # names that resolve to this machine
        ({"Host": "evil.example:PORT"}, 421),
        ({"Host": "evil.example:PORT", "Origin": "http://evil.example:PORT"}, 421),
        ({"Host": "evil.example:PORT", "Origin": "http://evil.example:PORT", "Sec_Fetch_Site": "same-origin"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "192.0.2.7:PORT"}, 421),
        # this machine's own, and its own page
        ({}, 415),
        ({"Host": "localhost:PORT"}, 415),
        ({"Host": "[::1]:PORT"}, 415),
        ({"Origin": "http://127.0.0.1:PORT"}, 415),
        ({"Origin": "http://127.0.0.1:PORT", "Sec_Fetch_Site": "same-origin"}, 415),
        ({"Host": "[::1]:PORT", "Origin": "http://[::1]:PORT"}, 415),
        ({"Host": "localhost", "Origin": "http://localhost"}, 415),
        ({"Host": "localhost", "Origin": "https://localhost"}, 415),  # behind a proxy that ends TLS
        ({"Sec_Fetch_Site": "none"}, 415),
        # other pages
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec_Fetch_Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, 415),  # our page, told to keep its address to itself
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://localhost:PORT"}, 403),  # another name of the same machine is another origin
        ({"Origin": "http://127.0.0.1:PORT.evil.example"}, 403),
        ({"Origin": "http://evil.example/127.0.0.1:PORT"}, 403),
        ({"Origin": "127.0.0.1:PORT"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": FRIEND}, 403),
    ],
)
def test_a_page_of_another_site_cannot_have_a_browser_post_here(
    gateway: Gateway, headers: dict[str, str], status: int
) -> None:
    answer = asked(gateway, "POST", NEAREST, **headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer.headers
    assert asked(gateway, "DELETE", "/jobs/x", **headers).status_code == (404 if status == 415 else status)
    assert asked(gateway, "GET", "/livez", **headers).status_code == (421 if status == 421 else 200)


def test_the_pages_of_the_public_address_are_our_own_whatever_a_proxy_makes_of_the_host(tmp_path: Path) -> None:
    with running_gateway(tmp_path, LUTRA_PUBLIC_URL="https://photos.example:443/lutra") as gateway:

        def status(**headers: str) -> int:
            return asked(gateway, "POST", NEAREST, **headers).status_code

        assert status(Origin="https://photos.example") == status(Host="photos.example") == 415
        assert status(Host="photos.example", Origin="https://photos.example") == 415
        for other in ("http://photos.example", "https://photos.example:8443", "https://a.photos.example", "null", ""):
            assert status(Origin=other) == 403
        assert status(Origin="https://photos.example", Sec_Fetch_Site="cross-site") == 403
        assert (
            "access-control-allow-origin"
            not in asked(gateway, "GET", "/models", Origin="https://photos.example").headers
        )


@pytest.mark.parametrize("path", ["/jobs", "/jobs/x", "/jobs/x/result", "/jobs/x/events", "/models", "/nothing"])
def test_a_page_of_another_site_reads_no_jobs_but_may_link_to_them(gateway: Gateway, path: str) -> None:
    known = asked(gateway, "GET", path).status_code
    assert known in (200, 404)
    for method in ("GET", "HEAD"):
        assert asked(gateway, method, path, **EVIL).status_code == 403
        assert asked(gateway, method, path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status_code == 403
        link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
        assert asked(gateway, method, path, **link).status_code == known


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/", "/docs", "/openapi.json"])
def test_what_anybody_may_read_is_not_refused_by_origin(gateway: Gateway, path: str) -> None:
    answer = asked(gateway, "GET", path, **EVIL)
    assert answer.status_code == (503 if path == "/readyz" else 200)
    assert "access-control-allow-origin" not in answer.headers


def test_a_browser_that_asks_before_it_posts_is_told_no(gateway: Gateway) -> None:
    answer = asked(gateway, "OPTIONS", NEAREST, **EVIL, Access_Control_Request_Method="POST")
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def spoken(gateway: Gateway, head: bytes) -> int:
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as line:
        line.settimeout(60)
        send(line, head + b"\r\n")
        answer = read_answer(line)
        assert answer is not None
        return answer.status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /models HTTP/1.1\r\n", 400),
        (b"GET /models HTTP/1.0\r\n", 200),
        (b"GET /models HTTP/1.0\r\nHost: evil.example\r\n", 421),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", 400),
        (b"GET /models HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n", 400),
        (b"GET /models HTTP/1.1\r\nHost:\r\n", 400),
        (b"GET http://localhost/models HTTP/1.1\r\nHost: localhost\r\n", 200),
        (b"GET http://evil.example/models HTTP/1.1\r\nHost: localhost\r\n", 421),
        (b"GET http://localhost/models HTTP/1.1\r\nHost: evil.example\r\n", 200),  # the target counts (RFC 9112, 3.2.2)
        (b"GET http://localhost/models HTTP/1.1\r\n", 200),
        (b"GET http://localhost@evil.example/models HTTP/1.1\r\nHost: localhost\r\n", 400),
        (b"GET /http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n", 404),
    ],
)
def test_what_no_browser_sends_is_read_by_the_letter(gateway: Gateway, head: bytes, status: int) -> None:
    assert spoken(gateway, head) == status


def test_pages_of_an_origin_that_is_set_may_ask_and_read_the_answers(friendly: Gateway) -> None:
    before = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,prefer"}
    told = asked(friendly, "OPTIONS", NEAREST, Origin=FRIEND, **before)
    assert (told.status_code, told.headers["access-control-allow-origin"]) == (200, FRIEND)
    assert told.headers["access-control-allow-headers"] == "authorization,prefer"
    assert {"POST", "DELETE"} <= set(told.headers["access-control-allow-methods"].split(", "))
    local = asked(friendly, "OPTIONS", NEAREST, Origin=FRIEND, **before, Access_Control_Request_Private_Network="true")
    assert local.headers["access-control-allow-private-network"] == "true"

    for headers in ({}, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"}):
        answer = asked(friendly, "POST", NEAREST, Origin=FRIEND, **headers)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (415, FRIEND)
        assert "Origin" in answer.headers["vary"]
        assert set(answer.headers["access-control-expose-headers"].split(", ")) == set(EXPOSED)
    assert asked(friendly, "GET", "/models", Origin=FRIEND).json()["models"]


def test_others_may_not_and_every_no_is_a_problem(friendly: Gateway) -> None:
    for origin in ("https://other.example", "http://friend.example", "https://friend.example.evil", "null"):
        answers = [asked(friendly, method, NEAREST, Origin=origin) for method in ("POST", "OPTIONS")]
        answers.append(asked(friendly, "OPTIONS", NEAREST, Origin=origin, Access_Control_Request_Method="POST"))
        for answer in answers:
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["content-type"] == "application/problem+json"
        open_ = asked(friendly, "OPTIONS", "/livez", Origin=origin, Access_Control_Request_Method="GET")
        assert (open_.status_code, open_.headers["content-type"]) == (403, "application/problem+json")
    for path in (NEAREST, "/livez"):
        for origin, method in ((FRIEND, "BREW"), ("http://127.0.0.1:PORT", "POST")):
            odd = asked(friendly, "OPTIONS", path, Origin=origin, Access_Control_Request_Method=method)
            assert (odd.status_code, odd.headers["content-type"]) == (400, "application/problem+json")


def test_what_an_answer_carries_may_be_read() -> None:
    assert {"Location", "Retry-After", "ETag", "Content-Location", "RateLimit", "RateLimit-Policy"} <= set(EXPOSED)


def test_a_gateway_that_is_bound_to_every_address_answers_to_any_name_and_says_so(tmp_path: Path) -> None:
    with running_gateway(tmp_path, LUTRA_BIND="0.0.0.0") as open_:
        assert asked(open_, "GET", "/models", Host="photos.example").status_code == 200
        assert asked(open_, "POST", NEAREST, Host="photos.example", **EVIL).status_code == 403
        told = open_.log.read_text()
        assert "LUTRA_API_KEYS_FILE" in told and "LUTRA_HOSTS" in told


def test_an_origin_is_compared_by_host_and_port() -> None:
    assert is_same_host("https://a.example", "A.example") and is_same_host("https://a.example", "a.example:443")
    assert is_same_host("http://a.example:80", "a.example") and not is_same_host("http://a.example", "a.example:443")
    assert not is_same_host("null", "null") and not is_same_host("https://", "")
