from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from models import weights
from models.train import __main__ as command
from models.train import journal, loop, provenance, schedule
from models.train.data import Photos, find_photos
from models.train.degradations import Degradation
from models.train.recipes import liif, liif_real
from models.train.run import Options, Run
from tests.models.runs import MODULES, SMALL, TINY, curve, lines, small, stop_after, words


@pytest.mark.parametrize("name", MODULES)
def test_a_run_writes_weights_with_the_facts_of_how_they_came_to_be(data: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    command.main(words(name, data, out, "--steps", "2", "--seed", "7"))
    found = weights.load(out / f"{name}.safetensors")
    assert found.network == name
    assert (found.facts["steps"], found.facts["seed"], found.facts["finished"]) == (2, 7, True)
    assert found.facts["data_sha256"] == Photos.read(find_photos(data)).sha256
    assert {"commit", "seconds", "device", "torch", "scores"} <= found.facts.keys()
    assert ("fivek9 RGB" if name == "lut3d" else "Set5 x4 JPEG 75 Y") in found.facts["scores"]
    fields = {field.name for field in dataclasses.fields(MODULES[name].Recipe)}
    assert found.facts["recipe"].keys() == fields
    assert found.facts["recipe"]["budget"]["batch"] == 2
    assert str(tmp_path) not in json.dumps(found.facts)
    assert [line["event"] for line in lines(out) if "event" in line] == ["start", "end"]


@pytest.mark.usefixtures("log_each_step")
@pytest.mark.parametrize("name", MODULES)
def test_a_stopped_and_resumed_run_has_the_losses_of_one_never_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe, whole, parts = small(name, steps=6), tmp_path / "whole", tmp_path / "parts"
    path, finished = loop.train(recipe, Options(data, whole))
    assert finished
    with monkeypatch.context() as during:
        stop_after(during, 3)
        handler = signal.getsignal(signal.SIGTERM)
        _, finished = loop.train(recipe, Options(data, parts))
        assert signal.getsignal(signal.SIGTERM) is handler
    assert not finished
    assert weights.load(parts / f"{name}.safetensors").facts["steps"] == 3
    assert lines(parts)[-1]["event"] == "stopped"
    other, finished = loop.train(recipe, Options(data, parts, resume=True))
    assert finished
    assert curve(whole).keys() == curve(parts).keys() == set(range(1, 7))
    assert max(abs(curve(whole)[step] - curve(parts)[step]) for step in range(1, 7)) == 0
    ends = [weights.load(one).state_dict for one in (path, other)]
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_a_slice_ends_after_its_minutes_and_the_next_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command.main(words("liif", data, out, "--steps", "2", "--slice-minutes", "0.00001"))
    assert weights.load(out / "liif.safetensors").facts["steps"] == 1
    command.main(words("liif", data, out, "--steps", "2", "--resume"))
    assert weights.load(out / "liif.safetensors").facts["steps"] == 2


def test_processes_beside_this_one_prepare_the_same_batches(data: Path) -> None:
    recipe = small("liif-real", workers=2)
    recipe.open(data)
    options = Options(data, data, seed=3)
    alone = small("liif-real")
    alone.open(data)
    batches = loop.load_batches(recipe, options, 5)
    for step in (5, 6, 7):
        wanted = alone.batch(np.random.default_rng((3, step)))
        assert all(torch.equal(a, b) for a, b in zip(next(batches), wanted, strict=True))


def test_a_run_starts_from_the_weights_of_another_model_of_the_same_network(data: Path, tmp_path: Path) -> None:
    first, _ = loop.train(small("liif"), Options(data, tmp_path / "run"))
    options = Options(data, tmp_path / "other", init=first)
    fresh = loop.start(small("liif-real"), options)
    assert fresh.step == 0
    for key, value in weights.load(first).state_dict.items():
        assert torch.equal(fresh.network.state_dict()[key], value)
    facts = provenance.facts_of(small("liif-real"), fresh, options)
    assert (facts["started_from"], facts["started_from_sha256"]) == ("liif", provenance.sha256_of(first))


def test_weights_that_mean_something_else_are_refused_though_they_fit(data: Path, tmp_path: Path) -> None:
    first, _ = loop.train(small("liif"), Options(data, tmp_path / "run"))
    kept = weights.load(first)
    weights.save(first, dataclasses.replace(kept, config=kept.config | {"bilinear_base": False}))
    with pytest.raises(weights.WeightsError, match="made with bilinear_base False, this recipe has True"):
        loop.start(small("liif"), Options(data, tmp_path / "other", init=first))


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_kept() -> None:
    with pytest.raises(FloatingPointError, match="nan"):
        loop.read_numbers({"loss": torch.tensor(float("nan"))})


def test_a_batch_follows_from_seed_and_step_alone(data: Path) -> None:
    for name in MODULES:
        recipe = small(name)
        recipe.open(data)
        one, same, other = (recipe.batch(np.random.default_rng(key)) for key in ((1, 4), (1, 4), (1, 5)))
        assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(one, same, strict=True))
        assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize("name", MODULES)
