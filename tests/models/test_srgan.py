from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import catalog, weights
from models.cards import CARDS, SRGAN, SRRESNET
from models.srgan import Discriminator, DiscriminatorConfig, SpectralNorm
from models.srresnet import Srresnet, SrresnetConfig
from models.train import __main__ as command
from models.train import loop, losses, provenance
from models.train.recipes import srgan, srresnet
from models.train.run import Budget, Options, Run
from models.weights import Weights, WeightsError, interpolate
from tests.models.drawn import draw_photo
from tests.models.test_srresnet import SMALL, draw, make
from workers.engine.engine import Engine
from workers.errors import ParameterError
from workers.jobs.job import computation_key
from workers.operations.upscale import blend_strength
from workers.pictures.imageio import Picture

TINY = SrresnetConfig(width=8, blocks=1, batch_norm=False, interpolated_base=True)
OPPONENT = DiscriminatorConfig(width=4, dense=8, spectral=True)
BUDGET = Budget(minutes=1, batch=2, lr=1e-4, patch=8, steps=2)


def recipe_of(name: str = "srgan", **changed: Any) -> Any:
    steps = changed.pop("steps", 2)
    budget = dataclasses.replace(BUDGET, steps=steps)
    if name == "srresnet":
        return srresnet.Recipe(budget, config=TINY, **changed)
    return srgan.Recipe(budget, config=TINY, discriminator=OPPONENT, **changed)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# -- the discriminator -----------------------------------------------------------------------------------------------


def test_the_discriminator_has_as_many_parameters_as_published_and_answers_in_logits() -> None:
    network = Discriminator()
    assert sum(p.numel() for p in network.features.parameters()) == 4_687_232
    assert sum(p.numel() for p in network.parameters()) == 23_563_649
    strides = [layer.stride[0] for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert strides == [1, 2] * 4
    with torch.no_grad():
        last = network.classifier[-1]
        assert isinstance(last, nn.Linear)
        last.bias.fill_(5)
        logits = network(draw(2, 3, 96, 96))
    assert logits.shape == (2, 1)
    assert logits.min() > 1


def test_spectral_norms_hold_every_layer_at_one() -> None:
    torch.manual_seed(0)
    network = Discriminator(dataclasses.replace(OPPONENT, side=32))
    for _ in range(200):
        network(draw(1, 3, 32, 32))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 10
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, abs=0.01)


def test_the_spectral_norm_moves_only_in_training() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 7)
    norm = SpectralNorm(weight).eval()
    before = norm.left.clone()
    norm(weight)
    assert torch.equal(norm.left, before)
    norm.train()(weight)
    assert not torch.equal(norm.left, before)


# -- between two networks --------------------------------------------------------------------------------------------


def pair() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    first = make().state_dict()
    second = {key: value * 1.25 if value.is_floating_point() else value + 3 for key, value in first.items()}
    return first, second


def test_both_ends_of_the_blend_are_exact_and_the_middle_is_the_mean() -> None:
    pixel, adversarial = pair()
    for strength, wanted in ((0.0, pixel), (1.0, adversarial)):
        found = interpolate(pixel, adversarial, strength, "srresnet")
        assert all(torch.equal(found[key], wanted[key]) for key in wanted if wanted[key].is_floating_point())
    middle = interpolate(pixel, adversarial, 0.5, "srresnet")
    for key, value in middle.items():
        assert value.dtype == pixel[key].dtype
        if value.is_floating_point():
            assert torch.allclose(value, 1.125 * pixel[key], atol=1e-7)


def test_a_blend_of_what_does_not_fit_or_beyond_the_ends_is_refused() -> None:
    pixel, adversarial = pair()
    with pytest.raises(WeightsError, match=r"weights for srresnet lack conv3\.bias"):
        interpolate({key: value for key, value in pixel.items() if key != "conv3.bias"}, adversarial, 0.5, "srresnet")
    for strength in (-0.1, 1.5, math.nan):
        with pytest.raises(WeightsError, match="is outside 0 to 1"):
            interpolate(pixel, adversarial, strength, "srresnet")


