"""What workers report of themselves: heartbeats, the facts of each child, how fast each model is here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from workers.jobs.records import HEARTBEAT_TTL_S, RETURN_S, text
from workers.jobs.script import Script
from workers.jobs.store_base import StoreBase


class Reports(StoreBase):
    """Written by workers, read by the gateway and by other workers."""

    def beat(
        self, children: Mapping[str, Mapping[str, Any] | None], *, place: str = "", is_loading: bool = False
    ) -> None:
        """These children live; facts None keeps what they reported before (a child that never did is not counted).

        `is_loading`: another child of this `place` is loading its models. For RETURN_S after a child of the place was
        last alive, jobs are admitted in the hope of it.
        """
        args: list[Any] = []
        for name, facts in children.items():
            args += [name, "" if facts is None else json.dumps(facts), (facts or {}).get("lane", "")]
        self._run(Script.BEAT, HEARTBEAT_TTL_S, RETURN_S, place, int(is_loading), *args)

    def children(self) -> dict[str, dict[str, Any]]:
        """Facts of each worker child with a live heartbeat, by its name."""
        with self._reaching():
            now = float(self.client.time()[0])
            alive = cast("list[bytes]", self.client.zrangebyscore("lutra:alive", now - HEARTBEAT_TTL_S, "+inf"))
            facts = cast("list[bytes | None]", self.client.hmget("lutra:child_facts", alive)) if alive else []
        return {text(name): json.loads(fact) for name, fact in zip(alive, facts, strict=True) if fact}

    def forget_children(self, names: Iterable[str]) -> None:
        """These children are gone."""
        names = list(names)
        if not names:
            return
        with self._reaching():
            self.client.zrem("lutra:alive", *names)
            self.client.hdel("lutra:child_facts", *names)
            self.client.hdel("lutra:child_lanes", *names)

    def worker_returns(self) -> bool:
        """True where a worker that was alive a moment ago is loading its models again: jobs are admitted meanwhile."""
        with self._reaching():
            now = float(self.client.time()[0])
            return bool(self.client.zcount("lutra:returning", now, "+inf"))

    def memory(self) -> tuple[int, int]:
        """Bytes that Redis uses, and its `maxmemory`; 0 where it has none."""
        with self._reaching():
            told = cast("dict[str, int]", self.client.info("memory"))
        return int(told["used_memory"]), int(told.get("maxmemory", 0))

    def messages(self, *queues: str) -> int:
        """How many messages wait in these queues of Celery's."""
        with self._reaching():
            return sum(int(self.client.llen(queue)) for queue in queues)

    def keep_rate(self, key: str, rate: str) -> None:
        """Remember how fast a model is here (`operations.speeds`). Of two writers the later one counts."""
        with self._reaching():
            self.client.hset("lutra:rates", key, rate)

    def rates(self) -> dict[str, str]:
        """What `keep_rate` wrote last under each key, and whatever older versions kept there."""
        with self._reaching():
            rates = cast("dict[bytes, bytes]", self.client.hgetall("lutra:rates"))
        return {text(key): text(rate) for key, rate in rates.items()}
