"""AirNet's recipe: six kinds in every batch, two phases, the served form in the file; its scores and its sheet."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models import catalog, weights
from models.airnet import Airnet, AirnetConfig
from models.train import __main__ as command
from models.train import benchmarks, evaluate, loop, report, restoration, scores, sheet
from models.train.data import Photos, list_pictures, read_rgb
from models.train.recipes import airnet
from models.train.recipes.airnet import KINDS
from models.train.restoration import Restored
from models.train.run import Budget, Options, Run
from tests.models.brought import drawn_airnet

TINY = AirnetConfig(
    width=16, groups=1, blocks=1, encoder=(8, 12, 16), contrast_dim=16, unshuffle=2, image_residual=True
)
BUDGET = Budget(minutes=1, batch=6, lr=1e-3, patch=32, steps=6)


def small(**changed: Any) -> airnet.Recipe:
    return airnet.Recipe(BUDGET, **{"config": TINY, "first_patch": 16, **changed})


def opened(data: Path, **changed: Any) -> airnet.Recipe:
    recipe = small(**changed)
    recipe.open(data)
    return recipe


def draw(seed: int, *size: int) -> np.ndarray:
    return np.random.default_rng(seed).random(size)


# ---- Batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_holds_each_kind_equally_often_whatever_prepares_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    plain = airnet.Recipe.sample

    def sample(self: airnet.Recipe, kind: str, rng: np.random.Generator) -> Any:
        seen.append(kind)
        return plain(self, kind, rng)

    monkeypatch.setattr(airnet.Recipe, "sample", sample)
    recipe = opened(data)
    recipe = dataclasses.replace(recipe, budget=dataclasses.replace(recipe.budget, batch=12))
    recipe.open(data)
    for step in (5, 0, 5):
        seen.clear()
        batch = recipe.batch(np.random.default_rng((0, step)))
        assert seen == [*KINDS, *KINDS]
        assert [tensor.shape for tensor in batch] == [(12, 3, 32, 32)] * 3


def test_a_batch_follows_from_seed_and_step_and_processes_prepare_the_same(wet: Path) -> None:
    alone = opened(wet)
    shared = dataclasses.replace(alone, budget=dataclasses.replace(BUDGET, workers=2))
    shared.open(wet)
    batches = loop.load_batches(shared, Options(wet, wet, seed=3), 5)
    for step in (5, 6, 7):
        wanted = alone.batch(np.random.default_rng((3, step)))
        assert all(torch.equal(a, b) for a, b in zip(next(batches), wanted, strict=True))
    assert not torch.equal(wanted[0], alone.batch(np.random.default_rng((3, 8)))[0])


def test_a_batch_that_cannot_be_even_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.read_arguments(["airnet", "--data", str(data), "--device", "cpu", "--batch", "5"])
    assert "5 does not hold 6 kinds equally often" in capsys.readouterr().err
    with pytest.raises(ValueError, match="patches of 15 pixels"):
        small(first_patch=15)


def flat(recipe: airnet.Recipe, level: int = 120) -> airnet.Recipe:
    """Photographs of one grey: what differs from it is the damage."""
    grey = np.full((64, 64, 3), level, np.uint8)
    recipe.photos, recipe.odds = Photos(("grey",), (grey,), ""), np.ones(1)
    recipe.pairs = {"rain": [], "haze": []}
    return recipe


@pytest.mark.parametrize("kind", ["noise", "levels"])
def test_both_patches_have_noise_of_one_strength_drawn_anew(data: Path, kind: str) -> None:
    recipe, strengths = flat(opened(data)), []
    for seed in range(60):
        query, key, clean = recipe.sample(kind, np.random.default_rng(seed))
        assert (clean == 120).all()
        sigmas = [(patch.astype(float) - 120).std() for patch in (query, key)]
        if sigmas[0] > 4:
            assert not np.array_equal(query, key)
        assert sigmas[0] == pytest.approx(sigmas[1], rel=0.12, abs=0.5)
        strengths.append(sum(sigmas) / 2)
    if kind == "levels":
        assert {min((15, 25, 50), key=lambda level: abs(level - one)) for one in strengths} == {15, 25, 50}
        assert all(min(abs(level - one) / level for level in (15, 25, 50)) < 0.12 for one in strengths)
    else:
        assert min(strengths) < 8
        assert 55 < max(strengths) < 78


def test_both_patches_lie_in_one_air_and_see_its_depth(data: Path) -> None:
    """With no depth to speak of the two have one level; a clean patch is itself; JPEGs of grey stay grey."""
    recipe = flat(opened(data))
    even = dataclasses.replace(recipe.damage.haze, near=(1.0, 1.0))
    recipe.damage = dataclasses.replace(recipe.damage, haze=even)
    query, key, clean = recipe.sample("haze", np.random.default_rng(0))
    assert np.ptp(query) < 40
    assert np.array_equal(query, key)
    assert query.mean() > clean.mean() + 10
    query, _, clean = recipe.sample("clean", np.random.default_rng(0))
    assert np.array_equal(query, clean)


def test_haze_comes_as_the_jpeg_of_a_camera_as_often_as_told(data: Path) -> None:
    """The same draws with and without it: other pixels, the same scene."""
    recipe, hazy = opened(data), {}
    for often in (0.0, 1.0):
        recipe.damage = dataclasses.replace(recipe.damage, lossy_haze=often, real_haze=0.0)
        hazy[often] = recipe.sample("haze", np.random.default_rng(3))
    assert np.array_equal(hazy[0.0][2], hazy[1.0][2]), "what is wanted has no blocks"
    for plain, lossy in zip(hazy[0.0][:2], hazy[1.0][:2], strict=True):
        assert not np.array_equal(plain, lossy)
        assert abs(plain.astype(float).mean() - lossy.mean()) < 1


def test_clean_patches_are_smooth_as_often_as_told_and_stay_as_they_are(data: Path) -> None:
    recipe, rough = opened(data), []
    for often in (0.0, 1.0):
        recipe.damage = dataclasses.replace(recipe.damage, smooth=often, enlarged=(4.0, 4.0))
        query, key, clean = recipe.sample("clean", np.random.default_rng(5))
        assert query.shape == key.shape == clean.shape
        assert np.array_equal(query, clean)
        rough.append(np.abs(np.diff(query.astype(int), axis=0)).mean())
    assert rough[1] < 0.5 * rough[0]


def test_rain_falls_anew_on_the_second_patch(data: Path) -> None:
    recipe = flat(opened(data))
    query, key, clean = recipe.sample("rain", np.random.default_rng(3))
    assert (query >= clean).all()
    assert (key > 120).any()
    assert not np.array_equal(query, key)


def test_real_pairs_join_as_often_as_told_and_their_rain_falls_downwards(wet: Path) -> None:
    recipe = opened(wet, damage=airnet.Damage(real_rain=1.0, real_haze=1.0))
    for kind in ("rain", "haze"):
        down = np.arange(64 * 64).reshape(64, 64, 1) // 64 * np.ones(3, int)
        recipe.pairs[kind] = [(down.astype(np.uint8), down.astype(np.uint8))]
        falling = set()
        for seed in range(40):
            query, _, clean = recipe.sample(kind, np.random.default_rng(seed))
            assert np.array_equal(query, clean)  # of one place
            falling.add(bool(query[1, 0, 0] > query[0, 0, 0]))
        assert falling == ({True} if kind == "rain" else {True, False})
    absent = opened(wet, damage=airnet.Damage(real_rain=0.0, real_haze=0.0))
    absent.pairs = {}
    assert len(absent.batch(np.random.default_rng(0))) == 3


# ---- Phases ----------------------------------------------------------------------------------------------------------


def test_at_first_only_the_contrast_is_learnt_then_both(data: Path) -> None:
    recipe = opened(data)
    run = loop.start(recipe, Options(data, data))
    batch = recipe.batch(np.random.default_rng(0))

    def moved(share: float) -> tuple[bool, bool, set[str]]:
        before = {key: value.clone() for key, value in run.network.state_dict().items()}
        recipe.begin_step(share)
        _, parts = loop.step(recipe, run, batch, Options(data, data), 1.0)
        after = run.network.state_dict()
        differs = {key for key in before if not torch.equal(before[key], after[key])}
        names = [any(key.startswith(part) for key in differs) for part in ("R.", "E.E.encoder_q.E.")]
        return names[0], names[1], set(parts)

    assert moved(0.0) == (False, True, {"contrast"})
    assert moved(0.5) == (True, True, {"l1", "weighed", "contrast", *(f"{kind} dB" for kind in KINDS)})


def test_patches_grow_at_the_end_and_batch_norms_rest(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = opened(data)
    sides: list[int] = []
    plain = Airnet.restore

    def restore(self: Airnet, picture: torch.Tensor, inter: torch.Tensor | None = None) -> torch.Tensor:
        sides.append(picture.shape[-1])
        return plain(self, picture, inter)

    monkeypatch.setattr(Airnet, "restore", restore)
    network = recipe.network().train()
    batch = recipe.batch(np.random.default_rng(0))
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    for share in (0.5, 0.9):
        before = norm.running_mean.clone()  # type: ignore[union-attr]
        recipe.begin_step(share)
        recipe.loss(network.train(), batch)
        assert torch.equal(before, norm.running_mean) == (share == 0.9)  # type: ignore[arg-type]
    assert sides == [16, 32]


def test_a_few_steps_lower_the_loss(data: Path) -> None:
    recipe, options = opened(data), Options(data, data)
    torch.manual_seed(0)
    run = loop.start(recipe, options)
    recipe.begin_step(0.5)
    batch = recipe.batch(np.random.default_rng(0))
    told = [loop.step(recipe, run, batch, options, 1.0)[1]["weighed"].item() for _ in range(100)]
    assert np.mean(told[-5:]) < 0.9 * told[0], told


def test_a_run_can_begin_with_the_served_form_of_another(data: Path, tmp_path: Path) -> None:
    """And computes what that did, before the first step; the norms rest, and the contrast never has a phase alone."""
    taught = drawn_airnet(TINY).served()
    begun = weights.Weights("airnet", dataclasses.asdict(taught.config), taught.state_dict(), {})
    weights.save(tmp_path / "begun.safetensors", begun, torch.float32)
    recipe, options = opened(data), Options(data, data, init=tmp_path / "begun.safetensors")
    run = loop.start(recipe, options)
    assert isinstance(run.network, Airnet)
    picture = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        again = run.network.served()(picture)
        assert torch.allclose(again, taught(picture), atol=1e-5)
    mean = next(module for module in run.network.modules() if isinstance(module, nn.BatchNorm2d)).running_mean
    _, parts = loop.step(recipe, run, recipe.batch(np.random.default_rng(0)), options, 1.0)
    assert "l1" in parts
    assert mean is not None and not mean.any()
    other = opened(data, config=dataclasses.replace(TINY, blocks=TINY.blocks + 1))
    with pytest.raises(weights.WeightsError, match="was made with"):
        loop.start(other, options)


@pytest.mark.usefixtures("log_each_step")
def test_a_stopped_and_resumed_run_goes_through_all_phases_as_one_never_stopped(
    wet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = {"contrast_share": 0.3, "large_share": 0.4}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    path, _ = loop.train(small(**phases), Options(wet, whole))
    with monkeypatch.context() as during:
        during.setattr(loop, "progress", lambda run, budget: 1.0 if run.step == 3 else run.step / 6)
        loop.train(small(**phases), Options(wet, parts))
    other, finished = loop.train(small(**phases), Options(wet, parts, resume=True))
    assert finished
    told = [
        {line["step"]: line for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "loss" in line}
        for out in (whole, parts)
    ]
    assert [line["loss"] for line in told[0].values()] == [line["loss"] for line in told[1].values()]
    assert ["l1" in told[0][step] for step in range(1, 7)] == [False, False, True, True, True, True]
    ends = [weights.load(one).state_dict for one in (path, other)]
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_the_file_is_the_served_form_and_is_there_at_each_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    written: list[tuple[int, bool]] = []
    plain = loop.export

    def export(recipe: Any, run: Run, options: Options, facts: dict[str, Any]) -> Path:
        written.append((run.step, facts["finished"]))
        return plain(recipe, run, options, facts)

    monkeypatch.setattr(loop, "export", export)
    path, _ = loop.train(small(), Options(data, tmp_path / "run"))
    assert written == [*((step, step == 6) for step in range(1, 7)), (6, True)]
    found = weights.load(path)
    assert found.config["contrast"] is False
    assert not any("queue" in key or "encoder_k" in key or "running" in key for key in found.state_dict)
    network = catalog.build("airnet", found.config)
    weights.fill(network, found.state_dict, "airnet")
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["average"]
    trained = Airnet(TINY, batch=6)
    trained.load_state_dict(state)
    picture = torch.from_numpy(draw(0, 1, 3, 20, 22)).float()
    with torch.inference_mode():
        apart = network.eval()(picture) - trained.eval()(picture)
    assert apart.abs().max() < 2e-3  # half precision


def test_it_trains_wholly_on_the_device_of_its_batch(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor made elsewhere would be refused by the device `meta`."""
    recipe = opened(data)
    recipe.begin_step(0.0)
    batch = tuple(tensor.to("meta") for tensor in recipe.batch(np.random.default_rng(0)))
    monkeypatch.setattr("models.moco.Moco.enqueue", lambda self, codes: None)  # reads a number
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: __import__("contextlib").nullcontext())
    with torch.device("meta"):
        loss, _ = recipe.loss(recipe.network(), batch)
        torch.autograd.backward(loss)
    assert loss.device.type == "meta"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_each_device_has_a_network_and_a_budget_of_its_own(data: Path, device: str) -> None:
    given = command.read_arguments(["airnet", "--data", str(data), "--device", device])
    recipe = command.make_recipe(given)
    full = recipe.config.width == 64 and recipe.config.groups == recipe.config.blocks == 5
    assert full == (device == "cuda")
    assert recipe.budget.minutes <= (22 if device == "cuda" else 160)
    assert recipe.budget.batch % len(KINDS) == 0


