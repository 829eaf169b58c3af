"""What makes two computations one, and how a job's times are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.cards import CARDS
from workers.jobs.job import (
    Job,
    Lane,
    PictureFacts,
    computation_key,
    new_id,
    new_job,
    rfc3339,
)
from workers.operations.operation import Plan
from workers.operations.upscale import Upscale, UpscaleParameters

FACTS = PictureFacts("png", 3, 2, 7)
LIIF = CARDS["liif"]


def made(data: bytes = b"picture", **parameters: Any) -> Job:
    usual: dict[str, Any] = {"format": "png", "scale": "2", "height": 4, "width": 6, "effort": "best"}
    asked = UpscaleParameters(**(usual | parameters))
    return new_job(data, FACTS, Plan(Upscale(), LIIF, asked, (4, 6)))


def key(data: bytes = b"picture", **parameters: Any) -> str:
    return made(data, **parameters).computation.key


def test_two_jobs_of_one_query_have_one_key_and_numbers_of_their_own() -> None:
    first, second = (made() for _ in range(2))
    assert first.computation.key == second.computation.key
    assert len({first.id, second.id, first.computation.id, second.computation.id}) == 4


def test_a_job_has_its_lane_and_what_is_known_of_it() -> None:
    plan = Plan(Upscale(), LIIF, UpscaleParameters(format="png", scale="2", height=4, width=6, effort="best"), (4, 6))
    job = new_job(b"picture", FACTS, plan, lane=Lane.EXPRESS, share=0.25, queue_share=0.5)
    assert (job.computation.lane, job.share, job.queue_share) == (Lane.EXPRESS, 0.25, 0.5)
    assert new_job(b"picture", FACTS, plan).computation.lane is Lane.BULK


def test_bytes_parameters_operation_and_weights_make_another_key() -> None:
    sha256 = "0" * 64
    keys = {
        key(),
        key(b"another"),
        key(scale="3"),
        key(quality=90),
        computation_key(sha256, "upscale", LIIF, {}),
        computation_key(sha256, "enhance", LIIF, {}),
        computation_key(sha256, "upscale", replace(LIIF, sha256="f" * 64), {}),
        computation_key(sha256, "upscale", CARDS["bicubic"], {}),
    }
    assert len(keys) == 8
    assert key(quality=90, metadata="strip") == key(metadata="strip", quality=90)


def test_the_weights_that_a_model_blends_with_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    srgan = CARDS["srgan"]
    assert srgan.blends_with is not None
    before = computation_key("0" * 64, "upscale", srgan, {})
    monkeypatch.setitem(CARDS, srgan.blends_with, replace(CARDS[srgan.blends_with], sha256="f" * 64))
    assert computation_key("0" * 64, "upscale", srgan, {}) != before


def test_ids_cannot_be_guessed() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000 and all(len(one) == 32 and int(one, 16) >= 0 for one in made)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_001.5, "2023-11-14T22:13:21.500Z")],
)
def test_times_are_told_in_utc_to_the_millisecond(seconds: float | None, text: str | None) -> None:
    assert rfc3339(seconds) == text
