"""Token buckets in the store: what a minute is worth, evenly, and all of a request's cost or nothing."""

from __future__ import annotations

import pytest

from workers.jobs.store import Store
from workers.jobs.store_rates import Bucket

SLACK = 0.5  # of a token: what may flow in while a test runs, at one a second


def rewind(store: Store, seconds: float, name: str = "requests") -> None:
    """As if so long had gone by since the bucket was written."""
    assert store.client.hincrbyfloat(f"lutra:rate:a:{name}", "at", -seconds)


def test_a_minutes_worth_may_be_taken_at_once_and_then_no_more(store: Store) -> None:
    bucket = Bucket("requests", 3, 1)
    levels = [store.take("a", bucket)[0] for _ in range(4)]
    assert [level.wait_s > 0 for level in levels] == [False, False, False, True]
    assert [round(level.left) for level in levels] == [2, 1, 0, 0]
    assert 19 < levels[3].wait_s <= 20 and 59 < levels[3].full_s <= 60
    assert store.take("b", bucket)[0].wait_s == 0  # each client has its own


def test_it_fills_evenly_and_never_beyond_a_minutes_worth(store: Store) -> None:
    bucket = Bucket("requests", 60, 60)
    assert store.take("a", bucket)[0].left == pytest.approx(0, abs=SLACK)
    rewind(store, 10)
    (level,) = store.take("a", Bucket("requests", 60, 0))
    assert level.left == pytest.approx(10, abs=SLACK) and level.full_s == pytest.approx(50, abs=SLACK)
    rewind(store, 1000)
    assert store.take("a", Bucket("requests", 60, 0))[0].left == 60


def test_nothing_is_taken_where_one_of_several_has_to_wait(store: Store) -> None:
    small, large = Bucket("requests", 60, 1), Bucket("megapixels", 10, 8)
    assert [level.wait_s for level in store.take("a", small, large)] == [0, 0]
    first, second = store.take("a", small, large)
    assert first.wait_s == 0 and second.wait_s == pytest.approx(36, abs=6 * SLACK)
    assert first.left == pytest.approx(59, abs=SLACK) and second.left == pytest.approx(2, abs=SLACK)


def test_what_is_more_than_a_minutes_worth_waits_for_a_full_bucket_and_is_owed(store: Store) -> None:
    bucket = Bucket("megapixels", 60, 200)
    assert store.take("a", Bucket("megapixels", 60, 30))[0].wait_s == 0
    assert store.take("a", bucket)[0].wait_s == pytest.approx(30, abs=SLACK)
    rewind(store, 40, "megapixels")
    (level,) = store.take("a", bucket)
    assert (level.wait_s, round(level.left)) == (0, -140)
    assert store.take("a", Bucket("megapixels", 60, 1))[0].wait_s == pytest.approx(141, abs=2 * SLACK)
    assert store.take("a", Bucket("megapixels", 60, 0))[0].wait_s == 0  # who asks for none may ask
    assert 190 < store.client.ttl("lutra:rate:a:megapixels") <= 201


def test_what_is_given_back_is_there_again(store: Store) -> None:
    store.take("a", Bucket("megapixels", 60, 50))
    assert store.take("a", Bucket("megapixels", 60, -50))[0].left == pytest.approx(60, abs=SLACK)
    assert store.take("a", Bucket("megapixels", 60, -50))[0].left == 60


def test_a_limit_that_is_changed_counts_at_once_and_a_full_bucket_is_forgotten(store: Store) -> None:
    assert store.take("a", Bucket("requests", 600, 1))[0].left == pytest.approx(599, abs=SLACK)
    assert store.take("a", Bucket("requests", 2, 1))[0].left == pytest.approx(1, abs=SLACK)
    assert 25 < store.client.ttl("lutra:rate:a:requests") <= 31
    assert store.take("a", Bucket("requests", 0.5, 1))[0].wait_s == 0  # less than one a minute, and one at times
