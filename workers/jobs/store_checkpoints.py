"""What is finished of a result that is not whole yet: pieces, kept for the next attempt should this one be lost.

They count among the store's bytes, give way to whatever else wants room, and go when the computation ends or expires.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from workers.errors import StoreFull
from workers.jobs.records import Claim, text
from workers.jobs.script import Script
from workers.jobs.store_base import StoreBase

NO_ROOM = 2  # as the script answers


class Checkpoints(StoreBase):
    """Written and read by the attempt that holds the computation."""

    def keep_piece(self, claim: Claim, plan: str, index: int, piece: bytes) -> bool:
        """Keep a piece as number `index` (from 0) of those under `plan`; what was kept from there on goes.

        False where the attempt is stale or cancelled, or the piece before is gone. Raises StoreFull, and makes no room.
        """
        args = [claim.computation_id, claim.attempt, plan, index, piece, self.limits.store_bytes]
        answer = int(self._run(Script.CHECKPOINT, *args))
        if answer == NO_ROOM:
            raise StoreFull("the job store has no room for what is finished of a result")
        return bool(answer)

    def kept_plan(self, claim: Claim) -> str:
        """The plan under which pieces are kept; empty where there are none."""
        with self._reaching():
            return text(self.client.lindex(_key(claim), 0) or "")

    def kept_pieces(self, claim: Claim) -> Iterator[bytes]:
        """The pieces, from the first on."""
        index = 1
        while True:
            with self._reaching():
                piece = cast("bytes | None", self.client.lindex(_key(claim), index))
            if piece is None:
                return
            yield piece
            index += 1


def _key(claim: Claim) -> str:
    return f"lutra:checkpoint:{claim.computation_id}"
