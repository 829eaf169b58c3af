"""The recipe of `lmliif`: what it begins with, what it draws, who teaches it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models import weights
from models.lmliif import Lmliif, LmliifConfig
from models.span import LEVELS, Span, SpanConfig
from models.train import loop, made, teacher
from models.train.data import Photos, Pixels, shrink_bicubic
from models.train.recipes import lmliif
from models.train.run import Budget, Options
from models.weights import Weights, WeightsError
from tests.models.drawn_span import plain
from tests.models.runs import curve, stop_after

TINY = LmliifConfig(channels=8, latent=16, units=8, layers=2, code=4)
BUDGET = Budget(minutes=1, batch=2, lr=1e-3, patch=16, steps=4)


def small(**changed: Any) -> lmliif.Recipe:
    return lmliif.Recipe(BUDGET, config=TINY, teacher_channels=8, **changed)


def span_file(folder: Path, scales: tuple[int, ...] = (2, 4)) -> Path:
    """Converted weights of SPAN, 8 channels."""
    state = {f"of.x{scale}.{key}": value for scale in scales for key, value in plain(8, scale).items()}
    path = folder / "span.safetensors"
    weights.save(path, Weights("span", dataclasses.asdict(SpanConfig(8, scales)), state, {}), torch.float32)
    return path


@torch.no_grad()
def test_the_encoder_begins_as_span_with_white_features(data: Path, tmp_path: Path) -> None:
    recipe = small()
    recipe.open(data)
    run = loop.start(recipe, Options(data, tmp_path / "run", init=span_file(tmp_path)))
    network = run.network
    assert isinstance(network, Lmliif)
    span = Span(SpanConfig(8, (2, 4)))
    weights.fill(span, weights.load(tmp_path / "span.safetensors").state_dict, "span")
    published = span.largest.state_dict()
    begun = network.encoder.state_dict() | {f"upsampler.{k}": v for k, v in network.upsampler.state_dict().items()}
    assert begun.keys() == published.keys()
    assert all(torch.equal(begun[key], published[key]) for key in published)
    pictures = recipe.some_small_pictures()
    raw = [network.encoder(picture) for picture in pictures]
    feat = torch.cat([one[0].flatten(1) for one in raw], 1).double()
    white = torch.cat([network.whiten(one)[0].flatten(1) for one in raw], 1).double()
    assert white.mean(1).abs().max() < 1e-3
    assert (torch.cov(white) - torch.eye(8)).abs().max() < 1e-2
    assert (torch.cov(feat) - torch.eye(8)).abs().max() > 0.1


def test_weights_of_its_own_are_taken_as_they_are_and_others_refused(data: Path, tmp_path: Path) -> None:
    recipe = small()
    recipe.open(data)
    path, _ = loop.train(recipe, Options(data, tmp_path / "run"))
    again = loop.start(recipe, Options(data, tmp_path / "again", init=path)).network.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in weights.load(path).state_dict.items())
    with pytest.raises(WeightsError, match="SPAN of 8 channels, this recipe has 12"):
        wide = lmliif.Recipe(BUDGET, config=dataclasses.replace(TINY, channels=12))
        wide.open(data)
        loop.start(wide, Options(data, tmp_path / "wide", init=span_file(tmp_path)))


def ramp(side: int) -> Pixels:
    """Red rises by two levels from column to column, green from row to row."""
    y, x = np.mgrid[:side, :side]
    return np.stack([2 * x, 2 * y, np.full_like(x, 90)], -1).astype(np.uint8)


@pytest.fixture
def ramps(tmp_path: Path) -> Path:
    folder = tmp_path / "ramps" / "train" / "photos"
    folder.mkdir(parents=True)
    Image.fromarray(ramp(120)).save(folder / "ramp.png")
    return tmp_path / "ramps"


@torch.no_grad()
def linear() -> Lmliif:
    """A network whose features are the picture's colours and whose base is, four times as large, bilinear."""
    network = Lmliif(TINY)
    for layer in (network.encoder.conv_1, network.encoder.conv_cat, network.upsampler):
        assert layer.bias is not None
        layer.weight.zero_()
        layer.bias.zero_()
    taps = torch.tensor([[3 / 8, 5 / 8, 0], [1 / 8, 7 / 8, 0], [0, 7 / 8, 1 / 8], [0, 5 / 8, 3 / 8]])
    enlarging = torch.einsum("iy,jx->ijyx", taps, taps).flatten(0, 1)
    for colour in range(3):
        network.encoder.conv_1.weight[colour, colour, 1, 1] = 1 / LEVELS
        network.encoder.conv_cat.weight[colour, colour] = 1
        network.upsampler.weight[16 * colour : 16 * colour + 16, colour] = enlarging
    assert network.upsampler.bias is not None
    network.upsampler.bias.copy_(network.encoder.mean.repeat_interleave(16))
    return network


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0, 2.7, 4.0])
def test_the_window_that_is_judged_lies_where_it_says_in_the_small_picture(ramps: Path, scale: float) -> None:
    """Bilinear interpolation knows a ramp from its small picture, but for rounding."""
    recipe = small(fixed=(0.0, 0.0, 0.0), min_scale=scale, max_scale=scale, made=0.0, inset=0.0, grey=0.0)
    recipe.open(ramps)
    for seed in range(4):
        lr, hr, answer, place = recipe.batch(np.random.default_rng(seed))
        assert place[0] == round(16 * scale)
        assert lr.shape == (2, 16, 16, 3)
        assert torch.equal(hr, answer)
        assert hr.shape[1] == place[0] - 2 * round(lmliif.MARGIN * scale)
        loss, _ = recipe.loss(linear(), (lr, hr, answer, place))
        assert float(loss) < 0.5 / 255
        moved = place + torch.tensor([0, 1])
        assert float(recipe.loss(linear(), (lr, hr, answer, moved))[0]) > 1 / 255


