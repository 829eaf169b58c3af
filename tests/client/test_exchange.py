"""What the client sends, and when again, without a socket: a test answers in the service's place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from lutra_client.errors import JobFailed, ParameterError, RateLimited, Unavailable, Unreachable
from lutra_client.exchange import Ask, Exchange, Listen, Progress, Send, Sleep, Step
from lutra_client.pictures import Result

PICTURE = httpx.Response(200, content=b"better", headers={"Content-Type": "image/png", "X-Job-Id": "a1"})
JOB = {"id": "a1", "state": "queued", "queue_position": 3, "eta_s": 9.0}
ACCEPTED = httpx.Response(202, json=JOB, headers={"X-Cache": "coalesced"})
LOST = httpx.ReadError("cut")


def refused(status: int, code: str, retry_after: str = "") -> httpx.Response:
    body = {"type": f"urn:lutra:problem:{code}", "title": "No", "status": status, "instance": "urn:x"}
    return httpx.Response(status, json=body, headers={"Retry-After": retry_after} if retry_after else {})


def events(*told: tuple[str, dict[str, Any]], first: int = 1) -> list[str]:
    """Lines of a stream, whose events count up from `first`."""
    lines = ["retry: 2000", ""]
    for number, (kind, data) in enumerate(told, first):
        lines += [f"id: {number}-0", f"event: {kind}", f"data: {json.dumps(data)}", ""]
    return [*lines, ": still here", ""]


Told = httpx.Response | Exception | Sequence[str] | tuple[Sequence[str], Exception]


def drive(exchange: Exchange, *answers: Told) -> tuple[Result, list[Step]]:
    """The result, and all that was asked to be done; sleeps take no time, and lines may be followed by a loss."""
    waiting, done, steps = list(answers), list[Step](), exchange.steps()
    step = next(steps)
    try:
        while True:
            done.append(step)
            if isinstance(step, Sleep):
                step = next(steps)
                continue
            answer = waiting.pop(0)
            lines, loss = answer if isinstance(answer, tuple) else (answer, None)
            if isinstance(step, Listen) and isinstance(lines, list):
                for line in lines:
                    if step.is_last(line):
                        break
                answer = loss or httpx.Response(200)
            step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)  # type: ignore[arg-type]
    except StopIteration as end:
        assert not waiting
        return end.value, done


def exchange(patience_s: float = 60, **ask: Any) -> Exchange:
    return Exchange(Ask("upscale", b"photo", {"scale": "3.7"}, **ask), patience_s)


def test_what_is_done_in_a_moment_takes_one_request() -> None:
    result, (post,) = drive(exchange(), PICTURE)
    assert (result.data, result.format, result.job_id) == (b"better", "png", "a1")
    assert isinstance(post, Send)
    assert (post.method, post.path, post.params, post.content) == ("POST", "upscale", {"scale": "3.7"}, b"photo")
    assert post.headers["Prefer"].startswith("respond-async") and len(post.headers["Idempotency-Key"]) == 32


def test_a_job_is_followed_by_its_events_and_its_progress_told() -> None:
    told: list[Progress] = []
    lines = events(
        *(("state", {"state": "queued"}), ("state", {"state": "running"}), ("progress", {"done": 1, "total": 4})),
        *(("state", {"state": "succeeded"}), ("end", {"state": "succeeded"})),
    )
    result, done = drive(exchange(on_progress=told.append), ACCEPTED, lines, PICTURE)
    assert (result.data, result.cache) == (b"better", "coalesced")
    assert [type(step).__name__ for step in done] == ["Send", "Listen", "Send"]
    assert told == [
        Progress("queued", 0, 0, 3, 9.0),
        Progress("running"),
        Progress("running", 1, 4),
        Progress("succeeded", 4, 4),
    ]
    assert [one.fraction for one in told] == [0, 0, 0.25, 1]


def test_a_lost_answer_is_asked_for_with_the_same_key() -> None:
    _, done = drive(exchange(), LOST, LOST, PICTURE)
    posts = [step for step in done if isinstance(step, Send)]
    assert len(posts) == 3 and len({post.headers["Idempotency-Key"] for post in posts}) == 1
    assert all(step.seconds < 1 for step in done if isinstance(step, Sleep))


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate-limited"), (503, "queue-full"), (409, "idempotency-key-in-use")]
)
def test_who_is_told_when_to_come_back_comes_back_then(status: int, code: str) -> None:
    _, done = drive(exchange(), refused(status, code, "7"), PICTURE)
    assert [step.seconds for step in done if isinstance(step, Sleep)] == [7]


def test_a_job_that_ended_for_want_of_memory_is_asked_for_anew_with_another_key() -> None:
    _, done = drive(exchange(), refused(503, "out-of-memory", "7"), PICTURE)
    keys = {step.headers["Idempotency-Key"] for step in done if isinstance(step, Send)}
    assert len(keys) == 2


def test_a_stream_that_is_lost_goes_on_after_the_last_event_and_a_closed_one_asks_for_the_job() -> None:
    first = events(("state", {"state": "running"}), ("progress", {"done": 1, "total": 2}))
    last = events(("end", {"state": "succeeded"}), first=3)
    running = httpx.Response(200, json={**JOB, "state": "running"})
    _, done = drive(exchange(), ACCEPTED, (first, LOST), [], running, last, PICTURE)
    listened = [step.headers.get("Last-Event-ID") for step in done if isinstance(step, Listen)]
    assert listened == [None, "2-0", "2-0"]
    ended = httpx.Response(200, json={**JOB, "state": "succeeded"})
    assert drive(exchange(), ACCEPTED, httpx.Response(204), ended, PICTURE)[0].data == b"better"


def test_patience_ends_with_what_was_in_the_way() -> None:
    with pytest.raises(Unavailable, match="No") as full:
        drive(exchange(patience_s=5), refused(503, "queue-full", "7"))
    assert (full.value.code, full.value.retry_after_s) == ("queue-full", 7)
    with pytest.raises(RateLimited):
        drive(exchange(patience_s=5), refused(429, "rate-limited", "7"))
    with pytest.raises(Unreachable, match="cut"):
        drive(exchange(patience_s=0), LOST)


def test_of_a_service_that_has_never_answered_patience_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 1000, 2))
    monkeypatch.setattr("lutra_client.exchange.time.monotonic", lambda: float(next(times)))
    with pytest.raises(Unreachable):
        drive(exchange(), LOST, LOST, LOST)
    known = Exchange(Ask("upscale", b""), 60, has_answered=True)
    assert drive(known, LOST, LOST, LOST, PICTURE)[0].data == b"better"
    assert drive(exchange(), refused(503, "queue-full", "7"), LOST, LOST, LOST, PICTURE)[0].data == b"better"


def test_what_coming_back_would_not_change_is_an_error_at_once() -> None:
    with pytest.raises(ParameterError):
        drive(exchange(), refused(422, "bad-parameter"))
    with pytest.raises(Unavailable):
        drive(exchange(), refused(503, "no-worker"))  # without a word when to come back
    ends = events(("end", {"state": "failed"}))
    with pytest.raises(JobFailed):
        drive(exchange(), ACCEPTED, ends, refused(500, "worker-lost"))


def test_a_table_goes_as_a_form_and_what_is_to_be_fresh_says_so() -> None:
    ask = Ask("enhance", b"photo", lut=b"LUT_3D_SIZE 2", fresh=True)
    _, (post,) = drive(Exchange(ask, 60), PICTURE)
    assert isinstance(post, Send)
    assert post.files is not None and set(post.files) == {"file", "lut"} and post.content is None
    assert post.headers["Cache-Control"] == "no-cache" and "Content-Type" not in post.headers
