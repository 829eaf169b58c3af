"""Every error has a row; what a problem tells, and what it keeps to itself."""

from __future__ import annotations

import json

import pytest

from service import problems
from service.schemas import Problem
from workers import errors
from workers.errors import LutraError, error_class, error_codes
from workers.jobs.records import problem_json

CLASSES = [error_class(code) for code in error_codes() if not code.startswith("startup")]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_whole_problem(kind: type[LutraError]) -> None:
    body = problems.body_of(kind("what was seen", limit=7), "urn:lutra:request:1")
    told = Problem(**body)
    assert (told.status, told.title) == problems.status_and_title(kind)
    assert 400 <= told.status < 600 and told.title
    assert told.type == f"urn:lutra:problem:{kind.code.replace('_', '-')}"
    assert told.instance == "urn:lutra:request:1"


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind.retryable], ids=lambda kind: kind.__name__)
def test_what_may_be_tried_again_is_no_fault_of_the_request(kind: type[LutraError]) -> None:
    status = problems.status_and_title(kind)[0]
    assert status == 429 or status >= 500


def test_a_child_without_a_row_has_that_of_its_parent_and_a_stranger_is_our_fault() -> None:
    class Odd(errors.NotAPicture):
        code = "not_a_picture"

    class Stranger(LutraError):
        pass

    assert problems.status_and_title(Odd)[0] == 415
    assert problems.status_and_title(errors.CostlyPicture) == (422, "The picture cannot be used")
    assert problems.status_and_title(Stranger) == (500, "Something went wrong on our side")


@pytest.mark.parametrize("kind", [errors.InternalError, errors.JobFailed])
def test_a_fault_of_ours_tells_nothing_of_itself(kind: type[LutraError]) -> None:
    body = problems.body_of(kind("a secret of ours", path="/secret"), "urn:x")
    assert set(body) == {"type", "title", "status", "instance"}


@pytest.mark.parametrize("kind", [errors.JobTimeout, errors.WorkerLost, errors.TooManyPixels])
def test_others_say_what_was_seen_and_what_is_allowed(kind: type[LutraError]) -> None:
    body = problems.body_of(kind("20 is more than 10", limit=10), "urn:x")
    assert (body["detail"], body["limit"]) == ("20 is more than 10", 10)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_that_a_worker_left_is_the_same_error_here(kind: type[LutraError]) -> None:
    left = json.loads(problem_json(kind("seen", limit=7)))
    found = problems.stored_error(left)
    assert type(found) is kind
    assert (found.message, found.members, left["retryable"]) == ("seen", {"limit": 7}, kind.retryable)


def test_an_answer_is_a_problem_that_nobody_keeps() -> None:
    problem = problems.plain_problem(416, "Range Not Satisfiable", "/x", "why")
    answer = problems.answer(problem, {"Content-Range": "bytes */1"})
    assert (answer.status_code, answer.media_type) == (416, "application/problem+json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-range"] == "bytes */1"
    assert json.loads(bytes(answer.body)) == {
        **{"type": "about:blank", "title": "Range Not Satisfiable", "status": 416},
        **{"instance": "/x", "detail": "why"},
    }
