from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from models.cards import BY_NAME, CARDS, Card
from models.scores import Measured
from workers.errors import ParameterError, TooManyPixels, UnknownModel
from workers.operations import choice
from workers.operations.choice import Limits, Small
from workers.operations.sizes import SizeAsked

SMALL = Small(300, 400, lossy=False)
LIMITS = Limits(8)


def card(name: str, dB: float, cost: float, lossy_dB: float = 0, **more: object) -> Card:  # noqa: N803
    scores = {f"Set14 x{scale} Y": dB for scale in (2, 3, 4)}
    scores |= {f"Set14 x{scale} JPEG 75 Y": lossy_dB for scale in (2, 3, 4)}
    return replace(BY_NAME[name], scores=Measured(scores=scores), cpu_s_per_mp=cost, sha256="0" * 64, **more)  # type: ignore[arg-type]


FINE = card("liif", 28.1, 4, 26)
REAL = card("liif-real", 27.8, 4, 26.3)
FOURFOLD = card("srresnet", 28.2, 0.7, 26)
TABLE = card("eclut", 27.2, 0.02, 25.9)
DREAM = card("srgan", 99, 0.7, 99)
SERVED = {one.name: one for one in (FINE, REAL, FOURFOLD, TABLE, DREAM, CARDS["bicubic"], CARDS["lanczos"])}


def taken(
    scale: str = "4",
    small: Small = SMALL,
    effort: str = "best",
    served: Mapping[str, Card] = SERVED,
    patience_s: float = math.inf,
) -> str:
    limits = Limits(8, patience_s=patience_s)
    return choice.plan_upscale(small, SizeAsked(scale), "auto", effort, served, {}, limits)[0].name


def test_the_highest_score_wins_among_those_that_are_in_time() -> None:
    assert taken() == "srresnet"
    assert taken(patience_s=1) == "eclut"  # 1.92 MP
    assert taken("2.5") == "srresnet"
    assert taken("5") == "liif"


def test_a_lossy_picture_is_judged_by_the_lossy_benchmark() -> None:
    assert taken(small=replace(SMALL, lossy=True)) == "liif-real"


def test_within_a_twentieth_of_a_decibel_the_fastest_wins() -> None:
    close = SERVED | {"liif": card("liif", 28.2 + choice.TIE_DB, 4)}
    clear = SERVED | {"liif": card("liif", 28.21 + choice.TIE_DB, 4)}
    names = [
        choice.plan_upscale(SMALL, SizeAsked("4"), None, "best", cards, {}, LIMITS)[0].name for cards in (close, clear)
    ]
    assert names == ["srresnet", "liif"]


def test_the_score_is_that_of_the_nearest_scale() -> None:
    cards = SERVED | {"liif": replace(FINE, scores=Measured(scores=FINE.measured.scores | {"Set14 x2 Y": 40.0}))}
    found = [taken(scale, served=cards) for scale in ("1.5", "2.4", "2.5", "4")]
    assert found == ["liif", "liif", "srresnet", "srresnet"]


def test_fast_means_within_a_second_and_else_the_fastest() -> None:
    assert taken(effort="fast") == "eclut"
    assert taken(small=Small(60, 80, lossy=False), effort="fast") == "srresnet"
    assert taken("8", Small(4000, 6000, lossy=False), "fast") == "eclut"


def test_what_fits_nowhere_is_given_to_the_fastest() -> None:
    assert taken("8", Small(4000, 6000, lossy=False), patience_s=5) == "eclut"


def test_the_speed_measured_here_stands_before_the_card() -> None:
    measured = {"srresnet": 100.0, "liif": 0.5}
    found, _ = choice.plan_upscale(SMALL, SizeAsked("4"), None, "best", SERVED, measured, Limits(8, patience_s=10))
    assert found.name == "liif"


