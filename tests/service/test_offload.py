"""Blocking calls in threads of their own: what they give, what they raise, and what takes too long."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import pytest

from service.offload import Threads
from workers.errors import StoreUnavailable, TooManyUploads

WHO = contextvars.ContextVar("WHO", default="nobody")


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads("test", 2, timeout_s=20)
    yield made
    made.close()


def test_a_call_runs_in_a_thread_of_its_own_name_and_its_result_comes_back(threads: Threads) -> None:
    def call(first: int, *, second: int) -> tuple[int, str]:
        return first - second, threading.current_thread().name

    result, name = asyncio.run(threads.run(call, 5, second=3))
    assert result == 2
    assert name.startswith("test")


def test_what_a_call_raises_is_raised_here(threads: Threads) -> None:
    def call() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        asyncio.run(threads.run(call))


def test_a_call_knows_whose_task_it_works_for(threads: Threads) -> None:
    async def ask(name: str) -> str:
        WHO.set(name)
        return await threads.run(WHO.get)

    async def both() -> list[str]:
        return list(await asyncio.gather(ask("first"), ask("second")))

    assert asyncio.run(both()) == ["first", "second"]


def test_the_loop_goes_on_and_calls_beyond_the_count_wait_their_turn(threads: Threads) -> None:
    """Two run side by side, the third when one of them is done: each lets the other through by turns of the loop."""
    together, third = threading.Barrier(3), threading.Event()

    async def story() -> None:
        first, second = (asyncio.ensure_future(threads.run(together.wait, 20)) for _ in range(2))
        last = asyncio.ensure_future(threads.run(third.set))
        await asyncio.sleep(0.05)
        assert not third.is_set()
        together.wait(20)
        await asyncio.gather(first, second, last)

    asyncio.run(story())
    assert third.is_set()


def test_what_takes_too_long_is_a_store_that_does_not_answer_or_what_is_said_of_it() -> None:
    go_on = threading.Event()
    store = Threads("store", 1, timeout_s=0.01)
    tables = Threads("table", 1, timeout_s=0.01, late=lambda: TooManyUploads("too many tables at once"))
    with pytest.raises(StoreUnavailable, match="does not answer"):
        asyncio.run(store.run(go_on.wait, 20))
    with pytest.raises(TooManyUploads, match="tables"):
        asyncio.run(tables.run(go_on.wait, 20))
    go_on.set()
    store.close()
    tables.close()


def test_closing_leaves_out_what_has_not_begun() -> None:
    began, go_on = threading.Event(), threading.Event()
    ran: list[int] = []
    threads = Threads("test", 1, timeout_s=20)

    def first() -> None:
        began.set()
        go_on.wait(20)
        ran.append(1)

    async def story() -> None:
        running = asyncio.ensure_future(threads.run(first))
        waiting = asyncio.ensure_future(threads.run(ran.append, 2))
        await asyncio.to_thread(began.wait, 20)
        threads.close()
        go_on.set()
        await running
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(story())
    assert ran == [1]