# ---- Scores ----------------------------------------------------------------------------------------------------------


def slow_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, one window after the other."""
    found = []
    for top in range(x.shape[0] - 6):
        for left in range(x.shape[1] - 6):
            a, b = (p[top : top + 7, left : left + 7].ravel() for p in (x, y))
            c = np.cov(a, b, ddof=1)
            likeness = (2 * a.mean() * b.mean() + 1e-4) * (2 * c[0, 1] + 9e-4)
            found.append(likeness / ((a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (c[0, 0] + c[1, 1] + 9e-4)))
    return float(np.mean(found))


def test_ssim_of_restoration_is_that_of_uniform_windows_and_samples() -> None:
    x = draw(0, 19, 23)
    y = (x + 0.2 * np.random.default_rng(1).standard_normal(x.shape)).clip(0, 1)
    assert scores.ssim_uniform(x, y) == pytest.approx(slow_ssim(x, y), abs=1e-12)
    assert scores.ssim_uniform(x, x) == pytest.approx(1)
    assert abs(scores.ssim_uniform(x, y) - scores.ssim(x, y)) > 1e-3
    colour = scores.ssim_uniform(np.stack([x, x, y], -1), np.stack([x, y, y], -1))
    assert colour == pytest.approx((2 + scores.ssim_uniform(x, y)) / 3)


class Unchanged(nn.Module):
    """Gives back what it was given, a little too bright for the range."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.where(picture > 0.999, picture + 1, picture)


