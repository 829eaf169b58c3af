"""How much each client may ask for in a minute: token buckets, shared by all gateways."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from workers.jobs.records import text
from workers.jobs.script import Call, Script
from workers.jobs.store_base import StoreBase


@dataclass(frozen=True)
class Bucket:
    """One limit: its name, what a minute is worth, and what a request costs of it (0: it is only looked at)."""

    name: str
    per_min: float
    cost: float


@dataclass(frozen=True)
class Level:
    """A bucket after a request. `wait_s` above 0: the cost cannot be taken yet; `left` below 0: that much is owed."""

    bucket: Bucket
    left: float
    wait_s: float
    full_s: float


class Rates(StoreBase):
    """The gateway's side before a request is served."""

    def take(self, client: str, *buckets: Bucket) -> list[Level]:
        """Take each bucket's cost, or nothing where one of them has to wait."""
        return self.ask(self.take_call(client, *buckets))

    def take_call(self, client: str, *buckets: Bucket) -> Call[list[Level]]:
        def read(levels: Any) -> list[Level]:
            return [Level(bucket, *map(float, map(text, level))) for bucket, level in zip(buckets, levels, strict=True)]

        args = [part for bucket in buckets for part in (bucket.name, bucket.per_min, bucket.cost)]
        return Call(Script.TAKE, (client, secrets.token_hex(8), *args), read)
