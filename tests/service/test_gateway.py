"""The life of a request's job in an open gateway, on a real Redis: made, sent, waited for, cancelled, left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from prometheus_client import REGISTRY

from models.cards import CARDS, OWN_LUT
from models.cube import MAX_BYTES, read_cube
from service.gateway import LONGEST_ID, Gateway, open_gateway
from tests.living import private_redis
from tests.service.asgi import PHOTO, claim, succeed
from tests.workers.stored import messages, queued_ids
from workers.errors import JobUnknown, NoWorker, ParameterError, StoreFull
from workers.jobs.job import Job
from workers.jobs.records import Limits
from workers.jobs.store import Store
from workers.operations import OPERATIONS
from workers.operations.operation import Plan, plan_encoding
from workers.operations.upscale import UpscaleParameters, UpscaleQuery
from workers.settings import read_settings

T = TypeVar("T")
TABLE = b"LUT_1D_SIZE 2\n0 0 0\n0.5 0.5 0.5\n"


def within(redis_url: str, story: Callable[[Gateway], Awaitable[T]], **settings: object) -> T:
    """What `story` gives of a gateway that is open for as long as it lasts."""

    async def told() -> T:
        async with asyncio.timeout(60), open_gateway(read_settings(**settings), redis_url) as gateway:
            return await story(gateway)

    return asyncio.run(told())


async def job_of(gateway: Gateway, *, detached: bool = False) -> Job:
    """A job to double the picture by `nearest`, as the routes make them."""
    header, query = await gateway.probe(PHOTO), UpscaleQuery(scale="2", model="nearest")
    plan: Plan[UpscaleParameters] = OPERATIONS["upscale"].plan(
        query, header, plan_encoding(query, "png", header), await gateway.installation(), None
    )
    return await gateway.make_job(PHOTO, header, plan, detached=detached)


async def submitted(gateway: Gateway, *, detached: bool = False) -> Job:
    job = await job_of(gateway, detached=detached)
    await gateway.submit(job, PHOTO, 1000, is_fresh=True)
    return job


async def nobody() -> None:
    """A client that stays."""
    await asyncio.Event().wait()


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_job_is_stored_sent_waited_for_and_counted(store: Store, redis_url: str) -> None:
    before = count("lutra_jobs_submitted_total", operation="upscale")

    async def story(gateway: Gateway) -> None:
        job = await job_of(gateway)
        async with gateway.wakeups.wait_for(job.id) as waiter:
            await gateway.submit(job, PHOTO, 1000)
            assert queued_ids(store) == {job.computation.id} and messages(store) == 1
            assert (await gateway.status(job.id)).state == "queued"
            assert (await gateway.queue()).queued == 1
            unchanged = await gateway.wait_for_end(job.id, waiter, 0.05, nobody)
            assert unchanged is not None and unchanged.state == "queued"
            taken = claim(store, job.computation.id)
            assert store.read_input(taken) == PHOTO
            assert store.succeed(taken, b"better", {"format": "png", "width": 128, "height": 96}, {})
            ended = await gateway.wait_for_end(job.id, waiter, 30, nobody)
        assert ended is not None and (ended.state, ended.model) == ("succeeded", "nearest")
        assert ended.output is not None and ended.output["bytes"] == 6

    within(redis_url, story)
    assert count("lutra_jobs_submitted_total", operation="upscale") == before + 1


@pytest.mark.parametrize(("detached", "state"), [(False, "cancelled"), (True, "queued")])
def test_a_client_that_leaves_takes_its_job_along_unless_that_is_to_stay(
    store: Store, redis_url: str, detached: bool, state: str
) -> None:
    async def leaves() -> None:
        await asyncio.sleep(0.05)

    async def story(gateway: Gateway) -> str:
        job = await submitted(gateway, detached=detached)
        async with gateway.wakeups.wait_for(job.id) as waiter:
            assert await gateway.wait_for_end(job.id, waiter, 30, leaves) is None
        return (await gateway.status(job.id)).state

    assert within(redis_url, story) == state


def test_who_waits_for_a_gateway_that_closes_is_answered_at_once_with_the_job_as_it_is(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.gateway.CLOSING_S", 0.1)

    async def story(gateway: Gateway) -> str:
        job = await submitted(gateway)
        assert not gateway.is_closing
        gateway.start_closing()
        first = gateway.closes_at
        gateway.start_closing()
        assert gateway.is_closing and gateway.closes_at == first  # a second signal puts nothing off
        async with gateway.wakeups.wait_for(job.id) as waiter:
            status = await gateway.wait_for_end(job.id, waiter, 3600, nobody)
        assert status is not None
        return status.state

    assert within(redis_url, story) == "queued"


def test_cancelling_ends_a_queued_job_and_removes_one_that_has_ended(store: Store, redis_url: str) -> None:
    labels = {"operation": "upscale", "model": "nearest", "outcome": "cancelled"}
    before = count("lutra_jobs_finished_total", **labels)

    async def story(gateway: Gateway) -> None:
        queued, ended = await submitted(gateway), await submitted(gateway)
        succeed(store, ended.computation.id)
        assert (await gateway.cancel(queued.id)).state == "cancelled"
        assert (await gateway.cancel(queued.id)).state == "cancelled"
        removed = await gateway.cancel(ended.id)
        assert (removed.id, removed.state) == (ended.id, "succeeded")
        assert not store.client.keys("lutra:out:*")

    within(redis_url, story)
    assert count("lutra_jobs_finished_total", **labels) == before + 1


def test_an_id_that_no_job_can_have_is_unknown(store: Store, redis_url: str) -> None:
    async def story(gateway: Gateway) -> None:
        for job_id in ("never", "x" * (LONGEST_ID + 1)):
            with pytest.raises(JobUnknown):
                await gateway.status(job_id)

    within(redis_url, story)


def test_a_job_that_is_refused_is_counted_by_its_reason(make_store: Callable[..., Store], redis_url: str) -> None:
    store, before = make_store(), count("lutra_admission_rejected_total", reason="no_worker")

    async def story(gateway: Gateway) -> None:
        with pytest.raises(NoWorker):
            await submitted(gateway)

    within(redis_url, story)
    assert count("lutra_admission_rejected_total", reason="no_worker") == before + 1
    assert not store.client.keys("lutra:job:*") and not store.client.keys("lutra:in:*")


def test_where_the_store_is_full_what_was_delivered_is_reported_first_and_makes_room(
    store: Store, redis_url: str
) -> None:
    async def story(gateway: Gateway) -> None:
        for _ in range(2):
            job = await submitted(gateway)
            succeed(store, job.computation.id, b"r" * 900_000)
            gateway.deliveries.add(job.id)
        with pytest.raises(StoreFull):
            store.put(await job_of(gateway), PHOTO, result_bytes=1_000_000, is_fresh=True)
        await gateway.submit(await job_of(gateway), PHOTO, 1_000_000, is_fresh=True)

    store.limits = Limits(store_bytes=2_000_000)
    within(redis_url, story, store_bytes=2_000_000)


def test_a_table_is_read_and_what_is_wrong_with_one_is_told_by_its_line(store: Store, redis_url: str) -> None:
    async def story(gateway: Gateway) -> None:
        assert await gateway.read_table(TABLE) == read_cube(TABLE)
        with pytest.raises(ParameterError, match=r"the part lut is no \.cube file") as refused:
            await gateway.read_table(TABLE.replace(b"0.5 0.5 0.5", b"0.5 0.5"))
        assert refused.value.members == {"parameter": "lut", "line": 3}
        with pytest.raises(ParameterError) as refused:
            await gateway.read_table(b" " * (MAX_BYTES + 1))
        assert "line" not in refused.value.members

    within(redis_url, story)


def test_speeds_are_those_of_all_that_is_served_and_the_last_known_while_the_store_is_away(tmp_path: Path) -> None:
    with private_redis(tmp_path) as (url, process):

        async def story(gateway: Gateway) -> None:
            known = await gateway.speeds()
            assert set(known) == {*gateway.models, OWN_LUT.name} == {"bicubic", "nearest", OWN_LUT.name}
            assert known["bicubic"] == CARDS["bicubic"].cpu_s_per_mp
            assert await gateway.speeds() is known
            process.terminate()
            process.wait(20)
            gateway.speeds_at = float("-inf")
            assert await gateway.speeds() is known
            assert await gateway.queue_or_none() is None

        within(url, story, models=("bicubic", "nearest"))
