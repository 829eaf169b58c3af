"""Many samples as a few figures: rates over a window of time, percentiles of waiting, counts of what became of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load.samples import Outcome, Sample


@dataclass(frozen=True)
class Summary:
    """Of the jobs that ended in `seconds` of a load of `users`; percentiles are of those that succeeded, 0 of none."""

    users: int
    seconds: float
    jobs_per_s: float
    megapixels_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    succeeded: int
    refused: int
    failed: int

    def share(self, count: int) -> float:
        """Of all that ended; 0 of none."""
        ended = self.succeeded + self.refused + self.failed
        return count / ended if ended else 0.0


def summarise(samples: Sequence[Sample], users: int, begin_s: float, end_s: float) -> Summary:
    """Counts what ended from `begin_s` to `end_s`, whenever it began."""
    ended = [sample for sample in samples if begin_s <= sample.end_s < end_s]
    done = [sample for sample in ended if sample.outcome is Outcome.SUCCEEDED]
    seconds = end_s - begin_s
    waited_ms = [sample.seconds * 1000 for sample in done]
    p50_ms, p95_ms, p99_ms = (percentile(waited_ms, share) for share in (0.50, 0.95, 0.99))
    return Summary(
        users,
        seconds,
        len(done) / seconds,
        sum(sample.megapixels for sample in done) / seconds,
        p50_ms,
        p95_ms,
        p99_ms,
        len(done),
        sum(sample.outcome is Outcome.REFUSED for sample in ended),
        sum(sample.outcome is Outcome.FAILED for sample in ended),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of them does not exceed (nearest rank); 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
