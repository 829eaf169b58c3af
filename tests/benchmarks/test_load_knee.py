"""The knee is found in drawn series: nothing is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.load.knee import Knee, Objectives, find_knee, what_breaks
from benchmarks.load.samples import Outcome, Sample, as_line, from_lines, outcome_of
from benchmarks.load.summary import Summary, percentile, summarise

OBJECTIVES = Objectives(p95_ms=1000)


def drawn(capacity: float, *, slow: bool = False) -> Callable[[int], Summary]:
    """A server that does `capacity` jobs a second, of users that want one each; `slow`: waiting grows beyond it."""

    def measure(users: int) -> Summary:
        rate = min(float(users), capacity)
        p95_ms = 100.0 if users <= capacity or not slow else 5000.0
        return Summary(users, 10, rate, rate / 4, 50, p95_ms, p95_ms, round(rate * 10), 0, 0)

    return measure


def users_of(knee: Knee) -> list[int]:
    return [step.summary.users for step in knee.steps]


def held_users(knee: Knee) -> int:
    assert knee.held is not None
    return knee.held.users


@pytest.mark.parametrize("slow", [False, True])
def test_the_knee_is_where_twice_the_users_no_longer_bring_more_and_told_to_an_eighth(slow: bool) -> None:
    knee = find_knee(drawn(40, slow=slow), OBJECTIVES, first=4, most=256)
    assert users_of(knee) == [4, 8, 16, 32, 64, 48, 40]
    assert held_users(knee) == 40
    assert ("p95" if slow else "no longer grows") in knee.why


def test_what_broke_is_told_of_the_fewest_users_beyond_the_knee() -> None:
    def measure(users: int) -> Summary:
        step = drawn(1000)(users)
        return replace(step, failed=step.succeeded) if users >= 64 else replace(step, p95_ms=30.0 * users)

    knee = find_knee(measure, OBJECTIVES, first=4, most=256)
    assert users_of(knee) == [4, 8, 16, 32, 64, 48, 40]
    assert held_users(knee) == 32
    assert knee.why == "p95 is 1200 ms, more than 1000 ms"


def test_where_nothing_breaks_the_last_step_is_the_knee_and_none_is_too_large() -> None:
    knee = find_knee(drawn(10_000), OBJECTIVES, first=4, most=100)
    assert users_of(knee) == [4, 8, 16, 32, 64]
    assert held_users(knee) == 64
    assert knee.why == ""


def test_a_service_that_keeps_nothing_has_no_knee() -> None:
    broken = replace(drawn(10)(1), p95_ms=9999)
    knee = find_knee(lambda users: replace(broken, users=users), OBJECTIVES, first=4, most=64)
    assert knee.held is None
    assert users_of(knee) == [4, 2, 1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"failed": 3}, "2.9% failed, more than 1.0%"),
        ({"failed": 1}, ""),
        ({"refused": 3}, "2.9% were refused, more than 1.0%"),
        ({"succeeded": 0}, "no job succeeded"),
        ({"p95_ms": 1001.0}, "p95 is 1001 ms, more than 1000 ms"),
        ({"jobs_per_s": 8.7}, "8.7 jobs/s after 5.0 with 5 users: no longer grows"),
        ({"jobs_per_s": 8.75}, ""),
    ],
)
def test_each_objective_is_looked_at(change: dict[str, float], told: str) -> None:
    step = replace(drawn(100)(10), **change)  # type: ignore[arg-type]
    assert what_breaks(step, drawn(100)(5), OBJECTIVES) == told


# -- samples and what they come to -----------------------------------------------------------------------------------


def sample(start_s: float, end_s: float, outcome: Outcome = Outcome.SUCCEEDED) -> Sample:
    return Sample("enhance", "wait", start_s, end_s, outcome, 200, 0.25)


def test_what_ended_in_the_window_counts_whenever_it_began() -> None:
    samples = [
        sample(0, 9.9),  # before
        sample(9, 10.0),
        sample(10, 10.5),
        sample(11, 11.2, Outcome.REFUSED),
        sample(11, 11.3, Outcome.FAILED),
        sample(11, 14.0),  # after
    ]
    found = summarise(samples, 3, 10, 14)
    assert (found.succeeded, found.refused, found.failed) == (2, 1, 1)
    assert found.jobs_per_s == pytest.approx(0.5)
    assert found.megapixels_per_s == pytest.approx(0.125)
    assert (found.p50_ms, found.p95_ms) == pytest.approx((500, 1000))
    assert found.share(found.failed) == 0.25


def test_a_percentile_is_one_of_the_values_by_nearest_rank() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.99) == 7
    assert percentile([], 0.5) == 0


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "outcome"),
    [
        (200, b"\xff\xd8...", None, Outcome.SUCCEEDED),
        (200, b"not a picture", None, Outcome.FAILED),
        (202, b"{}", "1", Outcome.FAILED),
        (500, b"\xff\xd8...", None, Outcome.FAILED),
        (503, b"{}", "2", Outcome.REFUSED),
        (429, b"{}", "2", Outcome.REFUSED),
        (503, b"{}", None, Outcome.FAILED),
        (500, b"{}", "2", Outcome.FAILED),
        (0, b"", None, Outcome.FAILED),
    ],
)
def test_a_refusal_says_when_to_come_again_and_is_no_error(
    status: int, body: bytes, retry_after: str | None, outcome: Outcome
) -> None:
    assert outcome_of(status, body, retry_after) is outcome


def test_samples_outlive_their_lines() -> None:
    samples = [sample(1, 2), replace(sample(3, 4, Outcome.REFUSED), job="a", key="b", repeats=2)]
    assert from_lines(map(as_line, samples)) == samples
