"""What a megapixel costs: learnt slowly from jobs that tell it, never from nonsense, forgotten where it puts off."""

from __future__ import annotations

import dataclasses
import random

import pytest

from models.cards import BY_NAME, CARDS, OWN_LUT, Card
from workers.operations import OPERATIONS, choice, speeds
from workers.operations.choice import Limits, Small
from workers.operations.sizes import SizeAsked
from workers.operations.speeds import HALF_LIFE_S, SEEN, STEP, Speed, Told, is_representative, key_of, told_by

LIIF = BY_NAME["liif"]
NOW = 1e9


class Memory:
    """A store of rates, and a clock."""

    def __init__(self, *cards: Card) -> None:
        self.cards = list(cards) or [
            card for card in CARDS.values() if card.task == "upscale" and not card.name.startswith("lmliif")
        ]
        self.stored: dict[str, str] = {}
        self.now = NOW

    def job(self, name: str, s_per_mp: float, most: float | None = None) -> float:
        """What is known after it; `most`: of a small picture, which tells no more than that it lies between."""
        card = self.card(name)
        learnt = speeds.learn(card, self.cards, self.stored, Told(s_per_mp, most or s_per_mp), self.now)
        self.now += 1
        if learnt is None:
            return self.of(name)
        self.stored[key_of(card)] = learnt.to_json()
        return learnt.s_per_mp

    def of(self, name: str) -> float:
        return speeds.every(self.cards, self.stored, self.now)[name]

    def card(self, name: str) -> Card:
        return next(card for card in self.cards if card.name == name)

    def auto(self) -> str:
        """What `auto` takes of a small clean picture at x8, which of these `liif` alone does well: 1 MP of output."""
        known = speeds.every(self.cards, self.stored, self.now)
        served = {card.name: card for card in self.cards}
        small = Small(128, 128, lossy=False)
        limits = Limits(8, patience_s=60)
        return choice.plan_upscale(small, SizeAsked("8"), "auto", "best", served, known, limits)[0].name


def test_nothing_measured_is_what_the_cards_say() -> None:
    assert Memory().of("liif") == LIIF.cpu_s_per_mp


def test_a_speed_that_jobs_agree_on_is_learnt_within_a_few_of_them() -> None:
    for true in (0.02, 1.0, 4.0, 50.0):
        memory = Memory()
        for _ in range(12):
            memory.job("liif", true)
        assert memory.of("liif") == pytest.approx(true, rel=0.01)


def test_one_job_moves_a_speed_by_a_factor_of_two_at_most_also_the_first() -> None:
    rng = random.Random(0)
    memory = Memory()
    before = memory.of("liif")
    for _ in range(200):
        after = memory.job("liif", 10 ** rng.uniform(-6, 6))
        assert 1 / STEP <= after / before <= STEP * (1 + 1e-12)
        before = memory.of("liif")


def test_fewer_outliers_than_half_of_the_last_jobs_change_nothing() -> None:
    memory = Memory()
    for _ in range(SEEN):
        memory.job("liif", 4.8)
    for nonsense in (156.0, 0.001, 1e9):
        memory.job("liif", nonsense)
    assert memory.of("liif") == pytest.approx(4.8, rel=0.01)


def test_a_model_that_was_avoided_for_its_speed_is_tried_again_and_recovers() -> None:
    memory = Memory()
    for _ in range(SEEN):
        memory.job("liif", 4.0)
    assert memory.auto() == "liif"
    for _ in range(20):
        memory.job("liif", 200.0)
    assert memory.of("liif") == pytest.approx(200, rel=0.01) and memory.auto() != "liif"
    memory.now += HALF_LIFE_S
    assert memory.of("liif") == pytest.approx(4 * 50**0.5, rel=0.02)
    memory.now += 2 * HALF_LIFE_S
    assert memory.auto() == "liif"
    for _ in range(3):
        memory.job("liif", 4.0)
        assert memory.auto() == "liif"
    assert memory.of("liif") == pytest.approx(4.0, rel=0.05)


