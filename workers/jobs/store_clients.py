"""What the store keeps of a client: its jobs in a list, what they came to by day, its Idempotency-Keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from workers.errors import ParameterError, RecordUnreadable
from workers.jobs.job import JobState, JobStatus
from workers.jobs.records import status_of, text
from workers.jobs.script import Call, Script
from workers.jobs.store_base import StoreBase, as_mapping

KEY_HOLD_S = 60  # an Idempotency-Key whose gateway died is free again after so long
USAGE_DAYS = 35
MOST_LOOKS = 1000  # jobs that one page looks at, where few of them are in the state that is asked for
_DAY_S = 24 * 3600
_CURSOR = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)-([0-9a-f]{1,64})")


@dataclass(frozen=True)
class JobPage:
    """Some of a client's jobs, the newest first; `cursor`: where the next page begins, empty after the last one."""

    jobs: list[JobStatus]
    cursor: str


@dataclass(frozen=True)
class DayUsage:
    """What a client's jobs that succeeded came to on one day (UTC), in days since the epoch."""

    day: int
    jobs: int
    pixels_in: int
    pixels_out: int


class Clients(StoreBase):
    """Read and written by the gateway; the scripts that take jobs in and end them keep it up to date."""

    def jobs_of(self, client: str, *, limit: int, cursor: str = "", state: JobState | None = None) -> JobPage:
        """At most `limit` jobs from `cursor` on; fewer, too, where many others lie between. Raises ParameterError."""
        taken_in_at, last = self._position(cursor)
        args = [client, state or "", limit, taken_in_at, last, MOST_LOOKS]
        seen_at, seen, found = self._run(Script.LIST_JOBS, *args)
        return JobPage(list(self._readable(found)), f"{text(seen_at)}-{text(seen)}" if seen else "")

    @staticmethod
    def _position(cursor: str) -> tuple[str, str]:
        if not cursor:
            return "+inf", ""
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise ParameterError("cursor is none that this service gave; leave it out for the first page")
        return match[1], match[2]

    @staticmethod
    def _readable(found: list[Any]) -> Iterator[JobStatus]:
        for job_id, job, computation in found:
            with suppress(RecordUnreadable):  # of another version: it has its own answer at its own address
                yield status_of(text(job_id), as_mapping(job), as_mapping(computation))

    def usage_of(self, client: str) -> list[DayUsage]:
        """The days of the last USAGE_DAYS on which something was done, the newest first."""
        names = ["jobs", "pixels_in", "pixels_out"]
        with self._reaching():
            today = int(self.client.time()[0]) // _DAY_S
            days = range(today, today - USAGE_DAYS, -1)
            pipe = self.client.pipeline(transaction=False)
            for day in days:
                pipe.hmget(f"lutra:usage:{client}:{day}", names)
            counts = cast("list[list[bytes | None]]", pipe.execute())
        rows = zip(days, counts, strict=True)
        return [DayUsage(day, *(int(count or 0) for count in one)) for day, one in rows if one[0]]

    def hold_key_call(self, key: str, job_id: str) -> Call[tuple[str, str]]:
        """Hold an Idempotency-Key (by its name in the store) for a job that is on its way, for KEY_HOLD_S from now.

        The job that has it, another one where it was faster, and the fingerprint of its request: empty until that job
        has been taken in.
        """

        def read(answer: Any) -> tuple[str, str]:
            holder, fingerprint = answer
            return text(holder), text(fingerprint)

        return Call(Script.HOLD_KEY, (key, job_id, KEY_HOLD_S), read)

    def free_key_call(self, key: str, job_id: str) -> Call[None]:
        """The request was refused: its key is free again. One whose job was taken in stays."""
        return Call(Script.FREE_KEY, (key, job_id), lambda answer: None)
