"""What takes room in the store and what makes it: records, jobs that are deleted, results that were delivered."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.living import hash_of, memory_of, pass_time
from tests.workers.stored import LOST, OUTPUT, claim, make_job, put, reclaim, weight_of_records
from workers.errors import JobGone, StoreFull
from workers.jobs.job import Job
from workers.jobs.records import RECORD_BYTES, TOMBSTONE_S, CancelOutcome
from workers.jobs.script import Script, Source, load_scripts
from workers.jobs.store import Store
from workers.jobs.store_base import CHUNK_BYTES, flat_pairs

RESULT = b"r" * 100_000


def done(store: Store, result: bytes = RESULT) -> Job:
    job = put(store)
    assert store.succeed(claim(store, job), result, OUTPUT, {})
    return job


def delivered(store: Store, result: bytes = RESULT) -> Job:
    job = done(store, result)
    store.ask(store.note_delivery_call(job.id))
    return job


def twin_of(store: Store, job: Job) -> str:
    """A second job of the same computation, as one that joined it."""
    twin = make_job().id
    record = hash_of(store, f"lutra:job:{job.id}")
    store.client.hset(f"lutra:job:{twin}", items=flat_pairs(record))
    store.client.set(f"lutra:gone:{twin}", "1", ex=100)
    store.client.sadd(f"lutra:comp:{job.computation.id}:jobs", twin)
    return twin


def is_gone(store: Store, job_id: str, why: str = "") -> bool:
    try:
        store.status(job_id)
    except JobGone as error:
        return why in error.message
    return False


def result_of(store: Store, job_id: str) -> bytes:
    return b"".join(store.read_result(store.status(job_id)))


def full(make_store: Callable[..., Store], **limits: int) -> Store:
    """A store with room for three of RESULT, and a worker."""
    store = make_store(store_bytes=360_000, **limits)
    store.beat({"test:1": {}})
    return store


def test_the_records_of_every_end_count_until_they_expire(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.beat({"test:1": {}})
    succeeded, failed, cancelled, lost = (put(store) for _ in range(4))
    store.succeed(claim(store, succeeded), b"better", OUTPUT, {})
    store.fail(claim(store, failed), LOST, {})
    store.cancel(cancelled.id)
    claim(store, lost, lease_s=0, timeout_s=0)
    assert reclaim(store, lost).state == "failed"
    assert store.queue().stored_bytes == len(b"better") + weight_of_records(store) > 4 * 4096
    pass_time(store, store.limits.result_ttl_s + 1)
    assert store.queue().stored_bytes == 0


def test_a_long_stream_of_events_counts_for_what_it_takes(store: Store) -> None:
    short, long = put(store), put(store)
    store.succeed(claim(store, short), b"", OUTPUT, {})
    before = store.queue().stored_bytes
    taken = claim(store, long)
    for tile in range(600):
        store.progress(taken, tile, 600)
    store.succeed(taken, b"", OUTPUT, {})
    assert store.queue().stored_bytes == weight_of_records(store) > before + 20_000


def test_small_jobs_fill_the_store_by_their_records(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=100_000)
    store.beat({"test:1": {}})
    with pytest.raises(StoreFull):
        for _ in range(100):
            done(store, b"tiny")
    assert 80_000 < weight_of_records(store) <= 100_000


def test_deleting_an_ended_job_frees_its_bytes_at_once_and_leaves_a_tombstone(store: Store) -> None:
    good, bad = done(store), put(store)
    store.fail(claim(store, bad), LOST, {})
    for job in (good, bad):
        assert store.cancel(job.id) is CancelOutcome.REMOVED
        assert is_gone(store, job.id, "deleted")
        assert 24 * 3600 - 5 < store.client.ttl(f"lutra:gone:{job.id}") <= 24 * 3600
        with pytest.raises(JobGone, match="deleted"):
            store.cancel(job.id)
    assert store.queue().stored_bytes == 0
    assert not store.client.keys("lutra:out:*") and not store.client.keys("lutra:comp:*")
    assert not store.client.keys("lutra:events:*") and not store.client.keys("lutra:job:*")


def test_tombstones_stay_shorter_where_there_are_very_many_and_never_take_all_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scripts(many: int) -> dict[Script, Source]:
        shown = f"MANY_TOMBSTONES = {many}  --"
        texts = {one: source.text.replace("MANY_TOMBSTONES = 1000000  --", shown) for one, source in sources.items()}
        assert all((shown in texts[one]) == ("tombstone_life(" in source.text) for one, source in sources.items())
        assert shown in texts[Script.FINISH] and shown in texts[Script.CANCEL]
        return {one: Source.of(text) for one, text in texts.items()}

    def life_s(job: Job) -> int:
        return store.client.ttl(f"lutra:gone:{job.id}") - store.limits.result_ttl_s

    sources = load_scripts()
    store.client.mset({f"another:{number}": 1 for number in range(150)})
    assert life_s(done(store)) > TOMBSTONE_S - 5
    monkeypatch.setattr(store, "_scripts", scripts(100))
    assert TOMBSTONE_S * 0.3 < life_s(done(store)) < TOMBSTONE_S * 0.5
    monkeypatch.setattr(store, "_scripts", scripts(50))
    assert 50 < life_s(job := done(store)) <= 60
    assert store.cancel(job.id) is CancelOutcome.REMOVED
    assert is_gone(store, job.id, "deleted")


def test_cancelling_again_changes_nothing(store: Store) -> None:
    job = put(store)
    for _ in range(3):
        assert store.cancel(job.id) == "cancelled"
    assert store.status(job.id).state == "cancelled"


def test_a_client_that_leaves_at_the_last_moment_removes_nothing(store: Store) -> None:
    job = done(store)
    assert store.cancel(job.id, only_if_attached=True) == "succeeded"
    assert result_of(store, job.id) == RESULT


def test_a_result_that_jobs_share_stays_until_the_last_of_them_is_deleted(store: Store) -> None:
    job = done(store)
    twin = twin_of(store, job)
    assert store.cancel(job.id) is CancelOutcome.REMOVED
    assert is_gone(store, job.id, "deleted")
    assert result_of(store, twin) == RESULT
    assert store.queue().stored_bytes >= len(RESULT)
    assert store.cancel(twin) is CancelOutcome.REMOVED
    assert is_gone(store, twin, "deleted")
    assert store.queue().stored_bytes == 0 and not store.client.keys("lutra:out:*")


def test_a_shared_result_goes_with_the_last_job_that_wants_it_and_a_cancelled_one_can_still_be_read(
    store: Store,
) -> None:
    job = done(store)
    left = twin_of(store, job)
    store.client.hset(f"lutra:job:{left}", mapping={"left": "1", "left_at": "1"})
    assert store.cancel(job.id) is CancelOutcome.REMOVED
    assert store.status(left).state == "cancelled"
    assert not store.client.keys("lutra:out:*")
    assert store.queue().stored_bytes == weight_of_records(store) - memory_of(store, f"lutra:gone:{job.id}")


def test_where_there_is_no_room_delivered_results_go_the_oldest_first_and_only_as_many_as_needed(
    make_store: Callable[..., Store],
) -> None:
    store = full(make_store)
    kept, second, first = (done(store) for _ in range(3))
    with pytest.raises(StoreFull):
        put(store, b"x" * 50_000)
    store.ask(store.note_delivery_call(first.id))
    store.ask(store.note_delivery_call(second.id))
    store.ask(store.note_delivery_call(first.id))  # read once more: it was delivered before the other all the same
    put(store, b"x" * 50_000)
    assert is_gone(store, first.id, "delivered and has made room")
    assert (result_of(store, second.id), result_of(store, kept.id)) == (RESULT, RESULT)
    assert store.client.ttl(f"lutra:gone:{first.id}") > 24 * 3600
    assert store.queue().stored_bytes <= 360_000


def test_nothing_goes_where_all_that_was_delivered_is_not_enough(make_store: Callable[..., Store]) -> None:
    store = full(make_store)
    one, _, _ = delivered(store), done(store), done(store)
    with pytest.raises(StoreFull):
        put(store, b"x" * 200_000)
    assert result_of(store, one.id) == RESULT


def test_nothing_goes_while_there_is_room_and_nothing_where_it_is_not_wanted(make_store: Callable[..., Store]) -> None:
    store = full(make_store)
    jobs = [delivered(store) for _ in range(2)]
    put(store)
    assert all(result_of(store, job.id) == RESULT for job in jobs)
    store = full(make_store, evict_delivered=False)
    store.client.flushall()
    store.beat({"test:1": {}})
    jobs = [delivered(store) for _ in range(3)]
    with pytest.raises(StoreFull):
        put(store, b"x" * 50_000)
    assert all(result_of(store, job.id) == RESULT for job in jobs)


def test_a_shared_result_counts_as_delivered_once_all_who_want_it_have_it(make_store: Callable[..., Store]) -> None:
    store = full(make_store)
    job, _, _ = done(store), done(store), done(store)
    twin = twin_of(store, job)
    store.ask(store.note_delivery_call(job.id))
    with pytest.raises(StoreFull):
        put(store, b"x" * 50_000)
    store.ask(store.note_delivery_call(twin))
    put(store, b"x" * 50_000)
    assert is_gone(store, job.id, "made room") and is_gone(store, twin, "made room")


def test_a_full_store_of_many_delivered_results_takes_one_new_job_after_the_other(
    make_store: Callable[..., Store],
) -> None:
    """More of them than go at once."""
    store = make_store(store_bytes=20_000_000)
    store.beat({"test:1": {}})
    jobs = []
    for _ in range(1500):
        store.beat({"test:1": {}})  # on a slow machine all of them take longer than a heartbeat counts
        jobs.append(delivered(store, b"r" * 8000))
    assert any(is_gone(store, job.id, "made room") for job in jobs)
    assert sum(is_gone(store, job.id) for job in jobs) < 400
    store.beat({"test:1": {}})
    put(store, b"x" * 19_000_000)
    survivors = [job for job in jobs if not is_gone(store, job.id)]
    assert survivors == jobs[-len(survivors) :] and 20 < len(survivors) < 100


def test_records_of_jobs_that_were_cancelled_or_whose_failure_was_delivered_make_room_and_others_do_not(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(store_bytes=100_000)
    store.beat({"test:1": {}})
    cancelled, delivered, undelivered = put(store), put(store), put(store)
    store.cancel(cancelled.id)
    for job in (delivered, undelivered):
        store.fail(claim(store, job), LOST, {})
    store.ask(store.note_delivery_call(delivered.id))
    put(store, b"x" * (100_000 - 3 * RECORD_BYTES - 1000))  # what `MEMORY USAGE` says of a record differs by hundreds
    put(store)
    assert is_gone(store, cancelled.id, "was told") and is_gone(store, delivered.id, "was told")
    assert store.status(undelivered.id).state == "failed"
    with pytest.raises(StoreFull):
        for _ in range(10):
            put(store)
    assert store.status(undelivered.id).state == "failed"


def test_jobs_that_are_cancelled_one_after_the_other_never_fill_the_store(make_store: Callable[..., Store]) -> None:
    store = make_store(store_bytes=100_000)
    store.beat({"test:1": {}})
    for _ in range(50):
        assert store.cancel(put(store).id) == "cancelled"


def test_what_expired_or_was_deleted_is_no_longer_on_the_list_of_what_may_go(make_store: Callable[..., Store]) -> None:
    store = make_store()
    store.beat({"test:1": {}})
    delivered(store)
    store.cancel(delivered(store).id)
    assert store.client.zcard("lutra:delivered") == 1
    pass_time(store, store.limits.result_ttl_s + 1)
    store.queue()
    assert store.client.zcard("lutra:delivered") == 0


def test_what_an_older_version_left_behind_ends_expires_and_is_deleted(store: Store) -> None:
    """It held the bytes of pictures alone, noted no delivery, and its tombstones all said 1."""
    queued, ended = put(store), done(store)
    for job, held in ((queued, 107), (ended, len(RESULT))):
        before = int(hash_of(store, "lutra:blob_sizes")[job.computation.id.encode()])
        store.client.hset("lutra:blob_sizes", job.computation.id, held)
        store.client.decrby("lutra:blob_bytes", before - held)
    store.client.set("lutra:gone:old", "1")
    assert is_gone(store, "old", "expired")
    store.ask(store.note_delivery_call(ended.id))
    assert store.cancel(ended.id) is CancelOutcome.REMOVED
    assert store.succeed(claim(store, queued), b"better", OUTPUT, {})
    kept = weight_of_records(store) - memory_of(store, "lutra:gone:old", f"lutra:gone:{ended.id}")
    assert store.queue().stored_bytes == len(b"better") + kept
    assert json.loads(hash_of(store, f"lutra:comp:{queued.computation.id}")[b"output"])["bytes"] == 6


def test_with_redis_out_of_memory_a_delivery_is_noted_and_a_job_deleted(store: Store) -> None:
    one, other = done(store), done(store)
    store.client.config_set("maxmemory", 1)
    try:
        store.ask(store.note_delivery_call(one.id))
        assert store.cancel(other.id) is CancelOutcome.REMOVED
    finally:
        store.client.config_set("maxmemory", 0)
    assert store.client.zcard("lutra:delivered") == 1
    assert is_gone(store, other.id, "deleted")


def test_with_redis_out_of_memory_what_has_expired_is_swept_and_the_queue_is_read(
    make_store: Callable[..., Store],
) -> None:
    """Readiness asks for the queue: a full Redis whose results expire meanwhile must not make it fail."""
    store = make_store()
    store.beat({"test:1": {}})
    done(store)
    pass_time(store, store.limits.result_ttl_s + 1)
    store.client.config_set("maxmemory", 1)
    try:
        assert store.unsent(0) == {}
        assert store.queue().workers_alive == 1
        assert store.queue().stored_bytes == 0
    finally:
        store.client.config_set("maxmemory", 0)


def test_what_a_full_redis_took_in_part_is_given_back_at_once(store: Store) -> None:
    """Else pieces that nobody counts would fill it for an hour, and two results could wait for each other's."""
    job = put(store)
    taken, large = claim(store, job), b"r" * (10 * CHUNK_BYTES)
    store.client.config_set("maxmemory", int(store.client.info("memory")["used_memory"]) + 4 * CHUNK_BYTES)
    try:
        with pytest.raises(StoreFull):
            store.put_result(taken, large)
        assert not store.client.keys("lutra:out:*")
        with pytest.raises(StoreFull):
            put(store, large)
        assert store.client.keys("lutra:in:*") == [f"lutra:in:{job.computation.id}:0".encode()]
    finally:
        store.client.config_set("maxmemory", 0)
