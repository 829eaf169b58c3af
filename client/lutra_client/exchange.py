"""One picture's way through the service, without a socket: what is sent, and what is done about what is in the way.

A generator yields what is to be done (send, listen, sleep) and is handed the answer, or thrown the loss of the
connection; `client` and `asynchronous` do it, each in its own way.

The Idempotency-Key is made here, once a request: a POST whose answer was lost is sent again and has the same job.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from lutra_client.errors import OF_A_JOB, LutraError, Problem, Unreachable, problem_of
from lutra_client.events import Event, EventReader
from lutra_client.pictures import Result

SHORT_WAIT_S = 1  # what is done by then comes with the first answer; the rest is followed by events
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
FIRST_CONTACT_S = 3.0  # of patience with a service that has never answered: most likely it is not there
LOST = frozenset({408, 502, 504})  # of a proxy, or of a request that came too slowly: as good as no answer
TO_REPEAT = frozenset({409, 429, 503})  # where they say when
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Progress:
    """How a job stands: `state` is queued, running, succeeded, failed or cancelled; `done` of `total` tiles.

    `queue_position` and `eta_s`: as the job was taken in; None where it was not told.
    """

    state: str
    done: int = 0
    total: int = 0
    queue_position: int | None = None
    eta_s: float | None = None

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return 1.0 if self.state == "succeeded" else self.done / self.total if self.total else 0.0


@dataclass(frozen=True)
class Ask:
    """What is asked for. `lut`: a table that goes with the picture, as a form."""

    operation: str
    picture: bytes = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)
    lut: bytes | None = field(default=None, repr=False)
    fresh: bool = False
    on_progress: Callable[[Progress], object] | None = None


@dataclass(frozen=True)
class Send:
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    files: Mapping[str, tuple[str, bytes]] | None = field(default=None, repr=False)

    def as_httpx(self) -> dict[str, Any]:
        return {one: getattr(self, one) for one in ("headers", "params", "content", "files")}


@dataclass(frozen=True)
class Listen:
    """Lines of an answer that comes bit by bit, until `is_last` says so."""

    path: str
    headers: Mapping[str, str]
    is_last: Callable[[str], bool]


@dataclass(frozen=True)
class Sleep:
    seconds: float


Step = Send | Listen | Sleep
Steps = Generator[Step, httpx.Response | None, Result]
Answer = Generator[Step, httpx.Response | None, httpx.Response]
Pause = Generator[Step, httpx.Response | None, None]


class Patience:
    """How long nothing but refusals and lost connections is borne; whatever goes well begins it anew."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until, self._pause_s = 0.0, FIRST_PAUSE_S

    def renew(self) -> None:
        self._until = 0.0

    def pause(self, error: LutraError, asked_s: float | None = None) -> Sleep:
        """Until the next try: as long as was asked for, else longer each time. Raises `error` where it is over."""
        now = time.monotonic()
        if not self._until:
            self._until, self._pause_s = now + self._seconds, FIRST_PAUSE_S
        seconds = self._pause_s * random.uniform(0.5, 1) if asked_s is None else asked_s
        if now + seconds > self._until:
            raise error
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
        return Sleep(seconds)


