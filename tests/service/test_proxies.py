"""Who really asks, where proxies stand between, and that nobody can make himself another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.proxies import Proxies, as_address
from tests.service.gateway import running_gateway
from workers.jobs.store import Store

TRUSTED = ("10.0.0.0/8", "fd00::/8", "127.0.0.1")
PROXY, CLIENT = "10.0.0.1", "203.0.113.7"


def client(peer: str, *headers: tuple[str, str], trusted: tuple[str, ...] = TRUSTED) -> str:
    """Whom the application sees, where `peer` is connected."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["client"][0])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        return

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    asyncio.run(Proxies(app, trusted)({"type": "http", "client": (peer, 1), "headers": raw}, receive, send))
    return seen[0]


def by_x(*values: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", value) for value in values]


def by_forwarded(*values: str) -> list[tuple[str, str]]:
    return [("Forwarded", value) for value in values]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], PROXY),
        (by_x(CLIENT), CLIENT),
        (by_x(f"{CLIENT}:4711"), CLIENT),
        (by_x("2001:db8::7"), "2001:db8::7"),
        (by_x("[2001:db8::7]:4711"), "2001:db8::7"),
        (by_x("::ffff:203.0.113.7"), CLIENT),
        (by_x(f"{CLIENT}, 10.0.0.2, 10.0.0.3"), CLIENT),
        (by_x("10.0.0.3, 10.0.0.2"), "10.0.0.3"),
        (by_forwarded(f"for={CLIENT}"), CLIENT),
        (by_forwarded(f"For={CLIENT};proto=https;by=10.0.0.1"), CLIENT),
        (by_forwarded('proto=https; for="[2001:db8::7]:4711"'), "2001:db8::7"),
        (by_forwarded(f"for={CLIENT}, for=10.0.0.2;host=a"), CLIENT),
        (by_x(CLIENT) + by_forwarded(f"for={CLIENT}"), CLIENT),
        # what the client made up stands to the left of what the proxy has put there
        (by_x(f"198.51.100.1, {CLIENT}"), CLIENT),
        (by_x("198.51.100.1", CLIENT), CLIENT),
        (by_x(f"10.0.0.9, {CLIENT}"), CLIENT),
        (by_x(f"nonsense, , {CLIENT}"), CLIENT),
        (by_forwarded("for=198.51.100.1", f"for={CLIENT}"), CLIENT),
        (by_forwarded(f'for=198.51.100.1;by="x, y", for={CLIENT}'), CLIENT),
        # a quoted string that is left open would swallow it
        (by_forwarded(f'for=198.51.100.1;by=", for={CLIENT};proto="https"'), PROXY),
        (by_forwarded('for=198.51.100.1;by=", for="[2001:db8::7]"'), PROXY),
        (by_forwarded('for=198.51.100.1;by="\\", for="[2001:db8::7]"'), PROXY),
        (by_forwarded(f'for="198.51.100.1, for={CLIENT}'), PROXY),
        # of two fields one may be the client's own
        (by_x(CLIENT) + by_forwarded("for=198.51.100.1"), PROXY),
        (by_x("198.51.100.1") + by_forwarded(f"for={CLIENT}"), PROXY),
        (by_x("198.51.100.1") + by_forwarded('for="'), PROXY),
        # who is not named by an address is nobody
        (by_x("unknown"), PROXY),
        (by_x(""), PROXY),
        (by_x(f"{CLIENT}, unknown"), PROXY),
        (by_x(f"{CLIENT}, unknown, 10.0.0.2"), "10.0.0.2"),
        (by_forwarded("for=_hidden"), PROXY),
        (by_forwarded("proto=https"), PROXY),
        (by_forwarded("for"), PROXY),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_is_the_client(headers: list[tuple[str, str]], expected: str) -> None:
    assert client(PROXY, *headers) == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1", "11.0.0.1", "not an address"])
def test_nobody_else_is_believed(peer: str) -> None:
    assert client(peer, *by_x(CLIENT), *by_forwarded(f"for={CLIENT}")) == peer
    assert client("127.0.0.1", *by_x(CLIENT), trusted=("10.0.0.0/8",)) == "127.0.0.1"


def test_a_proxy_is_known_by_either_spelling_of_its_address() -> None:
    assert client("::ffff:10.0.0.1", *by_x(CLIENT)) == client("fd00::1", *by_x(CLIENT)) == CLIENT
    assert str(as_address("[FD00:0::1]")) == "fd00::1" and as_address("1.2.3") is None


@pytest.mark.parametrize("trusted", ["127.0.0.1", ""])
def test_clients_behind_a_proxy_are_counted_apart_and_nobody_else_can_be_two(
    store: Store, redis_url: str, tmp_path: Path, trusted: str
) -> None:
    with running_gateway(
        tmp_path, LUTRA_REDIS_URL=redis_url, LUTRA_RATE_LIMIT="1", LUTRA_TRUSTED_PROXIES=trusted
    ) as gateway:

        def asked(by: str) -> int:
            return httpx.get(f"{gateway.url}/models", headers={"X-Forwarded-For": by}, timeout=60).status_code

        apart = 200 if trusted else 429
        assert [asked(CLIENT), asked("198.51.100.1"), asked(CLIENT)] == [200, apart, 429]
        assert asked(f"198.51.100.2, {CLIENT}") == 429