@torch.no_grad()
def test_strength_goes_from_srresnet_to_srgan(tmp_path: Path) -> None:
    for name, state in zip(("srresnet", "srgan"), pair(), strict=True):
        file = Weights(name, dataclasses.asdict(SMALL), state, {})
        weights.save(tmp_path / f"{name}.safetensors", file, torch.float32)
    lr = draw(1, 3, 8, 8)
    served = {s: catalog.load("srgan", weights_dir=tmp_path, strength=s).enlarge(lr) for s in (0.0, 0.5, 1.0)}
    assert torch.equal(served[0.0], catalog.load("srresnet", weights_dir=tmp_path).enlarge(lr))
    assert torch.equal(served[1.0], catalog.load("srgan", weights_dir=tmp_path).enlarge(lr))
    assert all((served[0.5] - served[end]).abs().max() > 1e-3 for end in (0.0, 1.0))


def test_a_srgan_without_its_srresnet_has_no_strength_between(tmp_path: Path) -> None:
    state = Srresnet(TINY).state_dict()
    weights.save(tmp_path / "srgan.safetensors", Weights("srgan", dataclasses.asdict(TINY), state, {}))
    other = Weights("srresnet", dataclasses.asdict(SMALL), Srresnet(SMALL).state_dict(), {})
    weights.save(tmp_path / "srresnet.safetensors", other)
    assert catalog.load("srgan", weights_dir=tmp_path).config == TINY
    with pytest.raises(WeightsError, match="did not begin as the srresnet at hand"):
        catalog.load("srgan", weights_dir=tmp_path, strength=0.5)
    with pytest.raises(WeightsError, match="srresnet has no strength below 1"):
        catalog.load("srresnet", weights_dir=tmp_path, strength=0.5)
    (tmp_path / "srresnet.safetensors").unlink()
    if "srresnet" not in CARDS:
        with pytest.raises(WeightsError, match="no model 'srresnet'"):
            catalog.load("srgan", weights_dir=tmp_path, strength=0.5)


# -- losses ----------------------------------------------------------------------------------------------------------


def test_the_halved_picture_and_its_details_hold_all_of_the_picture() -> None:
    picture = draw(2, 3, 8, 12)
    low, details = losses.haar(picture)
    across, down, diagonal = details.chunk(3, 1)
    assert torch.allclose(low + across + down + diagonal, picture[..., ::2, ::2], atol=1e-6)
    assert torch.allclose(low - across - down + diagonal, picture[..., 1::2, 1::2], atol=1e-6)
    assert torch.allclose(low - across + down - diagonal, picture[..., ::2, 1::2], atol=1e-6)


def test_texture_asks_how_much_detail_there_is_and_not_where() -> None:
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * torch.ones(1, 3, 1, 1)
    assert losses.texture(checks, checks) == 0
    assert losses.texture(checks.flip(-1), checks) == pytest.approx(0, abs=1e-6)
    assert losses.texture(torch.full_like(checks, 0.5), checks) > 0.1
    blurred = 0.5 + 0.3 * (checks - 0.5)
    assert 0 < losses.texture(blurred, checks) < losses.texture(torch.full_like(checks, 0.5), checks)


def vgg19_state() -> dict[str, Tensor]:
    """Keys and shapes of torchvision's vgg19; the classifier, never asked for, is small here."""
    torch.manual_seed(0)
    widths = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
    widths |= dict.fromkeys((12, 14, 16), (256, 256)) | {19: (256, 512)}
    widths |= dict.fromkeys((21, 23, 25, 28, 30, 32, 34), (512, 512))
    state = {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}
    for layer, (inputs, outputs) in widths.items():
        state[f"features.{layer}.weight"] = torch.randn(outputs, inputs, 3, 3) * (2 / 9 / inputs) ** 0.5
        state[f"features.{layer}.bias"] = torch.zeros(outputs)
    return state


