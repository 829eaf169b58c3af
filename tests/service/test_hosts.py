"""Which host a request names, and whether the gateway answers to it: names of others that resolve here are refused."""

from __future__ import annotations

from typing import Any

import pytest

from service.hosts import Hosts, plain
from workers.errors import BadRequest, WrongHost

LOOPBACK = ("127.0.0.1", 8000)


def scope(*hosts: str, server: tuple[str, int] | None = LOOPBACK, version: str = "1.1") -> dict[str, Any]:
    headers = [(b"host", host.encode()) for host in hosts]
    return {"headers": headers, "server": server, "http_version": version}


def answers(hosts: Hosts, host: str, server: tuple[str, int] | None = LOOPBACK) -> bool:
    try:
        return hosts.check(scope(host, server=server)) == host
    except WrongHost:
        return False


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((one, True) for one in ("localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000")),
        *((one, True) for one in ("127.8.8.8:1", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]", "lutra.localhost:8000")),
        *((one, False) for one in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io")),
        *((one, False) for one in ("192.168.1.5", "[2001:db8::1]", "notlocalhost", "0.0.0.0", "2130706433")),
    ],
)
def test_of_its_own_accord_a_loopback_gateway_answers_to_names_of_this_machine(host: str, expected: bool) -> None:
    for bind in ("127.0.0.1", "::1", "localhost"):
        assert answers(Hosts((), bind), host) is expected


def test_the_bound_address_and_the_one_that_was_reached_are_answered_to() -> None:
    assert answers(Hosts((), "192.168.1.5"), "192.168.1.5:8000")
    assert answers(Hosts((), "photos.lan"), "photos.lan")
    named = Hosts(("photos.example",), "0.0.0.0")
    assert answers(named, "10.1.2.3:8000", ("10.1.2.3", 8000))  # a probe of the container's own address
    assert answers(named, "10.1.2.3", ("::ffff:10.1.2.3", 8000)) and answers(named, "[fd00:0::7]", ("fd00::7", 8000))
    assert not answers(named, "10.1.2.4", ("10.1.2.3", 8000)) and not answers(named, "10.1.2.4", None)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", ""])
def test_where_every_address_is_bound_any_name_is_answered_to_until_some_are_set(bind: str) -> None:
    assert Hosts((), bind).are_any and answers(Hosts((), bind), "photos.example")
    named = Hosts(("photos.example", "*.photos.example", "fd00::7"), bind)
    assert all(answers(named, host) for host in ("Photos.Example:443", "a.b.photos.example", "[fd00::7]", "localhost"))
    assert not any(answers(named, host) for host in ("evil.example", "notphotos.example", "photos.example.evil"))
    assert answers(Hosts(("*",), "127.0.0.1"), "photos.example")


def test_the_host_of_the_public_address_is_answered_to_beside_the_others() -> None:
    assert answers(Hosts((), "127.0.0.1", "photos.example"), "Photos.Example:443")
    both = Hosts(("lan.example",), "0.0.0.0", "photos.example")
    assert answers(both, "lan.example") and answers(both, "photos.example") and not answers(both, "a.photos.example")
    assert answers(Hosts((), "127.0.0.1", "fd00::7"), "[FD00::7]:8000")


@pytest.mark.parametrize("hosts", [(), ("a", "a"), ("",), ("a b",), ("a/b",), ("user@a",), ("a:b",), ("[::1",), ("é",)])
def test_a_request_names_one_host(hosts: tuple[str, ...]) -> None:
    for known in (Hosts((), "127.0.0.1"), Hosts(("*",), "0.0.0.0")):
        with pytest.raises(BadRequest):
            known.check(scope(*hosts))


def test_an_old_client_may_name_none_as_no_browser_does() -> None:
    assert Hosts((), "127.0.0.1").check(scope(version="1.0")) is None
    with pytest.raises(WrongHost):
        Hosts((), "127.0.0.1").check(scope("evil.example", version="1.0"))


def test_a_port_may_be_left_empty_as_rfc_3986_has_it() -> None:
    assert answers(Hosts((), "127.0.0.1"), "localhost:") and not answers(Hosts((), "127.0.0.1"), "evil.example:")


def test_a_host_has_one_spelling() -> None:
    assert plain("[2001:DB8:0::7]") == plain("2001:db8::7") == "2001:db8::7"
    assert plain("Photos.Example.") == "photos.example"