def test_a_few_steps_lower_the_loss_of_each_recipe(data: Path, name: str) -> None:
    recipe, options = small(name), Options(data, data)
    recipe.open(data)
    torch.manual_seed(0)
    run = loop.start(recipe, options)
    batch = recipe.batch(np.random.default_rng(0))
    losses = [loop.step(recipe, run, batch, options, 1.0)[0].item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_liif_trains_wholly_on_the_device_of_its_batch(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device `meta` holds no numbers (nor does it know autocast), but refuses tensors of another device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    recipe = small("liif")
    recipe.open(data)
    batch = tuple(tensor.to("meta") for tensor in recipe.batch(np.random.default_rng(0)))
    with torch.device("meta"):
        loss, _ = recipe.loss(recipe.network(), batch)
        loss.backward()
    assert loss.device.type == "meta"


def test_the_patches_are_what_the_paper_cuts(data: Path) -> None:
    recipe = small("liif")
    recipe.open(data)
    lr, out_size, rows, cols, hr = recipe.batch(np.random.default_rng(3))
    assert lr.shape == (2, 3, 12, 12)
    assert hr.shape == (2, 3, 20)
    assert ((out_size >= 12) & (out_size <= 48)).all()
    assert (rows < out_size[:, :1]).all()
    assert (cols < out_size[:, 1:]).all()
    flat = rows * out_size[:, 1:] + cols
    assert all(len(set(one.tolist())) == 20 for one in flat)


def test_for_real_photos_only_what_the_network_sees_is_spoilt(data: Path) -> None:
    clean, real = small("liif"), small("liif-real")
    for recipe in (clean, real):
        recipe.open(data)
    plain = dataclasses.replace(real.degradation, blur=0, noise=0, jpeg=0, bicubic=1)
    unspoilt = liif_real.Recipe(real.budget, degradation=plain)
    unspoilt.photos, unspoilt.odds = real.photos, real.odds
    for seed in range(5):
        hr = clean.photos.pixels[0][:30, :30]
        assert np.array_equal(
            unspoilt.shrink(hr, np.random.default_rng(seed)), clean.shrink(hr, np.random.default_rng(0))
        )
    spoilt = [real.shrink(hr, np.random.default_rng(seed)) for seed in range(5)]
    assert all(not np.array_equal(one, clean.shrink(hr, np.random.default_rng(0))) for one in spoilt)


def test_the_teacher_is_asked_for_photos_and_the_retoucher_for_pairs(data: Path) -> None:
    recipe = small("lut3d")
    recipe.open(data)
    rng = np.random.default_rng(0)
    assert torch.isnan(recipe.photo(rng)[1]).all()
    seen, target = recipe.pair(rng)
    assert seen.shape == target.shape == (1, 3, 256, 256)
    assert not torch.isnan(target).any()
    network = recipe.network()
    network.load_state_dict(recipe.teacher.state_dict())
    photos, _ = recipe.photo(rng)
    _, parts = recipe.loss(network, (photos, torch.full_like(photos, torch.nan)))
    assert parts["picture"] == parts["table"] == 0
    _, parts = recipe.loss(network, (seen, target))
    assert parts["picture"] > 0
    assert parts["table"] == 0


@pytest.mark.parametrize("name", MODULES)
def test_each_recipe_fits_two_hours_of_two_cores_and_slices_of_a_gpu(name: str) -> None:
    budgets = MODULES[name].BUDGETS
    assert budgets["cpu"].minutes <= 120
    assert budgets["cuda"].minutes <= 22
    assert budgets["cuda"].slice_minutes <= 9


def test_the_command_line_changes_any_field_and_refuses_what_does_not_fit(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["liif-real", "--data", str(data), "--device", "cpu"]
    more = ["--lr", "0.001", "--set", "degradation.jpeg=1", "--set", "degradation.jpeg_quality=[50,60]"]
    recipe = command.make_recipe(command.read_arguments([*given, *more]))
    assert recipe.budget.lr == 0.001
    assert recipe.degradation == dataclasses.replace(Degradation(), jpeg=1, jpeg_quality=(50, 60))
    for wrong in ("speed=3", "degradation.jpeg=often", "ema=[1]", "degradation=3"):
        with pytest.raises(SystemExit):
            command.read_arguments([*given, "--set", wrong])
    assert "no field 'speed', known are budget, name" in capsys.readouterr().err


def test_the_rate_rises_shortly_and_falls_to_nothing() -> None:
    assert schedule.cosine(0) < 0.02
    assert schedule.cosine(0.01) > 0.99
    assert schedule.cosine(0.5) == pytest.approx(0.5)
    assert schedule.cosine(1.0) == pytest.approx(0, abs=1e-12)


def test_a_rate_with_a_decay_is_constant_before_it() -> None:
    budget = dataclasses.replace(SMALL["liif"], decay=0.2)
    assert schedule.rate_at(0, budget) < 0.02
    assert schedule.rate_at(0.01, budget) == schedule.rate_at(0.5, budget) == schedule.rate_at(0.79, budget) == 1
    assert schedule.rate_at(0.85, budget) == pytest.approx(0.5)  # 1 - sqrt(1/4)
    assert schedule.rate_at(0.95, budget) < schedule.rate_at(0.9, budget) < 0.5
    assert schedule.rate_at(1.0, budget) == schedule.rate_at(1.2, budget) == 0
    assert schedule.rate_at(0.5, SMALL["liif"]) == pytest.approx(0.5)


@pytest.mark.usefixtures("log_each_step")
def test_a_run_that_is_over_goes_on_from_before_its_decay_when_it_is_given_more(data: Path, tmp_path: Path) -> None:
    out, long = tmp_path / "slices", tmp_path / "long"
    first, second = small("liif", steps=8, decay=0.5), small("liif", steps=16, decay=0.5)
    loop.train(first, Options(data, out))
    decayed = curve(out)
    path, finished = loop.train(second, Options(data, out, resume=True))
    assert finished
    assert weights.load(path).facts["steps"] == 16
    other, _ = loop.train(second, Options(data, long))
    # Step 5 is the last at the whole rate; what the first slice did after it is gone, as if it had never been.
    assert [line["step"] for line in lines(out) if "step" in line and "loss" in line] == [*range(1, 9), *range(6, 17)]
    assert curve(long) == {**decayed, **curve(out)}
    ends = [weights.load(one).state_dict for one in (path, other)]
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


@pytest.mark.usefixtures("log_each_step")
def test_a_run_stopped_in_its_decay_goes_on_with_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, whole, parts = small("liif", steps=8, decay=0.5), tmp_path / "whole", tmp_path / "parts"
    loop.train(recipe, Options(data, whole))
    with monkeypatch.context() as during:
        stop_after(during, 7)
        loop.train(recipe, Options(data, parts))
    loop.train(recipe, Options(data, parts, resume=True))
    assert [line["step"] for line in lines(parts) if "loss" in line] == list(range(1, 9))
    assert curve(parts) == curve(whole)


def test_a_recipe_may_clip_before_the_optimiser_steps(data: Path, tmp_path: Path) -> None:
    class Clipping(liif.Recipe):
        def clip(self, network: torch.nn.Module) -> None:
            for value in network.parameters():
                assert value.grad is not None
                value.grad.zero_()

    recipe = Clipping(SMALL["liif"], config=TINY)
    run = loop.start(recipe, Options(data, tmp_path))
    before = {key: value.clone() for key, value in run.network.state_dict().items()}
    recipe.open(data)
    loop.step(recipe, run, recipe.batch(np.random.default_rng(0)), Options(data, tmp_path), 1.0)
    assert all(torch.equal(value, before[key]) for key, value in run.network.state_dict().items())


def test_the_budget_is_counted_in_steps_where_it_has_some_else_in_minutes(data: Path) -> None:
    run = Run(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), None, step=5, seconds=30)  # type: ignore[arg-type]
    assert schedule.progress(run, dataclasses.replace(SMALL["liif"], steps=20)) == 0.25
    assert schedule.progress(run, dataclasses.replace(SMALL["liif"], steps=None, minutes=2)) == 0.25
    assert schedule.time_left_s(run, dataclasses.replace(SMALL["liif"], steps=20), 2.0) == 30
    assert schedule.time_left_s(run, dataclasses.replace(SMALL["liif"], steps=None, minutes=2), 2.0) == 90


def test_the_average_moves_towards_the_network() -> None:
    average, network = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = torch.lerp(average.weight, network.weight, 0.25).detach()
    loop.update_average(average, network, 0.75)
    assert torch.allclose(average.weight, wanted)


def test_the_curves_stand_in_tensorboard_where_it_is(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with journal.Journal(tmp_path, "liif") as told:
        for step in (50, 100):
            told.step(step, 1.0, 0.5, 60.0, 1e-4, {"loss": step / 1000})
    found = loader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(one.step, round(one.value, 6)) for one in found.Scalars("loss")] == [(50, 0.05), (100, 0.1)]


def test_what_is_missing_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no photographs below"):
        command.main(words("liif", tmp_path, tmp_path / "run"))
    with pytest.raises(SystemExit, match="lie neither fivek9 nor kodak24"):
        command.main(["evaluate", "lut3d", "--data", str(tmp_path), "--threads", str(torch.get_num_threads())])
    with pytest.raises(SystemExit, match=r"gone\.safetensors is missing"):
        command.main(["evaluate", "liif", "--data", str(tmp_path), "--weights", str(tmp_path / "gone.safetensors")])


def test_time_is_told_as_a_clock_does() -> None:
    assert [journal.clock(seconds) for seconds in (-3, 9, 90, 3661)] == ["0:00", "0:09", "1:30", "1:01:01"]


def test_a_second_run_does_not_write_over_the_first_unasked(data: Path, tmp_path: Path) -> None:
    loop.train(small("liif"), Options(data, tmp_path / "run"))
    with pytest.raises(FileExistsError, match="--resume goes on with it"):
        loop.train(small("liif"), Options(data, tmp_path / "run"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [(["--seed", "5"], "seed 0"), (["--set", "config.bilinear_base=false"], "bilinear_base True")],
)
def test_a_run_is_resumed_as_it_was_begun(data: Path, tmp_path: Path, changed: list[str], said: str) -> None:
    run = words("liif", data, tmp_path / "run", "--no-scores", "--steps")
    command.main([*run, "2"])
    with pytest.raises(SystemExit, match=f"was begun with {said}"):
        command.main([*run, "4", "--resume", *changed])
    command.main([*run, "4", "--resume"])
    assert weights.load(tmp_path / "run" / "liif.safetensors").facts["steps"] == 4


def test_what_is_no_number_is_not_kept(data: Path, tmp_path: Path) -> None:
    run = words("liif", data, tmp_path / "run", "--no-scores", "--steps", "6", "--lr", "1e30")
    with pytest.raises(SystemExit, match="the loss has become"):
        command.main(run)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    "asked",
    [
        ("--steps", "0"),
        ("--minutes", "-1"),
        ("--minutes", "nan"),
        ("--lr", "nan"),
        ("--batch", "0"),
        ("--workers", "-1"),
        ("--set", "budget.patch=-4"),
        ("--set", "ema=abc"),
    ],
)
def test_a_budget_that_nothing_can_be_learnt_with_is_a_sentence(
    data: Path, tmp_path: Path, asked: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command.main([*words("liif", data, tmp_path / "run"), *asked])
    assert asked[1].partition("=")[2] or asked[1] in f"{left.value.code}{capsys.readouterr().err}"
    assert left.value.code != 0
    assert not (tmp_path / "run").exists()