def test_a_lesson_is_cut_at_the_same_place_as_its_photograph() -> None:
    photo = ramp(100)
    lesson = teacher.Lesson(shrink_bicubic(photo, (25, 25)), photo)
    for seed in range(5):
        lr, hr, answer = lmliif.cut_lesson(photo, lesson, 4, 40, np.random.default_rng(seed))
        assert (hr == answer).all()
        assert lr.shape == (10, 10, 3)
        centres = hr.reshape(10, 4, 10, 4, 3).mean((1, 3))
        assert np.abs(centres[1:-1, 1:-1] - lr[1:-1, 1:-1]).max() <= 1


def test_lessons_are_given_at_the_scales_that_the_teacher_has(taught: Path, tmp_path: Path) -> None:
    recipe = small(made=0.0, inset=0.0, grey=0.0, exact=0.0)
    recipe.open(taught, tmp_path)
    given = {}
    for scale in (2.0, 3.0, 4.0, 2.5):
        samples = list(recipe.samples(scale, round(16 * scale), np.random.default_rng(0)))
        assert all(small.shape == (16, 16, 3) for small, _, _ in samples)
        given[scale] = any(answer is not None and (hr != answer).any() for _, hr, answer in samples)
    assert given == {2.0: True, 3.0: False, 4.0: True, 2.5: False}


def test_at_other_scales_the_teacher_answers_on_the_way(taught: Path) -> None:
    drawn = {"made": 0.0, "inset": 0.0, "grey": 0.0, "exact": 0.0}
    for scale, kinds, asked in ((2.5, drawn, True), (4.0, drawn, True), (2.5, {**drawn, "made": 1.0}, False)):
        recipe, side = small(**kinds), round(16 * scale)
        recipe.open(taught)
        assert recipe.teacher is not None
        for small_one, hr, answer in recipe.taught_samples(scale, side, np.random.default_rng(0)):
            assert answer.shape == hr.shape == (side, side, 3)
            assert (answer is not hr) == asked
            if asked:
                assert np.array_equal(answer, teacher.answer(recipe.teacher, small_one[None], side)[0])
    alone = small(taught=0.0)
    alone.open(taught)
    assert alone.lessons == {}
    assert all(answer is hr for _, hr, answer in alone.taught_samples(2.5, 40, np.random.default_rng(0)))