def test_a_model_that_is_slow_indeed_is_avoided_again_after_its_trial() -> None:
    memory = Memory()
    for _ in range(10):
        memory.job("liif", 200.0)
    memory.now += 6 * HALF_LIFE_S
    assert memory.auto() == "liif"
    trials = 0
    while memory.auto() == "liif" and trials < 10:
        memory.job("liif", 200.0)
        trials += 1
    assert trials <= 5


def test_what_is_faster_than_its_card_says_stays_so_overnight() -> None:
    memory = Memory()
    for _ in range(10):
        memory.job("liif", 0.02)
    memory.now += 24 * HALF_LIFE_S
    assert memory.of("liif") == pytest.approx(0.02)


def test_what_was_not_measured_goes_at_the_pace_of_the_networks_that_were() -> None:
    memory = Memory()
    for _ in range(10):
        memory.job("liif", LIIF.cpu_s_per_mp * 3)
        memory.job("nearest", 0.001)  # says nothing of a network
    assert memory.of("srresnet") == pytest.approx(BY_NAME["srresnet"].cpu_s_per_mp * 3)
    assert memory.of("nearest") == pytest.approx(0.001)


def test_weights_of_the_user_s_own_begin_anew() -> None:
    memory = Memory()
    for _ in range(10):
        memory.job("liif", 40.0)
    brought = dataclasses.replace(LIIF, parameters=2 * LIIF.parameters, cpu_s_per_mp=2 * LIIF.cpu_s_per_mp)
    assert speeds.every([brought], memory.stored, memory.now)["liif"] == 2 * LIIF.cpu_s_per_mp


def test_what_an_older_version_or_nobody_wrote_counts_for_nothing() -> None:
    memory = Memory()
    halves = ['{"s_per_mp": "x", "at": 1, "seen": []}', '{"s_per_mp": 1, "at": 1, "seen": [1]}', '{"s_per_mp": 1}']
    for rubbish in ("4.8", "", "null", "{}", *halves):
        memory.stored = {"model:liif": "156", key_of(LIIF): rubbish}
        assert memory.of("liif") == LIIF.cpu_s_per_mp
        assert 1 / STEP <= memory.job("liif", 100.0) / LIIF.cpu_s_per_mp <= STEP
    speed = Speed(1.5, NOW, ((NOW, 1.5), (NOW, 2.0)))
    assert Speed.of(speed.to_json()) == speed


@pytest.mark.parametrize("name", [card.name for card in (*CARDS.values(), OWN_LUT)])
def test_thin_and_small_pictures_tell_nothing_and_photos_do(name: str) -> None:
    card = BY_NAME[name]
    scale = 2 if card.task == "upscale" else 1
    for height, width in ((1, 25_000), (25_000, 1), (50_000, 8), (100, 100_000), (40, 40)):
        assert not is_representative(card, (height, width), scale**2 * height * width)
    for height, width in ((400, 400), (480, 640), (3000, 4000), (256, 20_000)):
        assert is_representative(card, (height, width), scale**2 * height * width)
    assert not is_representative(card, (3000, 4000), 99_000)  # stopped after its first tiles


# Seconds that squares of these sides took, in 8 bits on one thread of an AMD EPYC (Zen 4), 2026-11-30: models were 0.6
# to 4 times as slow there as their cards say. The largest is one that tells.
TOOK = {
    ("lmliif", 4): {16: 0.0057, 32: 0.0115, 48: 0.0224, 64: 0.0375, 96: 0.0778, 256: 0.5339},
    ("lmliif", 2): {16: 0.0052, 32: 0.0109, 48: 0.0195, 64: 0.0312, 96: 0.0644, 256: 0.4338},
    ("srresnet", 4): {16: 0.134, 32: 0.1954, 48: 0.262, 64: 0.3528, 96: 0.5842, 256: 2.7426},
    ("eclut", 4): {16: 0.0005, 32: 0.0006, 48: 0.0009, 64: 0.0013, 96: 0.0025, 256: 0.0139},
    ("liif", 2): {16: 0.1055, 32: 0.1757, 48: 0.2741, 64: 0.3987, 96: 0.7505, 256: 4.0138},
    ("airnet-u", 1): {16: 0.0103, 32: 0.0118, 48: 0.0133, 64: 0.0145, 96: 0.0193, 256: 0.0556},
    ("airnet", 1): {16: 0.0103, 32: 0.0146, 48: 0.0203, 64: 0.0282, 96: 0.0482, 256: 0.2545},
    ("lut3d", 1): {16: 0.0039, 32: 0.0041, 48: 0.0042, 64: 0.004, 96: 0.004, 256: 0.0038},
}


