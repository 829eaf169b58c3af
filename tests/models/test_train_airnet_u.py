"""The recipe of AirNet with a wide view: its samples, what is asked of them, its losses, its file."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import catalog, weights
from models.airnet_u import KINDS as LABELS
from models.airnet_u import AirnetU
from models.look import CROP_SIDE, Look
from models.moco import Moco
from models.train import __main__ as command
from models.train import loop, views
from models.train.damage import KINDS
from models.train.recipes import airnet_u
from models.train.recipes.airnet_u import NONE, Recipe
from models.train.run import Budget, Options
from tests.models.brought import SMALL_AIRNET_U

BUDGET = Budget(minutes=1, batch=8, lr=2e-3, patch=48, steps=6, decay=0.5)


def opened(data: Path, **changed: Any) -> Recipe:
    recipe = Recipe(BUDGET, **{"config": SMALL_AIRNET_U, "first_patch": 32, **changed})
    recipe.open(data)
    return recipe


def sampled(recipe: Recipe, kind: str, count: int = 30) -> list[airnet_u.Sample]:
    return [recipe.sample(kind, np.random.default_rng(seed)) for seed in range(count)]


def test_a_batch_holds_each_kind_equally_often_and_follows_from_seed_and_step(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, seen, plain = opened(data), list[str](), Recipe.sample

    def sample(self: Recipe, kind: str, rng: np.random.Generator) -> airnet_u.Sample:
        seen.append(kind)
        return plain(self, kind, rng)

    monkeypatch.setattr(Recipe, "sample", sample)
    first, again, other = (recipe.batch(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert seen == 3 * list(KINDS)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert [tuple(part.shape) for part in first] == [
        (8, 3, 48, 48),
        (8, 3, 64, 64),
        (8, 3, 48, 48),
        (8, 3, 48, 48),
        (8, 3, 64, 64),
        (8,),
        (8, len(LABELS)),
    ]
    with pytest.raises(ValueError, match="12 does not hold 8 kinds"):
        Recipe(dataclasses.replace(BUDGET, batch=12))


def test_without_a_kind_asked_for_the_clean_crop_is_wanted(data: Path) -> None:
    recipe = opened(data, asked=0.0)
    for kind in KINDS:
        for one in sampled(recipe, kind, 6):
            assert one.only == NONE
            assert np.array_equal(one.query, one.wanted) <= (kind == "clean" or not any(one.told))


def test_asked_for_another_kind_everything_stays_and_for_its_own_it_goes(data: Path) -> None:
    recipe = opened(data, asked=1.0)
    seen = Counter()  # type: ignore[var-annotated]
    for kind in ("rain", "haze", "jpeg", "levels"):
        label = {"levels": "noise"}.get(kind, kind)
        for one in sampled(recipe, kind):
            own = LABELS[one.only] == label
            seen[own] += 1
            assert own or np.array_equal(one.query, one.wanted)
            assert not own or not any(one.told) or not np.array_equal(one.query, one.wanted)
    assert seen[True] > 10 and seen[False] > 40


def test_of_two_damages_the_one_that_is_not_asked_for_stays_as_it_fell(data: Path) -> None:
    """Noise taken off a noisy JPEG leaves the JPEG; JPEG taken off it leaves the very same noise."""
    recipe, found = opened(data, asked=1.0, grey=0.0), 0
    for one in sampled(recipe, "mixed", 250):
        if one.told == (1, 0, 0, 1) and LABELS[one.only] == "jpeg":
            apart = np.abs(one.query.astype(int) - one.wanted).mean()
            noise = np.abs(np.diff(one.wanted.astype(int), axis=1)).mean()
            assert apart > 0
            found += noise > 5
    assert found > 1


def test_labels_are_what_is_to_be_seen(data: Path) -> None:
    recipe = opened(data)
    assert all(one.told == (0, 0, 0, 0) for one in sampled(recipe, "clean"))
    assert all(one.told in ((1, 0, 0, 0), (0, 0, 0, 0)) for one in sampled(recipe, "noise"))
    assert any(one.told == (1, 0, 0, 0) for one in sampled(recipe, "noise"))
    assert {sum(one.told) for one in sampled(recipe, "mixed")} <= {0, 1, 2}


def test_the_key_is_another_picture_spoilt_alike(data: Path) -> None:
    recipe = opened(data, grey=0.0)
    apart = [
        abs(float((one.query.astype(float) - one.wanted).std()) - noise_of(one.key))
        for one in sampled(recipe, "levels", 40)
        if one.only == NONE
    ]
    assert float(np.median(apart)) < 12
    assert all(not np.array_equal(one.query, one.key) for one in sampled(recipe, "haze"))


def noise_of(pixels: np.ndarray) -> float:
    """Of white noise over something smooth, by second differences."""
    values = pixels.astype(float)
    return float((values[2:] - 2 * values[1:-1] + values[:-2]).std() / np.sqrt(6))


def test_haze_lies_over_the_whole_picture_too(data: Path) -> None:
    recipe = opened(data, asked=0.0, real_haze=0.0)
    clean = np.mean([whole.mean() for whole in recipe.wholes])
    assert np.mean([one.whole.mean() for one in sampled(recipe, "haze")]) > clean + 8
    assert np.mean([one.whole.mean() for one in sampled(recipe, "jpeg")]) == pytest.approx(clean, abs=25)


def test_real_pairs_join_as_often_as_told(wet: Path) -> None:
    recipe = opened(wet, real_rain=1.0, real_haze=1.0)
    for kind, told in (("rain", (0, 1, 0, 0)), ("haze", (0, 0, 1, 0))):
        for one in sampled(recipe, kind, 5):
            assert one.told == told
            assert one.only == NONE
            assert np.array_equal(one.whole, one.key_whole)


def test_grey_pictures_are_grey_before_and_after(data: Path) -> None:
    recipe = opened(data, grey=1.0)
    for kind in ("noise", "camera", "clean"):
        for one in sampled(recipe, kind, 6):
            for pixels in (one.query, one.wanted, one.key, one.whole):
                assert (pixels == pixels[..., :1]).all()


def test_the_losses_of_all_kinds_are_told_and_the_code_learns_from_the_telling_too(data: Path) -> None:
    recipe, torch_seed = opened(data, freely=0.5), torch.manual_seed(0)
    network = recipe.network().train()
    assert isinstance(network, AirnetU) and torch_seed is not None
    loss, parts = recipe.loss(network, recipe.batch(np.random.default_rng(0)))
    assert {f"{kind} dB" for kind in KINDS} < set(parts)
    assert float(loss.detach()) == pytest.approx(
        float(parts["error"])
        + recipe.contrast * float(parts["contrast"])
        + recipe.certainty * float(parts["certainty"])
        + recipe.telling * float(parts["telling"])
        + recipe.freely * float(parts["free"]),
        rel=1e-4,
    )
    recipe = opened(data, contrast=0.0, certainty=0.0, telling=1.0)
    network = recipe.network().train()
    assert isinstance(network, AirnetU)
    loss, _ = recipe.loss(network, recipe.batch(np.random.default_rng(0)))
    (of_encoder,) = torch.autograd.grad(loss, [network.encoder.second.weight])
    assert of_encoder.any(), "at first the code changes nothing that is restored"


def test_in_a_head_start_the_encoder_learns_in_each_step_and_the_restorer_in_some(data: Path) -> None:
    recipe = opened(data, head_start=0.5)
    network, batch, joined = recipe.network().train(), recipe.batch(np.random.default_rng(0)), 0
    assert isinstance(network, AirnetU)
    for seed in range(24):
        torch.manual_seed(seed)
        recipe.begin_step(0.4)
        loss, parts = recipe.loss(network, batch)
        network.zero_grad()
        torch.autograd.backward(loss)
        assert network.encoder.second.weight.grad is not None and network.tell.weight.grad is not None
        assert (network.R.tail.weight.grad is not None) == ("error" in parts)
        joined += "error" in parts
    assert 0 < joined < 12
    recipe.begin_step(0.6)
    assert all("error" in recipe.loss(network, batch)[1] for _ in range(4))


def test_a_correction_that_is_held_back_learns_freely_from_what_is_spoilt_alone(data: Path) -> None:
    """Where the map says nothing is wrong, the error has no gradient for the correction; the free one has."""
    lengths = []
    for freely, share in ((0.0, 0.0), (1.0, 0.0), (1.0, 0.9)):
        recipe = opened(data, freely=freely, certainty=0.0, contrast=0.0, telling=0.0)
        torch.manual_seed(0)
        network, batch = recipe.network().train(), recipe.batch(np.random.default_rng(0))
        assert isinstance(network, AirnetU)
        recipe.begin_step(share)
        with torch.no_grad():
            assert network.R.tail.bias is not None
            network.R.tail.bias[3] = -9  # of the certainty
        loss, _ = recipe.loss(network, batch)
        torch.autograd.backward(loss)
        assert network.R.tail.weight.grad is not None
        lengths.append(float(network.R.tail.weight.grad[:3].norm()))
    assert lengths[0] == 0 < lengths[1]
    assert lengths[2] == 0, "the rate falls"
    sound = torch.rand(2, 3, 8, 8)
    assert airnet_u.is_spoilt(sound, torch.stack([sound[0], 1 - sound[1]])).tolist() == [0, 1]


def test_the_mean_code_of_a_kind_follows_samples_of_that_kind_alone() -> None:
    network = AirnetU(SMALL_AIRNET_U)
    before = network.kind_codes.clone()
    codes = torch.nn.functional.normalize(torch.randn(3, SMALL_AIRNET_U.code), dim=1)
    told = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
    airnet_u.follow_kinds(network, codes, told)
    wanted = before[0] * airnet_u.KEPT + codes[0] * (1 - airnet_u.KEPT)
    assert torch.allclose(network.kind_codes[0], wanted, atol=1e-6)
    assert torch.equal(network.kind_codes[1:], before[1:])


def test_a_sample_that_is_asked_for_one_kind_is_conditioned_by_its_mean_code() -> None:
    network = AirnetU(SMALL_AIRNET_U)
    codes = torch.randn(2, SMALL_AIRNET_U.code)
    found = airnet_u.conditions(network, codes, torch.tensor([NONE, 2]))
    assert torch.equal(found[0], codes[0])
    assert torch.allclose(found[1], network.code_of("haze")[0], atol=1e-6)


def test_where_something_is_wrong_is_one_from_a_level_on_and_nothing_where_all_is_well() -> None:
    wanted = torch.full((1, 3, 20, 20), 0.5)
    query = wanted.clone()
    query[..., :8] += 1 / 255
    wrong = airnet_u.where_wrong(query, wanted)[0, 0]
    assert (wrong[:, :5] > 0.999).all()
    assert not wrong[:, 11:].any()


def test_the_encoder_sees_a_crop_as_large_as_in_service() -> None:
    look = airnet_u.look_of(torch.rand(2, 3, 192, 192), torch.rand(2, 3, 64, 64))
    assert look.crops.shape == (2, 1, 3, CROP_SIDE, CROP_SIDE)


def test_patches_grow_at_the_end_and_norms_rest(data: Path) -> None:
    recipe = opened(data, large_share=0.5)
    network, batch = recipe.network().train(), recipe.batch(np.random.default_rng(0))
    for share, training in ((0.0, True), (0.6, False)):
        network.train()
        recipe.begin_step(share)
        sides: list[int] = []
        handle = network.R.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))  # type: ignore[union-attr] # noqa: B023
        recipe.loss(network, batch)
        handle.remove()
        assert sides == [32 if training else 48]
        assert {one.training for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)} >= {training}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """With two, sums of half precision come out in changing order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_few_steps_lower_the_error(data: Path) -> None:
    """Of the same batch over and over."""
    recipe = opened(data, asked=0.0)
    torch.manual_seed(0)
    run = loop.start(recipe, Options(data, data))
    batch = recipe.batch(np.random.default_rng(0))
    errors = [float(loop.step(recipe, run, batch, Options(data, data), 1.0)[1]["error"]) for _ in range(40)]
    assert np.isfinite(errors).all()
    assert min(errors[-5:]) < errors[0] - 0.005