def test_all_but_the_encoder_learn_first(data: Path, tmp_path: Path) -> None:
    recipe = small(head_first=0.5)
    options = Options(data, tmp_path / "run", init=span_file(tmp_path))
    loop.train(dataclasses.replace(recipe, budget=dataclasses.replace(BUDGET, steps=2), head_first=1.0), options)
    half = torch.load(options.out / "checkpoint.pt", weights_only=True)["network"]
    loop.train(recipe, dataclasses.replace(options, out=tmp_path / "whole"))
    end = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["network"]
    begun = weights.load(tmp_path / "span.safetensors").state_dict["of.x4.block_1.c1_r.weight"]
    assert torch.equal(half["encoder.block_1.c1_r.weight"], begun)
    assert not torch.equal(end["encoder.block_1.c1_r.weight"], begun)
    assert not torch.equal(half["latent_in.weight"], end["latent_in.weight"])


def test_the_new_part_is_clipped_alone_and_so_is_the_old_one_where_it_learns(data: Path, tmp_path: Path) -> None:
    recipe = small()
    recipe.open(data)
    network = loop.start(recipe, Options(data, tmp_path / "run", init=span_file(tmp_path))).network
    for value in network.parameters():
        value.grad = torch.full_like(value, 100.0)
    recipe.clip(network)
    assert isinstance(network, Lmliif)
    for part, longest in (
        (lmliif.new_part(network), recipe.longest_gradient),
        (lmliif.old_part(network), recipe.longest_old_gradient),
    ):
        length = torch.stack([value.grad.norm() for value in part if value.grad is not None]).norm()
        assert float(length) == pytest.approx(longest, rel=1e-4)
    assert len(lmliif.new_part(network)) + len(lmliif.old_part(network)) == len([*network.parameters()])


def test_a_layer_of_the_encoder_learns_at_a_share_of_its_size(data: Path, tmp_path: Path) -> None:
    recipe = small(encoder_rate=1e-3)
    recipe.open(data)
    run = loop.start(recipe, Options(data, tmp_path / "run", init=span_file(tmp_path)))
    network = run.network
    assert isinstance(network, Lmliif)
    rates = {id(value): group["lr"] for group in run.optimizer.param_groups for value in group["params"]}
    assert rates.keys() == {id(value) for value in network.parameters()}
    weight = network.encoder.conv_1.weight
    assert rates[id(weight)] == pytest.approx(1e-3 * float(weight.detach().square().mean().sqrt()))
    assert rates[id(network.render_out.weight)] == BUDGET.lr


def test_lossless_files_are_taken_as_often_as_asked_whatever_their_size() -> None:
    pixels = tuple(np.zeros((side, 10, 3), np.uint8) for side in (10, 30, 20, 40))
    photos = Photos(("a.jpg", "b.JPEG", "c.png", "d.webp"), pixels, "")
    assert lmliif.photo_odds(photos, 0.9) == pytest.approx([0.1 / 4, 0.3 / 4, 0.9 / 3, 1.8 / 3])
    jpegs = Photos(("a.jpg", "b.jpeg"), pixels[:2], "")
    assert lmliif.photo_odds(jpegs, 0.9) == pytest.approx([0.25, 0.75])


@torch.no_grad()
def test_colours_are_judged_apart_from_grey(data: Path) -> None:
    recipe = small()
    recipe.open(data)
    lr, hr, answer, place = recipe.batch(np.random.default_rng(0))
    network = linear()
    _, before = recipe.loss(network, (lr, hr, answer, place))
    network.render_out.bias.fill_(0.1)
    _, lighter = recipe.loss(network, (lr, hr, answer, place))
    network.render_out.bias.copy_(torch.tensor([0.1, 0.0, -0.1]))
    _, redder = recipe.loss(network, (lr, hr, answer, place))
    assert float(lighter["colours"]) == pytest.approx(float(before["colours"]), abs=1e-6)
    assert float(lighter["pixels"]) > float(before["pixels"])
    assert float(redder["colours"]) > float(before["colours"]) + 0.03


@pytest.mark.parametrize("unit", [1.0, 2.0, 3.3, 4.0])
def test_drawn_pictures_fill_their_square_and_follow_from_the_seed(unit: float) -> None:
    kinds = [*made.KINDS, made.pattern]
    for seed in range(6):
        for kind in kinds:
            drawn, again = (kind(np.random.default_rng(seed), 50, unit) for _ in range(2))
            assert drawn.shape == (50, 50, 3)
            assert drawn.dtype == np.uint8
            assert (drawn == again).all()
    pictures = [made.draw(np.random.default_rng(seed), 50, unit) for seed in range(60)]
    neutral = [bool((np.ptp(picture, axis=-1) == 0).all()) for picture in pictures]
    assert 30 < sum(neutral) < 60
    assert sum(np.ptp(picture) > 100 for picture in pictures) > 25


