"""/restore: what a query comes to for a picture, and what of it the engine is asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.cards import AIRNET_U, CARDS
from models.scores import Measured
from tests.living import photo
from workers.engine.engine import Engine
from workers.errors import ParameterError, UnknownModel
from workers.operations.choice import HARMLESS_DB, RESTORED, SOUND, Limits
from workers.operations.operation import Installation, Plan, Work, plan_encoding
from workers.operations.restore import Restore, RestoreParameters, RestoreQuery
from workers.pictures.picture import Header, Picture

RESTORE = Restore()
HEADER = Header("jpeg", 64, 48, 8, has_alpha=False, is_grey=False, lossy=True)
AT = Installation({name: CARDS[name] for name in ("airnet", "liif")}, Limits(8), {})


def planned(at: Installation = AT, **asked: object) -> Plan[RestoreParameters]:
    query = RestoreQuery.model_validate(asked)
    return RESTORE.plan(query, HEADER, plan_encoding(query, "png", HEADER), at, None)


def ran(strength: float, pixels: np.ndarray) -> np.ndarray:
    plan = planned(strength=strength)
    work = Work(RESTORE, plan.card.name, plan.parameters)
    picture = Picture(pixels, None, None, None, "jpeg", True)
    return RESTORE.run(Engine(device="cpu"), picture, work, lambda done, total: None).pixels


def test_a_plan_has_its_model_and_the_picture_s_own_size() -> None:
    plan = planned(strength=0.25, quality=80, metadata="strip")
    assert (plan.card.name, plan.size) == ("airnet", (48, 64))
    assert plan.parameters.to_json() == {
        "format": "png",
        "quality": 80,
        "metadata": "strip",
        "lossless": plan.parameters.lossless,
        "strength": 0.25,
    }


WIDE = dataclasses.replace(AIRNET_U, scores=Measured(scores={RESTORED: 31.0}))
BOTH = Installation({"airnet": CARDS["airnet"], "airnet-u": WIDE}, Limits(8), {})


def test_only_one_kind_is_kept_with_the_job_and_left_out_where_it_was_not_asked() -> None:
    plan = planned(BOTH, only="rain")
    assert (plan.card.name, plan.parameters.to_json()["only"]) == ("airnet-u", "rain")
    assert RestoreParameters.model_validate(plan.parameters.to_json()) == plan.parameters
    assert "only" not in planned(BOTH).parameters.to_json()


def test_a_model_that_cannot_tell_kinds_apart_refuses_one_at_the_door() -> None:
    for refuse in (lambda: planned(only="noise"), lambda: RESTORE.check(RestoreQuery(only="noise"), AT)):
        with pytest.raises(ParameterError, match="airnet cannot take off only=noise; leave only out"):
            refuse()
    with pytest.raises(ParameterError, match="ask for model=airnet-u"):
        planned(BOTH, only="noise", model="airnet")


def test_auto_takes_the_better_of_those_that_finish_in_time() -> None:
    assert planned(BOTH).card.name == planned(BOTH, model="auto").card.name == "airnet-u"
    slow = dataclasses.replace(BOTH, limits=Limits(8, patience_s=1), s_per_mp={"airnet": 1.0, "airnet-u": 1000.0})
    assert planned(slow).card.name == "airnet"
    assert planned(slow, only="noise").card.name == "airnet-u"


def test_auto_takes_what_leaves_sound_pictures_alone_before_what_takes_more_noise_off() -> None:
    scores = {RESTORED: 25.0, SOUND: HARMLESS_DB}
    harmless = dataclasses.replace(AIRNET_U, scores=Measured(scores=scores))
    both = dataclasses.replace(BOTH, models={"airnet": CARDS["airnet"], "airnet-u": harmless})
    assert planned(both).card.name == "airnet-u"
    slow = dataclasses.replace(both, limits=Limits(8, patience_s=1), s_per_mp={"airnet": 1.0, "airnet-u": 1000.0})
    assert planned(slow).card.name == "airnet"
    harmful = dataclasses.replace(AIRNET_U, scores=Measured(scores=scores | {SOUND: HARMLESS_DB - 0.1}))
    both = dataclasses.replace(BOTH, models={"airnet": CARDS["airnet"], "airnet-u": harmful})
    assert planned(both).card.name == "airnet"


def test_a_model_that_enlarges_restores_nothing_and_without_weights_there_is_none() -> None:
    with pytest.raises(UnknownModel, match="'liif' is not served for /restore; known are auto, airnet"):
        planned(model="liif")
    with pytest.raises(UnknownModel, match="/restore is not served here"):
        planned(Installation({"liif": CARDS["liif"]}, Limits(8), {}))


def test_strength_nought_costs_nothing_and_any_other_every_pixel() -> None:
    card, size = CARDS["airnet"], (300, 400)
    assert RESTORE.computed_pixels(card, size, planned(strength=0).parameters) == 0
    assert RESTORE.computed_pixels(card, size, planned(strength=0.01).parameters) == 120_000


def test_the_engine_goes_as_far_as_the_strength_says() -> None:
    pixels = photo(48, 64)
    whole, half = (ran(strength, pixels).astype(int) for strength in (1.0, 0.5))
    assert np.abs(whole - pixels).max() > 2
    assert np.abs(half - (whole + pixels) / 2).max() <= 1
    assert np.array_equal(ran(0.0, pixels), pixels)
