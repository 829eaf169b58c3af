"""One claim's checkpoint in the store, as the engine keeps it: a part of the result is a compressed stream in pieces.

A stream tells its own end, so that a part whose last piece is missing is none. Whatever fails here fails nothing: the
computation goes on, and another attempt begins further back.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from workers.errors import Unavailable
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.jobs.store_base import CHUNK_BYTES, chunk_count
from workers.log import Log

log = Log(__name__)


class StoredCheckpoint:
    """See `workers.engine.checkpoint.Keeper`. `was_read`: part of the result is of an attempt before this one."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._pieces = 0  # of the parts that are whole
        self.was_read = False

    def plan(self) -> str:
        """Under which plan an attempt before this one has kept parts; empty where it has not, or nobody can tell."""
        if self._claim.attempt == 1:
            return ""
        try:
            return self._store.kept_plan(self._claim)
        except Unavailable:
            log.warning("it could not be told what the attempt before has kept")
            return ""

    def read(self) -> Iterator[bytes]:
        """The samples of each part, from the first on."""
        part, stream = b"", zlib.decompressobj()
        try:
            for count, piece in enumerate(self._store.kept_pieces(self._claim), 1):
                part += stream.decompress(piece)
                if stream.eof:
                    self._pieces, self.was_read = count, True
                    yield part
                    part, stream = b"", zlib.decompressobj()
        except (Unavailable, zlib.error):
            log.warning("what the attempt before has kept could not be read on", pieces=self._pieces)

    def write(self, plan: str, samples: Sequence[bytes]) -> bool:
        """One part more. False where nobody wants it, or those before it had to go.

        Raises Unavailable where the store has no room now, or does not answer.
        """
        data = _compressed(samples)
        count = chunk_count(len(data))
        for number in range(count):
            piece = data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
            if not self._store.keep_piece(self._claim, plan, self._pieces + number, piece):
                log.debug("nothing more is kept of this result")
                return False
        self._pieces += count
        return True


def _compressed(samples: Sequence[bytes]) -> bytes:
    """Runs and Huffman codes alone: differences of samples hold little else, and a search takes twice as long."""
    stream = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return b"".join([*map(stream.compress, samples), stream.flush()])
