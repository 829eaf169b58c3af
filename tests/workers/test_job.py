"""What makes two computations one, which model answers, and what a job is told of strength."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.cards import CARDS
from workers.errors import ParameterError, UnknownModel
from workers.jobs.job import (
    PictureFacts,
    check_strength,
    choose_model,
    computation_key,
    new_id,
    new_job,
    rfc3339,
    served_models,
)

FACTS = PictureFacts("png", 3, 2, 7)
LIIF = CARDS["liif"]


def key(data: bytes = b"picture", **parameters: object) -> str:
    return new_job(data, FACTS, "upscale", LIIF, {"scale": "2", **parameters}).computation.key


def test_two_jobs_of_one_wish_have_one_key_and_numbers_of_their_own() -> None:
    first, second = (new_job(b"picture", FACTS, "upscale", LIIF, {"scale": "2"}) for _ in range(2))
    assert first.computation.key == second.computation.key
    assert len({first.id, second.id, first.computation.id, second.computation.id}) == 4


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
    assert key(a=1, b=2) == key(b=2, a=1)


def test_the_weights_that_a_model_blends_with_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    srgan = CARDS["srgan"]
    assert srgan.blends_with is not None
    before = computation_key("0" * 64, "upscale", srgan, {})
    monkeypatch.setitem(CARDS, srgan.blends_with, replace(CARDS[srgan.blends_with], sha256="f" * 64))
    assert computation_key("0" * 64, "upscale", srgan, {}) != before


def test_ids_cannot_be_guessed() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000 and all(len(one) == 32 and int(one, 16) >= 0 for one in made)


def test_each_operation_has_its_model_and_auto_is_the_largest() -> None:
    served = served_models(())
    assert choose_model("enhance", None, served).name == "lut3d"
    assert choose_model("restore", None, served).name == "airnet"
    largest = max((card for card in served.values() if card.task == "upscale"), key=lambda card: card.parameters)
    assert choose_model("upscale", None, served) == choose_model("upscale", "auto", served) == largest
    assert choose_model("upscale", "nearest", served).name == "nearest"


@pytest.mark.parametrize(("operation", "asked"), [("upscale", "lut3d"), ("enhance", "liif"), ("upscale", "nobody")])
def test_a_model_of_another_operation_or_of_none_is_refused_with_those_there_are(operation: str, asked: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        choose_model(operation, asked, served_models(()))
    allowed = refused.value.members["allowed"]
    assert asked in refused.value.message
    assert all(name == "auto" or CARDS[name].task == operation for name in allowed) and allowed


def test_what_is_not_served_is_not_there() -> None:
    only = served_models(("liif", "nearest"))
    assert set(only) == {"liif", "nearest"}
    with pytest.raises(UnknownModel, match="not served here"):
        choose_model("enhance", None, only)


def test_strength_is_for_models_that_have_it_where_what_they_blend_with_is_served() -> None:
    served, srgan = served_models(()), CARDS["srgan"]
    if srgan.blends_with not in served:
        served = {**served, "srgan": srgan, str(srgan.blends_with): CARDS[str(srgan.blends_with)]}
    assert check_strength(srgan, 0.5, served) == {"strength": 0.5}
    assert check_strength(LIIF, 1, served) == {}
    with pytest.raises(ParameterError, match="has no strength"):
        check_strength(LIIF, 0.5, served)
    with pytest.raises(ParameterError, match="is not served"):
        check_strength(srgan, 0.5, {"srgan": srgan})
    assert check_strength(srgan, 1, {"srgan": srgan}) == {"strength": 1}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_001.5, "2023-11-14T22:13:21.500Z")],
)
def test_times_are_told_in_utc_to_the_millisecond(seconds: float | None, text: str | None) -> None:
    assert rfc3339(seconds) == text