@pytest.mark.parametrize("slower", [1, 10, 100])
@pytest.mark.parametrize(("name", "scale"), TOOK)
def test_a_small_picture_tells_between_which_two_its_model_s_speed_lies(name: str, scale: int, slower: float) -> None:
    """As these were measured, and where all of it took longer."""
    card, took = BY_NAME[name], TOOK[name, scale]
    pixels = {side: card.work_pixels((side, side), (scale * side, scale * side)) for side in took}
    true = slower * took[256] * 1e6 / pixels[256]
    for side in (16, 32, 48, 64, 96):
        told = told_by(card, (side, side), pixels[side], slower * took[side])
        if slower * took[side] < speeds.LEAST_S:
            assert told is None
        else:
            assert told is not None and told.least <= true <= told.most


def test_on_a_slow_machine_small_pictures_teach_most_of_how_slow_it_is() -> None:
    """Ten times as slow as it was measured, on which only thumbnails of 48 pixels are enlarged."""
    memory, card = Memory(), BY_NAME["srresnet"]
    size, pixels, true = (48, 48), 192 * 192, 10 * 2.7426 / 1.024**2
    for _ in range(20):
        told = told_by(card, size, pixels, 10 * TOOK["srresnet", 4][48])
        assert told is not None
        memory.job("srresnet", told.least, told.most)
    assert true / 2.5 < memory.of("srresnet") <= true
    assert card.cpu_s_per_mp < true / 30


def test_what_lies_where_a_small_picture_says_stays_as_it_is_known() -> None:
    memory = Memory()
    for _ in range(SEEN):
        memory.job("liif", 9.0)
    before = dict(memory.stored)
    for _ in range(3 * SEEN):
        assert memory.job("liif", 4.0, most=12.0) == pytest.approx(9.0, rel=1e-3)
    assert memory.stored == before, "nor does it hold up that a slow model is tried again"
    for _ in range(2 * SEEN):
        memory.job("liif", 1.0, most=5.0)
    assert memory.of("liif") == pytest.approx(5.0, rel=1e-3), "no slower than the slowest that it may be"


def test_a_small_picture_that_was_short_or_not_whole_tells_nothing() -> None:
    card = BY_NAME["srresnet"]
    assert told_by(card, (48, 48), 192 * 192, 1.0) is not None
    for pixels, seconds, share in ((192 * 192, 0.049, 1.0), (192 * 96, 1.0, 0.5), (0, 1.0, 1.0)):
        assert told_by(card, (48, 48), pixels, seconds, share) is None
    assert told_by(card, (480, 480), 16 * 480 * 240, 10.0, 0.5) == Told(*[10e6 / (16 * 480 * 240)] * 2)


def test_nothing_is_computed_where_nothing_is_asked_for() -> None:
    size = (400, 600)

    def pixels(name: str, **parameters: object) -> float:
        card = BY_NAME[name]
        operation = OPERATIONS[card.task]
        return operation.computed_pixels(card, size, operation.parameters(**({"format": "png"} | parameters)))

    for name in ("lut3d", "airnet", "lut"):
        assert pixels(name, strength=0.0) == 0
        assert pixels(name, strength=0.01) == 240_000
    assert pixels("lut3d", strength=1.0, format="cube") == 0
    doubled = {"height": 800, "width": 1200, "effort": "best"}
    assert pixels("srgan", strength=0.0, **doubled) == 16 * 240_000
    assert pixels("liif", height=400, width=600, effort="best") == 0
