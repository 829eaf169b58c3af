"""Who a request comes from, and so whom its job belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from service.addresses import neighbourhood


@dataclass(frozen=True)
class Client:
    """`id`: `at:` and the address, or the network, that the connection comes from."""

    id: str


def client_of(request: Request) -> Client:
    return Client(f"at:{neighbourhood(request.client.host if request.client else '')}")