class Exchange:
    """`job_id`: "" until the service has taken the picture in; then it is known what to cancel. `has_answered`: the
    service has, at least once.
    """

    def __init__(self, ask: Ask, patience_s: float, *, has_answered: bool = False) -> None:
        self.job_id = ""
        self.has_answered = has_answered
        self._ask, self._patience_s = ask, patience_s
        self._patience = Patience(patience_s if has_answered else min(FIRST_CONTACT_S, patience_s))
        self._progress = Progress("queued")

    def steps(self) -> Steps:
        """Raises LutraError."""
        answer = yield from self._post()
        cache = answer.headers.get("x-cache", "")
        if answer.status_code == 202:
            job = answer.json()
            self.job_id = job["id"]
            self._tell(Progress(job["state"], queue_position=job["queue_position"], eta_s=job["eta_s"]))
            yield from self._follow()
            answer = yield from self._persist(Send("GET", f"jobs/{self.job_id}/result"))
        result = replace(Result.of(answer), cache=cache)
        self._tell(Progress("succeeded", self._progress.total, self._progress.total))
        return result

    def _post(self) -> Answer:
        """A job that was taken in and ended for want of memory is asked for anew, as another one."""
        while True:
            try:
                return (yield from self._persist(self._post_of(secrets.token_hex(16))))
            except Problem as problem:
                if problem.code not in OF_A_JOB or problem.retry_after_s is None:
                    raise
                yield self._patience.pause(problem, problem.retry_after_s)

    def _post_of(self, key: str) -> Send:
        ask = self._ask
        headers = {"Prefer": f"respond-async, wait={SHORT_WAIT_S}", "Idempotency-Key": key}
        if ask.fresh:
            headers["Cache-Control"] = "no-cache"
        if ask.lut is None:
            headers["Content-Type"] = "application/octet-stream"
            return Send("POST", ask.operation, headers, ask.parameters, ask.picture)
        files = {"file": ("file", ask.picture), "lut": ("lut.cube", ask.lut)}
        return Send("POST", ask.operation, headers, ask.parameters, files=files)

    def _persist(self, send: Send) -> Answer:
        """The answer of less than 400, however often it has to be asked for."""
        while True:
            try:
                answer = yield send
            except httpx.TransportError as lost:
                yield self._patience.pause(_unreachable(lost))
                continue
            assert answer is not None
            self._note_answer()
            if answer.status_code < 400:
                self._patience.renew()
                return answer
            yield self._pause_after(answer)

    def _note_answer(self) -> None:
        if not self.has_answered:
            self.has_answered, self._patience = True, Patience(self._patience_s)

    def _pause_after(self, answer: httpx.Response) -> Sleep:
        """Raises Problem where coming back would change nothing, or patience is over."""
        problem = problem_of(answer)
        if answer.status_code in LOST:
            return self._patience.pause(problem)
        if answer.status_code in TO_REPEAT and problem.retry_after_s is not None and problem.code not in OF_A_JOB:
            return self._patience.pause(problem, problem.retry_after_s)
        raise problem

    def _follow(self) -> Pause:
        """Returns when the job has ended."""
        reader, has_ended = EventReader(), False

        def is_last(line: str) -> bool:
            nonlocal has_ended
            event = reader.feed(line)
            if event is not None:
                self._patience.renew()
                has_ended = self._heard(event)
            return has_ended

        while not has_ended:
            reader.begin()
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            headers |= {"Last-Event-ID": reader.last_id} if reader.last_id else {}
            try:
                answer = yield Listen(f"jobs/{self.job_id}/events", headers, is_last)
            except httpx.TransportError as lost:
                yield self._patience.pause(_unreachable(lost))
                continue
            assert answer is not None
            if answer.status_code >= 400:
                yield self._pause_after(answer)
            elif not has_ended:
                has_ended = yield from self._has_ended()

    def _has_ended(self) -> Generator[Step, httpx.Response | None, bool]:
        """Of a stream that closed before its `end`: the gateway stops, or there is no more to tell."""
        job = (yield from self._persist(Send("GET", f"jobs/{self.job_id}"))).json()
        if job["state"] not in ENDED:
            yield self._patience.pause(Unreachable("the stream of events breaks off again and again"))
        return job["state"] in ENDED

    def _heard(self, event: Event) -> bool:
        """Whether it is the job's last."""
        seen, data = self._progress, event.data
        if event.kind == "progress":
            self._tell(Progress("running", int(data.get("done", 0)), int(data.get("total", 0))))
        elif event.kind == "state" and data.get("state") == "queued":
            self._tell(Progress("queued", seen.done, seen.total, seen.queue_position, seen.eta_s))
        elif event.kind == "state" and data.get("state") == "running":
            self._tell(Progress("running", seen.done, seen.total))
        return event.kind == "end"

    def _tell(self, progress: Progress) -> None:
        if progress != self._progress and self._ask.on_progress is not None:
            self._ask.on_progress(progress)
        self._progress = progress


def _unreachable(lost: httpx.TransportError) -> Unreachable:
    return Unreachable(f"the service does not answer: {str(lost) or type(lost).__name__}")
