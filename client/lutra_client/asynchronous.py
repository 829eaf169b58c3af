"""The client for asyncio: `AsyncLutra`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from lutra_client.asking import TIMEOUT, Operations, ask_for_file, headers_of
from lutra_client.errors import LutraError, Unreachable, problem_of
from lutra_client.exchange import Ask, Exchange, Listen, Send, Sleep, Step
from lutra_client.pictures import Result


class AsyncRequest:
    """One picture asked for: `await` it for the result, or `await request.save(path)`."""

    def __init__(self, client: AsyncLutra, ask: Ask) -> None:
        self._client, self._ask = client, ask
        self._result: Result | None = None

    def __await__(self) -> Generator[Any, None, Result]:
        return self.result().__await__()

    async def result(self) -> Result:
        """Raises LutraError."""
        if self._result is None:
            self._result = await self._client._carry_out(self._ask)
        return self._result

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """The result as a file, in the format that its name says. Raises LutraError, ValueError or OSError."""
        if self._result is None:
            self._ask = ask_for_file(self._ask, Path(path))
        result = await self.result()
        return await asyncio.to_thread(result.save, path)


class AsyncLutra(Operations[AsyncRequest]):
    """As `Lutra`; `patience_s`: how long refusals for now and lost connections are borne in a row."""

    def __init__(self, url: str = "http://127.0.0.1:8000", key: str | None = None, *, patience_s: float = 600) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=headers_of(key), timeout=TIMEOUT)
        self._patience_s, self._has_answered = patience_s, False

    async def models(self) -> list[dict[str, Any]]:
        """The cards of the models that are served. Raises LutraError."""
        try:
            answer = await self._http.get("models")
        except httpx.TransportError as lost:
            raise Unreachable(f"the service does not answer: {lost}") from lost
        if answer.status_code >= 400:
            raise problem_of(answer)
        return list(answer.json()["models"])

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncLutra:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def _request(self, ask: Ask) -> AsyncRequest:
        return AsyncRequest(self, ask)

    async def _carry_out(self, ask: Ask) -> Result:
        """Who is cancelled while the job runs cancels it."""
        exchange = Exchange(ask, self._patience_s, has_answered=self._has_answered)
        steps = exchange.steps()
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._do(step)
                except httpx.TransportError as lost:
                    step = steps.throw(lost)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        except LutraError:
            raise
        except BaseException:
            if exchange.job_id:
                with suppress(httpx.HTTPError):
                    await asyncio.shield(self._http.delete(f"jobs/{exchange.job_id}"))
            raise
        finally:
            self._has_answered = exchange.has_answered

    async def _do(self, step: Step) -> httpx.Response | None:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, Send):
            return await self._http.request(step.method, step.path, **step.as_httpx())
        return await self._listen(step)

    async def _listen(self, step: Listen) -> httpx.Response:
        async with self._http.stream("GET", step.path, headers=step.headers) as answer:
            if answer.status_code >= 400:
                await answer.aread()
                return answer
            async for line in answer.aiter_lines():
                if step.is_last(line):
                    break
            return answer