def test_a_model_that_does_nothing_scores_what_its_input_does(wet: Path) -> None:
    rows = restoration.evaluate_restorer("airnet", Unchanged(), benchmarks.published_trials(wet))  # type: ignore[arg-type]
    found = {(row.set, row.damage): row for row in rows if isinstance(row, Restored)}
    for (_, damage), row in found.items():
        assert row.ssim == pytest.approx(row.ssim_input)
        assert (row.psnr_input is None) == (damage == "clean")
        if row.psnr_input is not None:
            assert row.psnr == pytest.approx(row.psnr_input, abs=1e-5)
    noisy = found["CBSD68", "sigma 25"]
    assert noisy.pictures == 2
    assert noisy.psnr == pytest.approx(20.5, abs=1)
    told = evaluate.scores_of(list(rows), "airnet")
    assert told["CBSD68 sigma 25 RGB"] == told["CBSD68 sigma 25 RGB input"] == round(noisy.psnr, 2)
    assert "kodak24 clean RGB input" not in told
    text = report.restored_table([row for row in rows if isinstance(row, Restored)])
    assert f"| CBSD68, 2 | sigma 25 | **{noisy.psnr:.2f}** | {noisy.psnr:.2f} | 31.26 |" in text
    assert "| sots_indoor20, 1 | haze (pairs, not the published protocol) |" in text


