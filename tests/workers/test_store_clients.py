"""What the store keeps of a client: its jobs, what they came to by day, its Idempotency-Keys. All of it shrinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.living import pass_time
from tests.workers.stored import LOST, OUTPUT, claim, make_job
from workers.errors import IdempotencyKeyInUse, ParameterError
from workers.jobs.job import Job, JobState
from workers.jobs.records import CacheResult
from workers.jobs.store import Store
from workers.jobs.store_clients import KEY_HOLD_S

HOUR, DAY = 3600, 24 * 3600


def put(store: Store, client: str = "at:1", **options: Any) -> Job:
    job = make_job(client=client, **options)
    store.put(job, b"picture", result_bytes=10)
    return job


def ended(store: Store, job: Job, pixels: int = 4) -> Job:
    assert store.succeed(claim(store, job), b"better", {**OUTPUT, "pixels": pixels}, {})
    return job


def pages(store: Store, limit: int, **wanted: Any) -> list[list[str]]:
    """The ids on each page, to the last one."""
    found, cursor = [], ""
    while True:
        page = store.jobs_of("at:1", limit=limit, cursor=cursor, **wanted)
        found.append([status.id for status in page.jobs])
        cursor = page.cursor
        if not cursor:
            return found


# ---- jobs ------------------------------------------------------------------------------------------------------------


def test_a_client_has_its_own_jobs_in_pages_the_newest_first(store: Store) -> None:
    jobs = [put(store).id for _ in range(5)][::-1]
    put(store, "at:2")
    assert pages(store, 2) == [jobs[:2], jobs[2:4], jobs[4:]]
    assert pages(store, 5) == [jobs]
    assert store.jobs_of("at:3", limit=5).jobs == []


def test_a_score_that_redis_writes_with_an_exponent_is_a_time_as_any_other(store: Store) -> None:
    jobs = [put(store).id for _ in range(60)][::-1]
    for k, job in enumerate(jobs):  # so many microseconds that Valkey needs seventeen digits for some of them
        store.client.zadd("lutra:jobs_of:at:1", {job: 1795949289.315467 - k * 0.000001})
    assert pages(store, 1) == [[job] for job in jobs]


def test_a_page_goes_on_where_the_one_before_ended_whatever_came_and_went_meanwhile(store: Store) -> None:
    jobs = [put(store).id for _ in range(4)][::-1]
    page = store.jobs_of("at:1", limit=2)
    put(store)
    for job in jobs[:2]:
        store.cancel(job)
        store.client.zrem("lutra:jobs_of:at:1", job)
    assert [status.id for status in store.jobs_of("at:1", limit=2, cursor=page.cursor).jobs] == jobs[2:]


def test_jobs_of_one_moment_are_all_listed_once(store: Store) -> None:
    jobs = [put(store).id for _ in range(7)]
    store.client.zadd("lutra:jobs_of:at:1", dict.fromkeys(jobs, 1000.0))
    found = pages(store, 3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert sorted(job for page in found for job in page) == sorted(jobs)


def test_jobs_are_told_apart_by_their_states_also_those_that_left_a_computation(store: Store) -> None:
    good, bad, waiting = ended(store, put(store)), put(store), put(store, key="same")
    store.fail(claim(store, bad), LOST, {})
    left = put(store, key="same")
    store.cancel(left.id)
    by_state = {state: [job.id for job in store.jobs_of("at:1", limit=9, state=state).jobs] for state in JobState}
    assert by_state == {
        JobState.QUEUED: [waiting.id],
        JobState.RUNNING: [],
        JobState.SUCCEEDED: [good.id],
        JobState.FAILED: [bad.id],
        JobState.CANCELLED: [left.id],
    }
    assert [page for page in pages(store, 1, state=JobState.SUCCEEDED) if page] == [[good.id]]


def test_a_page_looks_at_no_more_jobs_than_it_may_and_says_where_to_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.jobs.store_clients.MOST_LOOKS", 3)
    oldest = ended(store, put(store)).id
    for _ in range(6):
        put(store)
    assert pages(store, 5, state=JobState.SUCCEEDED) == [[], [], [oldest]]


@pytest.mark.parametrize("cursor", ["x", "1-", "-1", "1764403000.5", "1-zz", "nan-00", "1" * 40 + "-00"])
def test_a_cursor_that_is_none_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ParameterError, match="cursor"):
        store.jobs_of("at:1", limit=1, cursor=cursor)


def test_lists_shrink_with_what_expires_is_deleted_or_withdrawn_also_of_clients_that_never_come_back(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(result_ttl_s=HOUR)
    store.beat({"test:1": {}})
    deleted, withdrawn, expiring, waiting = (put(store) for _ in range(4))
    store.cancel(ended(store, deleted).id)
    store.withdraw(withdrawn)
    ended(store, expiring)
    assert pages(store, 9) == [[waiting.id, expiring.id]]
    assert store.client.zcard("lutra:listed") == 2
    pass_time(store, HOUR + 1)
    store.queue()
    assert pages(store, 9) == [[waiting.id]]
    pass_time(store, 8 * DAY)
    store.queue()
    assert not store.client.exists("lutra:jobs_of:at:1", "lutra:listed")


def test_an_ended_job_says_when_it_goes_and_another_one_does_not(make_store: Callable[..., Store]) -> None:
    store = make_store(result_ttl_s=HOUR)
    store.beat({"test:1": {}})
    job = put(store)
    assert store.status(job.id).expires_at is None
    ended(store, job)
    status = store.status(job.id)
    assert HOUR - 5 < (status.expires_at or 0) - (status.finished_at or 0) <= HOUR + 1
    (listed,) = store.jobs_of("at:1", limit=1).jobs
    assert listed.expires_at == status.expires_at


# ---- usage -----------------------------------------------------------------------------------------------------------


def test_each_job_that_succeeded_is_counted_once_with_its_megapixels(store: Store) -> None:
    leader, twin, left = (put(store, key="same") for _ in range(3))
    store.cancel(left.id)
    ended(store, leader, pixels=9)
    put(store, key="same")  # a stored result counts like any other
    failed = put(store)
    store.fail(claim(store, failed), LOST, {})
    store.cancel(put(store).id)
    ended(store, put(store, "at:2"), pixels=1)
    (today,) = store.usage_of("at:1")
    assert (today.jobs, today.pixels_in, today.pixels_out) == (3, 3, 27)
    assert [day.jobs for day in store.usage_of("at:2")] == [1]
    assert store.usage_of("at:3") == []
    assert store.status(twin.id).state == "succeeded"


def test_days_are_told_apart_the_newest_first_and_forgotten_after_five_weeks(store: Store) -> None:
    ended(store, put(store))
    (today,) = store.usage_of("at:1")
    for back, jobs in ((1, 5), (34, 6), (35, 7)):
        store.client.hset(f"lutra:usage:at:1:{today.day - back}", mapping={"jobs": jobs, "pixels_in": 1})
    assert [(today.day - day.day, day.jobs) for day in store.usage_of("at:1")] == [(0, 1), (1, 5), (34, 6)]
    assert 35 * DAY < store.client.ttl(f"lutra:usage:at:1:{today.day}") <= 36 * DAY


# ---- Idempotency-Keys ------------------------------------------------------------------------------------------------


def keyed(store: Store, key: str = "k", **options: Any) -> Job:
    job = make_job(client="at:1", idempotency_key=key, fingerprint="f", **options)
    assert store.ask(store.hold_key_call(key, job.id)) == (job.id, "")
    store.put(job, b"picture", result_bytes=10)
    store.ask(store.free_key_call(key, job.id))
    return job


def test_a_key_belongs_to_the_first_who_holds_it_until_it_is_freed_or_its_gateway_is_gone(store: Store) -> None:
    assert store.ask(store.hold_key_call("k", "one")) == ("one", "")
    assert store.ask(store.hold_key_call("k", "two")) == ("one", "")
    store.ask(store.free_key_call("k", "two"))
    assert store.ask(store.hold_key_call("k", "two")) == ("one", "")
    pass_time(store, KEY_HOLD_S - 10)
    assert store.ask(store.hold_key_call("k", "one")) == ("one", "")  # once more: for as long again
    pass_time(store, KEY_HOLD_S - 10)
    assert store.ask(store.hold_key_call("k", "two")) == ("one", "")
    pass_time(store, 20)
    assert store.ask(store.hold_key_call("k", "two")) == ("two", "")
    store.ask(store.free_key_call("k", "two"))
    assert not store.client.keys("lutra:key:*")


@pytest.mark.parametrize("how", list(CacheResult))
def test_a_key_names_the_job_that_was_taken_in_however_it_came_to_its_result(store: Store, how: CacheResult) -> None:
    if how is not CacheResult.MISS:
        twin = put(store, key="same")
        if how is CacheResult.HIT:
            ended(store, twin)
    job = make_job(client="at:1", key="same", idempotency_key="k", fingerprint="f")
    store.ask(store.hold_key_call("k", job.id))
    assert store.put(job, b"picture", result_bytes=10) is how
    store.ask(store.free_key_call("k", job.id))
    assert store.ask(store.hold_key_call("k", "another")) == (job.id, "f")


def test_a_key_is_kept_for_a_day_or_for_as_long_as_its_job(make_store: Callable[..., Store]) -> None:
    store = make_store(result_ttl_s=HOUR)
    store.beat({"test:1": {}})
    job = keyed(store)
    pass_time(store, 2 * DAY)
    assert store.ask(store.hold_key_call("k", "another")) == (job.id, "f")  # it waits still
    store.client.hset(f"lutra:job:{job.id}", "created_at", store.status(job.id).created_at - 2 * DAY)
    ended(store, job)
    assert HOUR - 5 < store.client.ttl("lutra:key:k") <= HOUR

    other = ended(store, keyed(store, "other"))
    pass_time(store, DAY - 60)
    assert store.ask(store.hold_key_call("other", "another")) == (other.id, "f")  # its job is gone since long
    pass_time(store, 120)
    assert store.ask(store.hold_key_call("other", "another")) == ("another", "")


def test_a_job_that_could_not_be_sent_gives_its_key_back(store: Store) -> None:
    store.withdraw(keyed(store))
    assert store.ask(store.hold_key_call("k", "another")) == ("another", "")


def test_a_request_whose_key_went_to_another_one_meanwhile_makes_no_job(store: Store) -> None:
    job = make_job(client="at:1", idempotency_key="k", fingerprint="f")
    store.ask(store.hold_key_call("k", job.id))
    pass_time(store, KEY_HOLD_S + 1)
    assert store.ask(store.hold_key_call("k", "faster")) == ("faster", "")
    with pytest.raises(IdempotencyKeyInUse):
        store.put(job, b"picture", result_bytes=10)
    assert store.queue().active == 0
    assert store.ask(store.hold_key_call("k", "faster")) == ("faster", "")


def test_a_job_whose_key_went_to_another_one_leaves_it_there(store: Store) -> None:
    job = keyed(store)
    store.client.delete("lutra:key:k")
    other = keyed(store)
    ended(store, job)
    assert store.ask(store.hold_key_call("k", "another")) == (other.id, "f")


def test_a_job_that_could_not_be_sent_takes_no_key_of_another_request_along(store: Store) -> None:
    job = keyed(store)
    store.client.delete("lutra:key:k")  # its hold ended while its request stood still
    assert store.ask(store.hold_key_call("k", "another")) == ("another", "")
    store.withdraw(job)
    assert store.ask(store.hold_key_call("k", "third")) == ("another", "")
