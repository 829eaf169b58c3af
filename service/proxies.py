"""Who really asks, where proxies that are named stand between: by `X-Forwarded-For` or `Forwarded` (RFC 7239).

Each proxy adds at the right end whom it was asked by; so the client is the rightmost address that is no such proxy, and
what stands to the left of it is what the client itself may have made up. A proxy that writes one of the two fields may
pass the other on as it came: where both are there and differ, neither is believed, and the proxy's own address counts.
uvicorn's part for this believes loopback unasked, knows no `Forwarded`, and takes names that are no addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Address = IPv4Address | IPv6Address

_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[\w-]*)?")
_PAIR = re.compile(r'\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]+))\s*([;,]|$)')


class Trusted:
    """The proxies that are named, as addresses and networks."""

    def __init__(self, named: Iterable[str]) -> None:
        self._networks = [ip_network(text) for text in named]

    def trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


class Proxies:
    """ASGI middleware around everything: `client` of the scope becomes who asked the first of the trusted proxies."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self._app = app
        self._trusted = Trusted(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["client"]:
            peer = as_address(scope["client"][0])
            if peer is not None and self._trusted.trusts(peer):
                scope = {**scope, "client": (str(self._client_of(peer, Headers(scope=scope))), 0)}
        await self._app(scope, receive, send)

    def _client_of(self, peer: Address, headers: Headers) -> Address:
        told = [chain for chain in (x_forwarded_for(headers), forwarded(headers)) if chain]
        found = {self._walk(peer, chain) for chain in told}
        return found.pop() if len(found) == 1 else peer

    def _walk(self, peer: Address, chain: list[str]) -> Address:
        """From the right to the first address that is no proxy; what is no address ends the walk before it."""
        for text in reversed(chain):
            address = as_address(text)
            if address is None:
                return peer
            peer = address
            if not self._trusted.trusts(peer):
                return peer
        return peer


def as_address(text: str) -> Address | None:
    """`192.0.2.7`, `192.0.2.7:80`, `2001:db8::7`, `[2001:db8::7]:80`; None for all else."""
    found = _PORT.fullmatch(text.strip())
    bare = (found.group(1) or found.group(2)) if found else text.strip()
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def x_forwarded_for(headers: Headers) -> list[str]:
    """Its entries in order; several lines are one list."""
    lines = headers.getlist("x-forwarded-for")
    return ",".join(lines).split(",") if lines else []


def forwarded(headers: Headers) -> list[str]:
    """The `for` of each element in order, empty where one has none; only that where the field is not well formed.

    Half a quoted string could otherwise swallow what a proxy has put behind it.
    """
    lines = headers.getlist("forwarded")
    whole, at = ",".join(lines), 0
    found = [""] if lines else []
    while at < len(whole):
        pair = _PAIR.match(whole, at)
        if pair is None:
            return [""]
        name, quoted, bare, end = pair.groups()
        if name.lower() == "for":
            found[-1] = bare or re.sub(r"\\(.)", r"\1", quoted)
        if end == ",":
            found.append("")
        at = pair.end()
    return found
