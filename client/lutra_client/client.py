"""The client that waits: `Lutra`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from lutra_client.asking import TIMEOUT, Operations, ask_for_file, headers_of
from lutra_client.errors import LutraError, Unreachable, problem_of
from lutra_client.exchange import Ask, Exchange, Listen, Send, Sleep, Step
from lutra_client.pictures import Result


class Request:
    """One picture asked for: sent when its result is needed, once."""

    def __init__(self, client: Lutra, ask: Ask) -> None:
        self._client, self._ask = client, ask
        self._result: Result | None = None

    def result(self) -> Result:
        """Waits for it. Raises LutraError."""
        if self._result is None:
            self._result = self._client._carry_out(self._ask)
        return self._result

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The result as a file, in the format that its name says. Raises LutraError, ValueError or OSError."""
        if self._result is None:
            self._ask = ask_for_file(self._ask, Path(path))
        return self.result().save(path)


class Lutra(Operations[Request]):
    """A service at `url`, asked with an API `key` where it keeps keys; may be used by several threads.

    `patience_s`: how long refusals for now (429, 503) and lost connections are borne in a row; of a service that has
    never answered a few seconds.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", key: str | None = None, *, patience_s: float = 600) -> None:
        self._http = httpx.Client(base_url=url, headers=headers_of(key), timeout=TIMEOUT)
        self._patience_s, self._has_answered = patience_s, False

    def models(self) -> list[dict[str, Any]]:
        """The cards of the models that are served. Raises LutraError."""
        try:
            answer = self._http.get("models")
        except httpx.TransportError as lost:
            raise Unreachable(f"the service does not answer: {lost}") from lost
        if answer.status_code >= 400:
            raise problem_of(answer)
        return list(answer.json()["models"])

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Lutra:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _request(self, ask: Ask) -> Request:
        return Request(self, ask)

    def _carry_out(self, ask: Ask) -> Result:
        """Who is interrupted while the job runs cancels it."""
        exchange = Exchange(ask, self._patience_s, has_answered=self._has_answered)
        steps = exchange.steps()
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
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
                    self._http.delete(f"jobs/{exchange.job_id}")
            raise
        finally:
            self._has_answered = exchange.has_answered

    def _do(self, step: Step) -> httpx.Response | None:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Send):
            return self._http.request(step.method, step.path, **step.as_httpx())
        return self._listen(step)

    def _listen(self, step: Listen) -> httpx.Response:
        with self._http.stream("GET", step.path, headers=step.headers) as answer:
            if answer.status_code >= 400:
                answer.read()
                return answer
            for line in answer.iter_lines():
                if step.is_last(line):
                    break
            return answer