def test_a_model_that_has_not_run_yet_is_taken_to_be_as_slow_as_the_others() -> None:
    """0.12 MP at x4 by the cards: 7.7 s, 1.3 s and 0.04 s; the networks are slow here, so the table is, too."""
    slow = {"liif": 400.0, "liif-real": 400.0, "srresnet": 70.0}
    for measured, expected in ((slow, "eclut"), ({"liif": 400.0}, "eclut"), ({"eclut": 0.02}, "srresnet")):
        found, _ = choice.plan_upscale(SMALL, SizeAsked("4"), None, "best", SERVED, measured, Limits(8, patience_s=5))
        assert found.name == expected


def test_a_model_of_fixed_scale_pays_for_what_it_computes() -> None:
    """x4 of 0.12 MP takes 1.3 s, whatever is kept of it."""
    assert taken("2.5", patience_s=1.3) == "eclut"
    assert taken("2.5", patience_s=1.4) == "srresnet"
    assert BY_NAME["srresnet"].work_pixels((10, 10), (20, 20)) == 1600
    assert BY_NAME["eclut"].work_pixels((10, 10), (25, 25)) == 900
    assert BY_NAME["eclut"].work_pixels((10, 10), (80, 80)) == 6400
    assert BY_NAME["liif"].work_pixels((10, 10), (25, 25)) == 625
    assert BY_NAME["eclut"].work_pixels((10, 10), (10, 40)) == 1600  # it makes x4 of both sides
    assert choice.enlarged_pixels(BY_NAME["srresnet"], (10, 10), (10, 10)) == 0


def test_invented_detail_is_never_taken_unasked() -> None:
    assert all(taken(scale) != "srgan" for scale in ("1.5", "2", "3", "4"))
    assert choice.plan_upscale(SMALL, SizeAsked("4"), "srgan", "best", SERVED, {}, LIMITS)[0] == DREAM


def test_who_names_a_model_gets_it_with_its_own_range() -> None:
    lossy = replace(SMALL, lossy=True)
    assert choice.plan_upscale(lossy, SizeAsked("2"), "liif", "fast", SERVED, {}, LIMITS) == (FINE, (600, 800))
    with pytest.raises(ParameterError, match="srresnet"):
        choice.plan_upscale(SMALL, SizeAsked("5"), "srresnet", "best", SERVED, {}, LIMITS)


def test_where_nothing_has_learnt_a_filter_serves() -> None:
    filters = {name: CARDS[name] for name in ("bicubic", "lanczos")}
    assert choice.plan_upscale(SMALL, SizeAsked("2"), None, "best", filters, {}, LIMITS)[0].name == "lanczos"
    only = {"srgan": DREAM, "bicubic": CARDS["bicubic"]}
    assert choice.plan_upscale(SMALL, SizeAsked("2"), None, "best", only, {}, LIMITS)[0].name == "bicubic"
    with pytest.raises(UnknownModel):
        choice.plan_upscale(SMALL, SizeAsked("2"), None, "best", {}, {}, LIMITS)


def test_a_scale_beyond_all_and_a_result_too_large_are_refused() -> None:
    with pytest.raises(ParameterError, match="1 to 8 for auto"):
        choice.plan_upscale(SMALL, SizeAsked("9"), None, "best", SERVED, {}, LIMITS)
    with pytest.raises(TooManyPixels):
        choice.plan_upscale(SMALL, SizeAsked("4"), None, "best", SERVED, {}, Limits(8, 1000))


def test_what_was_never_measured_stands_behind_what_was() -> None:
    cards = {"liif-rdn": replace(BY_NAME["liif-rdn"], scores=Measured()), "eclut": TABLE}
    assert choice.plan_upscale(SMALL, SizeAsked("4"), None, "best", cards, {}, LIMITS)[0] == TABLE
    del cards["eclut"]
    assert choice.plan_upscale(SMALL, SizeAsked("4"), None, "best", cards, {}, LIMITS)[0].name == "liif-rdn"
