"""A job and a model as JSON: what is told when, and that it is what OpenAPI says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.cards import CARDS
from service.schemas import eta_s, job_json, model_json
from workers.errors import CorruptPicture
from workers.jobs.job import Computation, JobStatus, Lane, PictureFacts
from workers.jobs.records import LaneFacts, QueueFacts, Standing, computation_fields, problem_json, status_of

COMPUTATION = Computation("c1", "key", "upscale", "liif", {"scale": "2"}, PictureFacts("png", 3, 2, 70), 8.0)
OUTPUT = {"format": "jpeg", "width": 6, "height": 4, "bytes": 90, "etag": "tag", "media_type": "image/jpeg"}
STARTED = {"started_at": 1_700_000_001.5, "attempt": 1, "done": 1, "total": 4}


def status(state: str, **more: object) -> JobStatus:
    """A job as the store gives it back; `more`: fields of its computation."""
    fields = {**computation_fields(COMPUTATION, 1, "request"), "state": state, **more}
    stored = {name.encode(): str(value).encode() for name, value in fields.items()}
    return status_of("a1", {b"computation": b"c1", b"created_at": b"1700000000"}, stored)


QUEUED = status("queued")
RUNNING = status("running", **STARTED)
SUCCEEDED = status("succeeded", **STARTED, finished_at=1_700_000_002.0, output=json.dumps(OUTPUT))
LANE = LaneFacts(queued=2, running=1, work_s=12.0, running_s=4.0, children=2)
QUEUE = QueueFacts({Lane.BULK: LANE}, 3, 2, 0, standing=Standing(Lane.BULK, 2, 6.0))


def test_a_job_that_waits_is_told_when_its_turn_is_done_and_one_that_runs_what_is_left() -> None:
    assert (eta_s(QUEUED, QUEUE), eta_s(RUNNING, QUEUE)) == (5.0, 6.0)
    assert eta_s(SUCCEEDED, QUEUE) is None
    assert eta_s(QUEUED, None) is None


def test_a_job_is_told_its_lane_and_while_it_waits_its_place_there() -> None:
    assert (job_json(QUEUED, QUEUE, "").lane, job_json(QUEUED, QUEUE, "").queue_position) == ("bulk", 2)
    assert job_json(QUEUED, None, "").queue_position is None
    assert job_json(RUNNING, QUEUE, "").queue_position is None
    assert job_json(status("queued", lane="express"), QUEUE, "").lane == "express"


def test_a_job_is_told_with_its_times_and_links() -> None:
    told = job_json(RUNNING, QUEUE, "").model_dump()
    assert (told["created_at"], told["started_at"]) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.500Z")
    assert told["finished_at"] is None and told["output"] is None and told["error"] is None
    assert told["links"] == {"self": "/jobs/a1", "result": "/jobs/a1/result", "events": "/jobs/a1/events"}
    assert told["input"] == {"format": "png", "width": 3, "height": 2, "bytes": 70}


def test_only_what_a_client_can_use_of_a_result_is_told_and_only_of_one_that_is_there() -> None:
    told = job_json(SUCCEEDED, None, "").model_dump()
    assert told["output"] == {"format": "jpeg", "width": 6, "height": 4, "bytes": 90}
    assert job_json(status("cancelled", **STARTED, output=json.dumps(OUTPUT)), None, "").output is None


def test_what_was_found_is_told_of_a_job_that_succeeded() -> None:
    found = json.dumps({**OUTPUT, "found": {"noise": 0.8}})
    assert job_json(status("succeeded", **STARTED, output=found), None, "").found == {"noise": 0.8}
    assert job_json(status("cancelled", **STARTED, output=found), None, "").found is None
    assert job_json(SUCCEEDED, None, "").found is None


def test_a_failed_job_carries_its_problem() -> None:
    failed = status("failed", **STARTED, error=problem_json(CorruptPicture("cut off", at=7)))
    told: dict[str, Any] = job_json(failed, None, "").model_dump()["error"]
    assert told["type"] == "urn:lutra:problem:corrupt-picture"
    assert (told["status"], told["detail"], told["at"], told["instance"]) == (422, "cut off", 7, "/jobs/a1")


@pytest.mark.parametrize("name", sorted(CARDS))
def test_every_card_can_be_told(name: str) -> None:
    card = CARDS[name]
    told = model_json(card, ["cpu"], card.sha256, max_scale=4)
    assert (told.name, told.loaded, told.devices, told.scores) == (name, True, ["cpu"], card.measured.scores)
    assert told.max_scale == (min(4, card.max_scale) if card.task == "upscale" else card.max_scale)
    assert not model_json(card, [], None, max_scale=4).loaded
    assert told.kinds == list(card.kinds)


def test_of_weights_that_are_not_ours_no_scores_and_no_data_are_known() -> None:
    told = model_json(CARDS["liif"], ["cpu"], "f" * 64, max_scale=4)
    assert (told.scores, told.trained_on, told.source, told.weights_licence, told.sha256) == (
        {},
        [],
        "",
        None,
        "f" * 64,
    )