def test_each_kind_s_error_counts_by_its_logarithm_and_a_tiny_one_no_more() -> None:
    wanted = torch.zeros(3, 3, 8, 8)
    shown = torch.tensor([0.3, 0.003, 0.0])[:, None, None, None].expand_as(wanted)
    large, small, none = airnet_u.log_errors(shown, wanted).tolist()
    wanted_apart = np.log((0.09 + airnet_u.LEAST) / (9e-6 + airnet_u.LEAST))
    assert large - small == pytest.approx(wanted_apart, abs=1e-3)
    assert none == pytest.approx(np.log(airnet_u.LEAST), abs=1e-3)


def test_the_least_error_that_counts_falls_in_the_second_half() -> None:
    shares = (0.0, 0.5, 0.65, 0.8, 1.0)
    levels = [255 * airnet_u.least_at(share) ** 0.5 for share in shares]
    assert levels == pytest.approx([4, 4, 2, 1, 1])


@pytest.mark.usefixtures("one_thread")
def test_a_run_can_begin_with_the_file_of_another(data: Path, tmp_path: Path) -> None:
    """And computes what that does, before the first step; the norms rest, the contrast's twin is its equal."""
    path, _ = loop.train(opened(data), Options(data, tmp_path / "run"))
    recipe, options = opened(data), Options(data, tmp_path / "next", init=path)
    run = loop.start(recipe, options)
    assert isinstance(run.network, AirnetU)
    served = catalog.build("airnet-u", weights.load(path).config)
    assert isinstance(served, AirnetU) and isinstance(run.network.E, Moco)
    weights.fill(served, weights.load(path).state_dict, "airnet-u")
    look, picture = Look(torch.rand(1, 2, 3, 32, 32), torch.rand(1, 3, 16, 16)), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        codes = [network.encoder(look)[0] for network in (served.eval(), run.network.eval())]
        twin = run.network.E.encoder_k.eval()(look)[0]
        made = [network.restore(picture, codes[0])[0] for network in (served, run.network)]
    for code in (codes[1], twin):
        assert torch.allclose(codes[0], code, atol=1e-4)
    assert torch.allclose(made[0], made[1], atol=1e-5)
    norm = next(module for module in run.network.modules() if isinstance(module, nn.BatchNorm2d))
    loop.step(recipe, run, recipe.batch(np.random.default_rng(0)), options, 1.0)
    assert norm.running_mean is not None and not norm.running_mean.any()
    other = opened(data, config=dataclasses.replace(SMALL_AIRNET_U, middle=SMALL_AIRNET_U.middle + 1))
    with pytest.raises(weights.WeightsError, match="was made with"):
        loop.start(other, options)


