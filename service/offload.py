"""Blocking work off the event loop: a pool of threads of its own, with a limit on how long a request waits for it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from workers.errors import StoreUnavailable, Unavailable

P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """`run(call, ...)` gives the call's result; what takes longer than `timeout_s` is, unless `late` says otherwise, a
    store that does not answer.
    """

    def __init__(
        self,
        name: str,
        count: int,
        *,
        timeout_s: float,
        late: Callable[[], Unavailable] = lambda: StoreUnavailable("the job store does not answer"),
    ) -> None:
        self._late = late
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._timeout_s = timeout_s

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run in a thread, with this task's context. Raises Unavailable after the limit; the thread goes on."""
        context = contextvars.copy_context()
        work = partial(context.run, partial(call, *args, **kwargs))
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            raise self._late() from None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