def test_vgg19_is_read_to_relu5_4_from_a_file_of_the_user(tmp_path: Path) -> None:
    state = vgg19_state()
    torch.save(state, tmp_path / "vgg19.pth")
    see = losses.read_vgg19(tmp_path / "vgg19.pth")
    assert isinstance(see.layers, nn.Sequential)
    assert len(see.layers) == 36
    picture = draw(1, 3, 32, 32)
    x = (picture - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    for layer in range(36):
        if f"features.{layer}.weight" in state:
            x = nn.functional.conv2d(x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1)
            x = x.relu()
        elif layer in (4, 9, 18, 27):
            x = nn.functional.max_pool2d(x, 2)
    assert x.shape == (1, 512, 2, 2)
    assert torch.allclose(see(picture), x / 12.75, atol=1e-5)
    assert not any(p.requires_grad for p in see.parameters())
    torch.save({key: value for key, value in state.items() if key != "features.34.bias"}, tmp_path / "vgg19.pth")
    with pytest.raises(WeightsError, match=r"weights for vgg19 lack 34\.bias|lack features\.34\.bias"):
        losses.read_vgg19(tmp_path / "vgg19.pth")
    torch.save([1], tmp_path / "vgg19.pth")
    with pytest.raises(WeightsError, match=r"vgg19\.pth is list"):
        losses.read_vgg19(tmp_path / "vgg19.pth")


def test_the_distance_of_features_teaches_the_first_picture_only() -> None:
    see = losses.our_features(2)
    sr, hr = draw(1, 3, 16, 16).requires_grad_(), draw(1, 3, 16, 15 + 1).flip(-1)
    assert losses.feature_distance(see, hr, hr) == 0
    torch.autograd.backward(losses.feature_distance(see, sr, hr))
    assert sr.grad is not None
    assert sr.grad.abs().max() > 0
    assert all(p.grad is None for p in see.parameters())


# -- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_a_run_writes_weights_with_the_facts_of_how_they_came_to_be(data: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    tiny = ["config.width=8", "config.blocks=1", "budget.patch=8"]
    tiny += ["discriminator.width=4", "discriminator.dense=8"] if name == "srgan" else []
    threads = ["--threads", str(torch.get_num_threads()), "--device", "cpu", "--batch", "2", "--steps", "2"]
    more = [word for change in tiny for word in ("--set", change)]
    command.main([name, "--data", str(data), "--out", str(out), *threads, *more])
    found = weights.load(out / f"{name}.safetensors")
    assert found.network == name
    assert (found.facts["steps"], found.facts["finished"]) == (2, True)
    assert "Set5 x4 Y" in found.facts["scores"]
    assert str(tmp_path) not in json.dumps(found.facts)
    if name == "srgan":
        assert found.facts["recipe"]["told"].startswith("no VGG19 file was given: no content loss")
        assert lines(out)[0]["recipe"]["told"] == found.facts["recipe"]["told"]


def test_a_pair_is_a_crop_and_the_same_crop_made_small(data: Path) -> None:
    recipe = recipe_of("srresnet")
    recipe.open(data)
    lr, hr = recipe.batch(np.random.default_rng(1))
    assert lr.shape == (2, 3, 8, 8)
    assert hr.shape == (2, 3, 32, 32)
    again = nn.functional.interpolate(hr, (8, 8), mode="bicubic", antialias=True)
    assert (again - lr)[..., 2:-2, 2:-2].abs().max() < 1.5 / 255
    same, other = (recipe.batch(np.random.default_rng(seed))[0] for seed in (1, 2))
    assert torch.equal(same, lr)
    assert not torch.equal(other, lr)


@pytest.mark.parametrize("judged_by", ["l1", "mse"])
def test_a_few_steps_of_the_pixel_stage_lower_its_loss(data: Path, judged_by: str) -> None:
    recipe, options = recipe_of("srresnet", judged_by=judged_by), Options(data, data)
    recipe.open(data)
    torch.manual_seed(0)
    run = loop.start(recipe, options)
    batch = recipe.batch(np.random.default_rng(0))
    found = [loop.step(recipe, run, batch, options, 10.0)[0].item() for _ in range(20)]
    assert found[-1] < found[0]
    assert run.adversary is None
    with pytest.raises(ValueError, match="no loss 'l3', known are l1, mse"):
        recipe_of("srresnet", judged_by="l3")


def begun(data: Path, **changed: Any) -> tuple[srgan.Recipe, Run, Options]:
    recipe, options = recipe_of(**changed), Options(data, data)
    recipe.open(data)
    torch.manual_seed(0)
    return recipe, loop.start(recipe, options), options


def test_each_network_learns_in_its_own_turn(data: Path) -> None:
    recipe, run, options = begun(data)
    batch = recipe.batch(np.random.default_rng(0))
    judge = {key: value.clone() for key, value in recipe.judge.named_parameters()}
    loss, _ = recipe.loss(run.network, batch)
    torch.autograd.backward(loss)
    assert all(p.grad is None for p in recipe.judge.parameters())
    generator = {key: value.clone() for key, value in run.network.named_parameters()}
    told = recipe.after_step(1.0)
    assert all(torch.equal(value, generator[key]) for key, value in run.network.named_parameters())
    assert any(not torch.equal(value, judge[key]) for key, value in recipe.judge.named_parameters())
    assert {"discriminator", "discriminator real", "discriminator fake", "rested"} == told.keys()
    _, parts = loop.step(recipe, run, batch, options, 1.0)
    assert {"pixel", "texture", "adversarial", "share adversarial", "weight adversarial", "rested"} <= parts.keys()
    assert any(not torch.equal(value, generator[key]) for key, value in run.network.named_parameters())


def test_the_discriminator_tells_photographs_from_grey_when_it_may(data: Path) -> None:
    recipe, _, _ = begun(data, discriminator_lr=5e-3, most_lead=2.0)
    hr = recipe.batch(np.random.default_rng(0))[1]
    for _ in range(30):
        recipe.shown = (hr, torch.full_like(hr, 0.5))
        told = recipe.after_step(1.0)
    assert told["discriminator real"] - told["discriminator fake"] > 0.3
    assert told["rested"] == 0


def test_a_discriminator_that_leads_sits_out(data: Path) -> None:
    recipe, run, _ = begun(data, most_lead=-2.0)
    before = {key: value.clone() for key, value in recipe.judge.named_parameters()}
    recipe.loss(run.network, recipe.batch(np.random.default_rng(0)))
    assert recipe.after_step(1.0)["rested"] == 1
    assert all(torch.equal(value, before[key]) for key, value in recipe.judge.named_parameters())


def test_the_adversarial_weight_moves_until_its_gradient_has_its_share(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srgan, "MEASURE_EVERY", 1)
    recipe, run, _ = begun(data, adversarial_share=0.4)
    batch = recipe.batch(np.random.default_rng(0))
    recipe.judge.eval()
    shares = []
    for _ in range(60):
        recipe.loss(run.network, batch)
        shares.append(recipe.shares["adversarial"])
    assert shares[0] < 0.2
    assert shares[-1] == pytest.approx(0.4, abs=0.02)
    assert sum(recipe.shares.values()) == pytest.approx(1)


def test_a_stopped_and_resumed_run_has_the_losses_of_one_never_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    monkeypatch.setattr(srgan, "MEASURE_EVERY", 2)
    recipe, whole, parts = recipe_of(steps=6), tmp_path / "whole", tmp_path / "parts"
    path, finished = loop.train(recipe, Options(data, whole))
    assert finished
    step = loop.step

    def stopping(one: Any, run: Run, *more: Any) -> Any:
        if run.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(one, run, *more)

    monkeypatch.setattr(loop, "step", stopping)
    assert not loop.train(recipe, Options(data, parts))[1]
    monkeypatch.setattr(loop, "step", step)
    other, finished = loop.train(recipe_of(steps=6), Options(data, parts, resume=True))
    assert finished
    numbers = [{line["step"]: line for line in lines(out) if "loss" in line} for out in (whole, parts)]
    assert numbers[0].keys() == numbers[1].keys() == set(range(1, 7))
    for number, line in numbers[0].items():
        assert {**line, "seconds": 0} == {**numbers[1][number], "seconds": 0}
    ends = [weights.load(one).state_dict for one in (path, other)]
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_the_adversarial_stage_starts_as_the_pixel_stage_ended(data: Path, tmp_path: Path) -> None:
    first, _ = loop.train(recipe_of("srresnet"), Options(data, tmp_path / "pixel"))
    recipe, options = recipe_of(), Options(data, tmp_path / "gan", init=first)
    recipe.open(data)
    run = loop.start(recipe, options)
    for key, value in weights.load(first).state_dict.items():
        assert torch.equal(run.network.state_dict()[key], value)
    assert provenance.facts_of(recipe, run, options)["started_from"] == "srresnet"


def test_a_vgg19_file_brings_the_content_loss_and_only_its_name_is_kept(data: Path, tmp_path: Path) -> None:
    torch.save(vgg19_state(), tmp_path / "vgg19.pth")
    words = ["srgan", "--data", str(data), "--device", "cpu", "--set", f"vgg={tmp_path / 'vgg19.pth'}"]
    words += ["--set", "feature_blocks=1", "--set", "discriminator.width=4", "--set", "discriminator.dense=8"]
    recipe = command.make_recipe(command.read_arguments([*words, "--set", "budget.patch=8", "--batch", "1"]))
    recipe = dataclasses.replace(recipe, config=TINY)
    recipe.open(data)
    torch.manual_seed(0)
    run = loop.start(recipe, Options(data, data))
    _, parts = recipe.loss(run.network, recipe.batch(np.random.default_rng(0)))
    assert parts["content"] > 0
    assert parts["features"] > 0
    assert recipe.shares["content"] > 0
    assert (recipe.vgg, recipe.told) == ("vgg19.pth", "content loss by VGG19, relu5_4, of the user's file")
    assert str(tmp_path) not in json.dumps(provenance.describe(recipe, run))


def test_a_photo_smaller_than_a_crop_is_named(tmp_path: Path) -> None:
    draw_photo(tmp_path / "train" / "photos" / "small.png", (20, 40), 0)
    recipe = recipe_of("srresnet")
    with pytest.raises(WeightsError, match=r"small\.png is 40x20, smaller than a crop of 32x32"):
        recipe.open(tmp_path)


@pytest.mark.parametrize("module", [srresnet, srgan])
def test_each_recipe_fits_an_hour_of_two_cores_and_slices_of_a_gpu(module: Any) -> None:
    assert module.BUDGETS["cpu"].minutes <= 60
    assert module.BUDGETS["cuda"].minutes <= 22
    assert module.BUDGETS["cuda"].slice_minutes <= 9


# -- serving ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both networks, whose cards are served."""
    for card, state in zip((SRRESNET, SRGAN), pair(), strict=True):
        file = Weights(card.name, dataclasses.asdict(SMALL), state, {})
        sha256 = weights.save(tmp_path / f"{card.name}.safetensors", file, torch.float32)
        monkeypatch.setitem(CARDS, card.name, dataclasses.replace(card, sha256=sha256))
    return tmp_path


def test_the_engine_serves_every_strength_and_keeps_the_last(served: Path) -> None:
    engine = Engine(device="cpu", precision="fp32", weights_dir=served)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    picture = Picture(pixels=pixels, alpha=None, icc=None, exif=None, format="png", lossy=False)

    def enlarge(model: str, strength: float = 1.0) -> Any:
        tick = lambda done, total: None  # noqa: E731
        return engine.upscale(picture, model=model, height=48, width=40, strength=strength, tick=tick).pixels

    ends = {"srresnet": enlarge("srresnet"), "srgan": enlarge("srgan")}
    assert np.array_equal(enlarge("srgan", 0.0), ends["srresnet"])
    assert all(not np.array_equal(enlarge("srgan", 0.5), end) for end in ends.values())
    assert engine.loaded() == ["srresnet", "srgan"]
    assert len(engine._models) == 3


def test_strength_is_refused_where_there_is_none(served: Path) -> None:
    assert blend_strength(CARDS["srgan"], 0.3, CARDS) == 0.3
    assert blend_strength(CARDS["liif"], 1.0, CARDS) is None
    with pytest.raises(ParameterError, match="liif has no strength; ask for model=srgan, which has"):
        blend_strength(CARDS["liif"], 0.3, CARDS)
    with pytest.raises(ParameterError, match="no strength below 1 where srresnet is not served"):
        blend_strength(CARDS["srgan"], 0.3, {"srgan": CARDS["srgan"]})


def test_a_blend_is_another_computation_when_either_network_is_another(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [computation_key("x", "upscale", CARDS["srgan"], {"strength": strength}) for strength in (0.3, 0.4)]
    monkeypatch.setitem(CARDS, "srresnet", dataclasses.replace(CARDS["srresnet"], sha256="0" * 64))
    keys.append(computation_key("x", "upscale", CARDS["srgan"], {"strength": 0.3}))
    assert len(set(keys)) == 3
