"""Who may ask: an API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`, where keys are kept; else everybody.

What these functions are a dependency of is refused before anything of its body is read. FastAPI's classes are there for
OpenAPI, and to take the headers apart.
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.clients import Client
from service.keyring import KeyRing
from service.rates import take_request
from workers.errors import KeyNeeded

MISSING = "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
UNKNOWN = "this API key is not known here"

_bearer = HTTPBearer(
    auto_error=False, scheme_name="BearerAuth", description="An API key, where the service keeps keys."
)
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="ApiKeyAuth", description="The same.")


async def key_of(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> str | None:
    """The key that came with the request; a log-in of another scheme is not ours and hides no `X-API-Key`."""
    return bearer.credentials if bearer else header


Key = Annotated[str | None, Depends(key_of)]


async def admit(request: Request, key: Key) -> None:
    """Leave the client for `client_of`, and count its request. Raises KeyNeeded or RateLimited."""
    keys: KeyRing | None = request.app.state.keys
    if keys is not None:
        client = request.state.client = _client_with(key, keys)
        request.state.may_wait = partial(_is_still, client, key or "", keys)
    await take_request(request)


async def admit_request(request: Request) -> None:
    """`admit`, of an endpoint for which FastAPI solves no dependencies."""
    keys_are_kept = request.app.state.keys is not None
    await admit(request, await key_of(await _bearer(request), await _header(request)) if keys_are_kept else None)


def _client_with(key: str | None, keys: KeyRing) -> Client:
    if not key:
        raise KeyNeeded(MISSING)
    client = keys.find(key)
    if client is None:
        raise KeyNeeded(UNKNOWN)
    return client


def _is_still(client: Client, key: str, keys: KeyRing) -> bool:
    """Whether the key is still this client's."""
    found = keys.find(key)
    return found is not None and found.id == client.id


async def admit_scrape(request: Request, key: Key) -> None:
    """Of /metrics: LUTRA_METRICS_KEY, where it is set. Raises KeyNeeded."""
    wanted = request.app.state.metrics_key
    if wanted is None:
        return
    if not key:
        raise KeyNeeded(MISSING)
    if not hmac.compare_digest(key.encode(), wanted.encode()):
        raise KeyNeeded(UNKNOWN)