def test_rows_of_restoration_are_kept_and_joined(tmp_path: Path) -> None:
    row = Restored("airnet", "CBSD68", "sigma 25", 68, 29.5, 0.85, 20.4, 0.4, 4000.0)
    clean = dataclasses.replace(row, set="kodak24", damage="clean", psnr_input=None)
    places = report.Places(tmp_path / "results", tmp_path / "RESULTS.md", tmp_path / "scores")
    before = report.Report("airnet", "a", "cpu", "fp32", "2026-01-01", (row, clean))
    report.write(before, places)
    assert report.read(places.results / "airnet.json") == before
    again = dataclasses.replace(before, rows=(dataclasses.replace(row, psnr=30.0),))
    joined = report.write(again, places).rows
    assert [one.psnr for one in joined if isinstance(one, Restored)] == [30.0, 29.5]
    assert "| CBSD68, 68 | sigma 25 | **30.00** |" in places.tables.read_text()


def test_a_run_is_measured_at_its_end_and_a_look_is_not_kept(
    wet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, threads = tmp_path / "run", ["--threads", str(torch.get_num_threads())]
    shrunk = [f"config.{key}" for key in ("width=16", "groups=1", "blocks=1", "encoder=[8,12,16]", "contrast_dim=16")]
    changed = [word for key in (*shrunk, "budget.patch=32", "first_patch=16") for word in ("--set", key)]
    command.main(
        ["airnet", "--data", str(wet), "--out", str(out), "--device", "cpu", "--steps", "2", *changed, *threads]
    )
    path = out / "airnet.safetensors"
    assert "CBSD68 sigma 25 RGB" in weights.load(path).facts["scores"]
    words = ["evaluate", "airnet", "--data", str(wet), "--weights", str(path), "--device", "cpu", *threads]
    capsys.readouterr()
    command.main([*words, "--first", "1", "--sets", "CBSD68"])
    assert "| CBSD68, 1 | sigma 50 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main([*words, "--first", "1", "--keep"])


def test_a_sheet_shows_the_weather_that_training_draws(wet: Path, tmp_path: Path) -> None:
    photo = str(list_pictures(wet / "bench" / "kodak24")[0])
    command.main(["sheet", photo, photo, "-o", str(tmp_path / "sheet.png"), "--weather", "--side", "36"])
    found = np.asarray(Image.open(tmp_path / "sheet.png"))
    cell = 36 + sheet.GAP
    assert found.shape == (sheet.HEAD + 2 * cell, sheet.GAP + 5 * cell, 3)
    shown = [found[sheet.HEAD : sheet.HEAD + 36, left : left + 36] for left in range(sheet.GAP, 5 * cell, cell)]
    assert np.array_equal(shown[0], sheet.crop(read_rgb(Path(photo)), 36))
    assert len({one.tobytes() for one in shown}) == 5
    assert all((rain >= shown[0]).all() for rain in shown[1:3]), "rain adds light"