def test_a_pattern_within_a_photograph_leaves_the_rest_of_it() -> None:
    photo = ramp(60)
    inside = made.within(photo, np.random.default_rng(1), 2.0)
    changed = (inside != photo).any(-1)
    rows, cols = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
    box = np.zeros_like(changed)
    box[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True
    assert 0 < box.mean() < 1
    assert changed[box].mean() > 0.9
    assert (photo == ramp(60)).all()


@pytest.mark.parametrize("scale", [2.0, 3.3])
def test_an_exact_pattern_is_the_same_in_both_pictures_pixel_by_square(scale: float) -> None:
    large = ramp(round(16 * scale))
    small_one = shrink_bicubic(large, (16, 16))
    lr, hr = lmliif.with_exact_pattern(small_one, large, np.random.default_rng(2))
    at = np.arange(len(large)) * 16 // len(large)
    changed = (hr != large).any(-1)
    assert 0.2 < changed.mean() <= 1
    assert (hr == lr[np.ix_(at, at)])[changed].all()
    assert len(np.unique(lr[(lr != small_one).any(-1)])) >= 2
    assert (large == ramp(len(large))).all() and (small_one == shrink_bicubic(large, (16, 16))).all()


def test_a_grey_photograph_keeps_its_light() -> None:
    grey = made.grey(ramp(60))
    assert (np.ptp(grey, axis=-1) == 0).all()
    assert np.abs(grey[..., 0] - ramp(60) @ np.array([0.299, 0.587, 0.114])).max() <= 0.51


def test_a_few_steps_lower_the_loss(data: Path, tmp_path: Path) -> None:
    recipe = small(made=0.0, inset=0.0, grey=0.0, head_first=0.0)
    recipe = dataclasses.replace(recipe, budget=dataclasses.replace(BUDGET, lr=2e-2))
    recipe.open(data)
    options = Options(data, tmp_path / "run", init=span_file(tmp_path))
    run = loop.start(recipe, options)
    fixed = recipe.batch(np.random.default_rng(1))
    losses = [float(loop.step(recipe, run, fixed, options, 1.0)[0]) for _ in range(25)]
    assert min(losses[-3:]) < 0.97 * losses[0]


def test_a_stopped_and_resumed_run_has_the_losses_of_one_never_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    recipe, init = small(head_first=0.4), span_file(tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    loop.train(recipe, Options(data, whole, init=init))
    with monkeypatch.context() as during:
        stop_after(during, 2)
        loop.train(recipe, Options(data, parts, init=init))
    loop.train(recipe, Options(data, parts, resume=True))
    assert curve(parts) == curve(whole)
    assert curve(whole).keys() == {1, 2, 3, 4}


def test_means_are_judged_as_they_are_seen() -> None:
    """What lies beyond black and white is not seen; columns whose white alone is cut off get brighter."""
    black_or_white = torch.ones(1, 3, 24, 24)
    black_or_white[..., ::3] = 0
    overshooting = black_or_white + 0.1 * (black_or_white - black_or_white.mean()) / black_or_white.std()
    assert (overshooting.mean() - black_or_white.mean()).abs() < 1e-6
    assert float(lmliif.error_of_means(overshooting, black_or_white, 6)) < 1e-6  # both ends are cut off entirely
    softened = black_or_white.clone()
    softened[..., 1::3], softened[..., ::3] = 1.1, 0.1
    assert float(lmliif.error_of_means(softened, black_or_white, 6)) == pytest.approx(0.1 / 3, abs=1e-6)


@torch.no_grad()
def test_the_loss_counts_means_as_often_as_it_is_told(data: Path) -> None:
    torch.manual_seed(0)
    recipe = small(means=2.0)
    recipe.open(data)
    batch, network = recipe.batch(np.random.default_rng(0)), recipe.network()
    with_means, parts = recipe.loss(network, batch)
    recipe.means = 0.0
    without, fewer = recipe.loss(network, batch)
    assert "means" not in fewer and float(parts["means"]) > 0
    assert float(with_means) == pytest.approx(float(without) + 2 * float(parts["means"]), abs=1e-6)
