"""How much a client may ask for: requests and megapixels of results a minute, and what its answers say of that.

A request that needs a key counts, whatever it asks; reading documents, health and metrics does not. Megapixels are
taken when a job is planned, and given back where it is refused after that. The fields are those of
draft-ietf-httpapi-ratelimit-headers-11: what a minute allows, what is left of it, and in how many seconds it is whole
again.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.requests import Request

from service.clients import Client, client_of
from service.gateway import Gateway, gateway_of
from workers.errors import LutraError, RateLimited, Unavailable
from workers.jobs.store_rates import Bucket, Level

REQUESTS, MEGAPIXELS = "requests", "megapixels"
WINDOW_S = 60


async def take_request(request: Request) -> None:
    """Count this request. Raises RateLimited, or StoreUnavailable: without the store there is nothing to ask for."""
    client, default = client_of(request), gateway_of(request).settings.rate_limit
    per_min = default if client.id.startswith("at:") else client.rate_per_min
    buckets = [] if per_min is None else [Bucket(REQUESTS, per_min, 1)]
    await _take(request, client, *buckets, *_megapixels(client, 0))


@asynccontextmanager
async def megapixels_taken(request: Request, size: tuple[int, int]) -> AsyncIterator[None]:
    """Count a result of this (height, width); it is given back where what stands inside fails. Raises RateLimited."""
    client, megapixels = client_of(request), size[0] * size[1] / 1e6
    await _take(request, client, *_megapixels(client, megapixels))
    try:
        yield
    except LutraError:
        with suppress(Unavailable):
            await _take(request, client, *_megapixels(client, -megapixels))
        raise


def _megapixels(client: Client, cost: float) -> list[Bucket]:
    return [] if client.megapixels_per_min is None else [Bucket(MEGAPIXELS, client.megapixels_per_min, cost)]


async def _take(request: Request, client: Client, *buckets: Bucket) -> None:
    """Take it, and leave the fields to be sent with whatever is answered."""
    if not buckets:
        return
    gateway: Gateway = gateway_of(request)
    levels = await gateway.ask(gateway.store.take_call(client.id, *buckets))
    told: dict[str, Level] = getattr(request.state, "rates", {})
    request.state.rates = told = {**told, **{level.bucket.name: level for level in levels}}
    request.state.fields = fields_of(list(told.values()))
    late = max(levels, key=lambda level: level.wait_s)
    if late.wait_s > 0:
        raise _refusal(late)


def _refusal(level: Level) -> RateLimited:
    name, per_min = level.bucket.name, level.bucket.per_min
    seen = f"this client may ask for {per_min:g} {name} a minute; the next may be asked for in {level.wait_s:.1f} s"
    return RateLimited(seen, policy=name, limit=per_min, retry_after_s=round(level.wait_s, 3))


def fields_of(levels: list[Level]) -> dict[str, str]:
    """RateLimit-Policy (`q` in `w` seconds) and RateLimit (`r` left; whole again in `t` seconds), in whole numbers."""
    policies, left = [], []
    for level in levels:
        unit = "" if level.bucket.name == REQUESTS else f';qu="{level.bucket.name}"'
        policies.append(f'"{level.bucket.name}";q={math.ceil(level.bucket.per_min)};w={WINDOW_S}{unit}')
        left.append(f'"{level.bucket.name}";r={max(0, math.floor(level.left))};t={math.ceil(level.full_s)}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}