def test_the_losses_that_are_told_are_running_means(data: Path) -> None:
    recipe = opened(data)
    first = recipe.follow_losses(torch.full((8,), -4.0))
    second = recipe.follow_losses(torch.full((8,), -9.0))
    assert float(first["rain dB"]) == pytest.approx(40 / np.log(10), rel=1e-4)
    assert float(second["rain dB"]) == pytest.approx((40 * 0.98 + 90 * 0.02) / np.log(10), rel=1e-4)


def gradients(recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Of the last layer's weights, by one batch: those that make the correction, and those of the certainty."""
    torch.manual_seed(3)
    network = recipe.network()
    assert isinstance(network, AirnetU)
    last = network.R.tail
    with torch.no_grad():
        last.weight.normal_(0, 0.02)
    loss, _ = recipe.loss(network, recipe.batch(np.random.default_rng(0)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert last.weight.grad is not None
    return last.weight.grad[:3], last.weight.grad[3:]


def test_apart_the_error_does_not_reach_the_certainty_and_what_is_clean_not_the_correction(data: Path) -> None:
    others = {"contrast": 0.0, "telling": 0.0}
    correction, certainty = gradients(opened(data, apart=1.0, certainty=0.0, **others))
    assert correction.any() and not certainty.any()
    correction, certainty = gradients(opened(data, apart=1.0, kinds=("clean",), asked=0.0, **others))
    assert not correction.any() and certainty.any()
    correction, certainty = gradients(opened(data, certainty=0.0, **others))
    assert correction.any() and certainty.any()


def test_a_kind_that_is_named_twice_is_there_twice_as_often_and_told_as_one(data: Path) -> None:
    recipe = opened(data, kinds=("jpeg", "clean", "jpeg", "rain"))
    assert len(recipe.batch(np.random.default_rng(0))[0]) == 8
    told = recipe.follow_losses(torch.tensor([-9.0, -4.0, -7.0, -2.0] * 2))
    expected = {"jpeg dB": 80, "clean dB": 40, "rain dB": 20}
    assert {name: float(value) for name, value in told.items()} == pytest.approx(
        {name: value / np.log(10) for name, value in expected.items()}, rel=1e-4
    )


def test_patterns_are_clean_and_fill_the_patch(data: Path) -> None:
    recipe, rng = opened(data, kinds=("patterns",), asked=0.0), np.random.default_rng(0)
    for sample in (recipe.sample("patterns", rng) for _ in range(8)):
        assert np.array_equal(sample.query, sample.wanted) and not any(sample.told)
        assert len(np.unique(sample.query.reshape(-1, 3), axis=0)) <= 256  # blends of two colours; a photo has more
        assert not any(np.array_equal(sample.query, photo[:64, :64]) for photo in recipe.photos.pixels)


@pytest.mark.parametrize("kind", ["clean", "haze", "rain"])
def test_close_crops_are_seen_with_less_than_their_picture_around_them(
    kind: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airnet_u, "ALONE", 1.0)
    rng = np.random.default_rng(0)
    close, far = (opened(data, close=share, real_rain=0.5, real_haze=0.5) for share in (1.0, 0.0))
    for sample in (close.sample(kind, rng) for _ in range(6)):
        if kind == "clean":
            assert np.array_equal(sample.whole, views.reduced(sample.query))
        assert np.abs(sample.whole.mean((0, 1)) - sample.query.mean((0, 1))).max() < 24  # haze lies anew on the other
    apart = [far.sample(kind, rng) for _ in range(12)]
    assert any(np.abs(one.whole.mean((0, 1)) - one.query.mean((0, 1))).max() > 5 for one in apart)


def test_what_is_shown_and_what_is_wanted_have_the_same_tones_whichever_are_drawn(data: Path) -> None:
    recipe, rng = (
        opened(data, kinds=("clean",), close=1.0, developed=1.0, asked=0.0, grey=0.0),
        np.random.default_rng(0),
    )
    photo = recipe.photos.pixels[0]
    whole, part = recipe.develop([photo, photo[:48, :40]], rng)
    assert np.array_equal(whole[:48, :40], part)
    assert not np.array_equal(whole, photo)
    samples = [recipe.sample("clean", np.random.default_rng(seed)) for seed in range(8)]
    assert all(np.array_equal(one.query, one.wanted) for one in samples)
    assert any(np.array_equal(one.whole, views.reduced(one.query)) for one in samples)
    untouched = opened(data).develop([photo[:48, :40]], rng)[0]
    assert np.array_equal(untouched, photo[:48, :40]) and untouched.flags.c_contiguous


@pytest.mark.parametrize(
    ("kinds", "said"),
    [(("jpeg", "clean", "rain"), "does not hold 3 kinds"), (("jpeg", "fog"), "fog are unknown"), ((), "no kinds")],
)
def test_kinds_that_make_no_batch_are_refused(kinds: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe(BUDGET, config=SMALL_AIRNET_U, kinds=kinds)


@pytest.mark.usefixtures("one_thread")
def test_a_run_s_file_is_the_served_form(data: Path, tmp_path: Path) -> None:
    path, finished = loop.train(opened(data), Options(data, tmp_path / "run"))
    assert finished
    found = weights.load(path)
    assert (found.network, found.config["contrast"]) == ("airnet-u", False)
    weights.fill(catalog.build("airnet-u", found.config), found.state_dict, "airnet-u")


@pytest.mark.usefixtures("one_thread")
def test_a_stopped_and_resumed_run_is_as_one_never_stopped(data: Path, tmp_path: Path) -> None:
    def run(out: Path, **changed: Any) -> tuple[Path, bool]:
        budget = dataclasses.replace(BUDGET, steps=5, **changed)
        recipe = Recipe(budget, config=SMALL_AIRNET_U, first_patch=32)
        return loop.train(recipe, Options(data, out, resume=out.exists()))

    whole, _ = run(tmp_path / "whole")
    finished, slices = False, 0
    while not finished:
        parts, finished = run(tmp_path / "parts", slice_minutes=1e-5)
        slices += 1
    assert slices > 2
    ours, wanted = (weights.load(path).state_dict for path in (parts, whole))
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in ours.items())


def test_it_trains_wholly_on_the_device_of_its_batch(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = opened(data)
    batch = tuple(tensor.to("meta") for tensor in recipe.batch(np.random.default_rng(0)))
    monkeypatch.setattr("models.moco.Moco.enqueue", lambda self, codes: None)  # reads a number
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    with torch.device("meta"):
        loss, _ = recipe.loss(recipe.network(), batch)
        torch.autograd.backward(loss)
    assert loss.device.type == "meta"


@pytest.mark.parametrize(("device", "width"), [("cpu", 16), ("cuda", 24)])
def test_each_device_has_a_network_and_a_budget_of_its_own(data: Path, device: str, width: int) -> None:
    recipe = command.make_recipe(command.read_arguments(["airnet-u", "--data", str(data), "--device", device]))
    assert recipe.config.width == width
    assert recipe.budget.batch % len(KINDS) == 0
    served = AirnetU(recipe.config).served()
    assert sum(value.numel() for value in served.state_dict().values()) < 4_000_000
