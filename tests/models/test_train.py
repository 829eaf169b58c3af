from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import weights
from models.classical import KERNELS, Resampler
from models.lut3d import Lut3D
from models.train import __main__ as command
from models.train import evaluate, loop, scores
from models.train.data import Photos, list_pictures, read_rgb, resize, turn
from models.train.recipes import liif, lut3d


def draw_photo(path: Path, size: tuple[int, int], seed: int) -> None:
    """Smooth colours and some grain, (height, width)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth = np.asarray(small.resize((size[1], size[0]), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.integers(-20, 21, (*size, 3))
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder laid out like the real one, with drawn pictures."""
    root = tmp_path / "data"
    for k in range(3):
        draw_photo(root / "train" / "photos" / f"p{k}.png", (64 + k, 80), k)
        draw_photo(root / "train" / "retouch" / "input" / f"r{k}.png", (50, 60), 10 + k)
        draw_photo(root / "train" / "retouch" / "target" / f"r{k}.png", (50, 60), 20 + k)
        draw_photo(root / "bench" / "Set5" / "HR" / f"b{k}.png", (48, 61), 30 + k)
        draw_photo(root / "bench" / "kodak24" / f"k{k}.png", (40, 60), 40 + k)
        draw_photo(root / "bench" / "fivek9" / "input" / f"f{k}.png", (40, 60), 50 + k)
        draw_photo(root / "bench" / "fivek9" / "target" / f"f{k}.png", (40, 60), 60 + k)
    draw_teacher(root / "weights" / "ia3dlut_fivek_paired")
    return root


def draw_teacher(folder: Path) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(5)
    teacher = Lut3D()
    torch.save({str(k): {"LUT": teacher.luts.data[k]} for k in range(3)}, folder / "LUTs.pth")
    torch.save(teacher.classifier.state_dict(), folder / "classifier.pth")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liif, "BATCH", 2)
    monkeypatch.setattr(liif, "PATCH", 12)
    monkeypatch.setattr(liif, "QUERIES", 20)
    monkeypatch.setattr(lut3d, "BATCH", 2)
    monkeypatch.setattr(lut3d, "PAIR_EVERY", 2)


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["liif", "lut3d"])
def test_a_run_writes_weights_with_the_facts_of_how_they_came_to_be(data: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    words = [name, "--data", str(data), "--out", str(out), "--steps", "2", "--seed", "7"]
    words += ["--threads", str(torch.get_num_threads())]
    command.main(words)
    found = weights.load(out / f"{name}.safetensors")
    assert found.network == name
    assert (found.facts["steps"], found.facts["seed"]) == (2, 7)
    assert found.facts["data_sha256"] == Photos.read(data / "train" / "photos").sha256
    assert {"commit", "seconds", "lr", "recipe", "torch"} <= found.facts.keys()
    assert str(tmp_path) not in json.dumps(found.facts)
    assert [line["event"] for line in lines(out) if "event" in line] == ["start", "end"]


def test_a_stopped_run_goes_on_where_it_was_and_a_new_one_starts_from_weights(data: Path, tmp_path: Path) -> None:
    recipe, out = liif.Recipe(), tmp_path / "run"
    first = loop.train(recipe, loop.Options(data, out, 1, steps=1))
    options = loop.Options(data, out, 1, steps=3, resume=True)
    assert weights.load(loop.train(recipe, options)).facts["steps"] == 3
    fresh = loop.start(recipe, loop.Options(data, tmp_path / "other", 1, init=first))
    assert fresh.step == 0
    for key, value in weights.load(first).state_dict.items():
        assert torch.equal(fresh.network.state_dict()[key], value)


def test_a_batch_follows_from_seed_and_step_alone(data: Path) -> None:
    for recipe in (liif.Recipe(), lut3d.Recipe()):
        recipe.open(data)
        for a, b in zip(
            recipe.batch(np.random.default_rng((1, 4))), recipe.batch(np.random.default_rng((1, 4))), strict=True
        ):
            assert torch.equal(torch.nan_to_num(a, -1.0), torch.nan_to_num(b, -1.0))
        other = recipe.batch(np.random.default_rng((1, 5)))
        assert not torch.equal(recipe.batch(np.random.default_rng((1, 4)))[0], other[0])


def test_a_few_steps_lower_the_loss_of_each_recipe(data: Path) -> None:
    for recipe in (liif.Recipe(), lut3d.Recipe()):
        recipe.open(data)
        torch.manual_seed(0)
        run = loop.start(recipe, loop.Options(data, data, 1))
        batch = recipe.batch(np.random.default_rng(0))
        recipe.batch = lambda rng, batch=batch: batch  # type: ignore[method-assign]
        losses = []
        for _ in range(20):
            torch.manual_seed(1)  # the same dropout each time
            losses.append(loop.step(recipe, run, 0, 1e-4)[0])
        assert losses[-1] < losses[0]


def test_the_patches_are_what_the_paper_cuts(data: Path) -> None:
    recipe = liif.Recipe()
    recipe.open(data)
    lr, out_size, rows, cols, hr = recipe.batch(np.random.default_rng(3))
    assert lr.shape == (2, 3, 12, 12)
    assert hr.shape == (2, 3, 20)
    assert ((out_size >= 12) & (out_size <= 48)).all()
    assert (rows < out_size[:, :1]).all()
    assert (cols < out_size[:, 1:]).all()
    flat = rows * out_size[:, 1:] + cols
    assert all(len(set(one.tolist())) == 20 for one in flat)


def test_the_teacher_is_asked_for_photos_and_the_retoucher_for_pairs(data: Path) -> None:
    recipe = lut3d.Recipe()
    recipe.open(data)
    rng = np.random.default_rng(0)
    assert torch.isnan(recipe.photo(rng)[1]).all()
    seen, target = recipe.pair(rng)
    assert seen.shape == target.shape == (1, 3, 256, 256)
    assert not torch.isnan(target).any()


def test_the_rate_rises_shortly_and_falls_to_nothing() -> None:
    assert loop.cosine(0) < 0.02
    assert loop.cosine(0.01) > 0.99
    assert loop.cosine(0.5) == pytest.approx(0.5)
    assert loop.cosine(1.0) == pytest.approx(0, abs=1e-12)


def test_the_average_moves_towards_the_network() -> None:
    average, network = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = torch.lerp(average.weight, network.weight, 0.25).detach()
    loop.follow(average, network, 0.75)
    assert torch.allclose(average.weight, wanted)


def test_eight_turns_are_eight_pictures() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert len({(turn(picture, k).shape, turn(picture, k).tobytes()) for k in range(8)}) == 8


def test_a_folder_without_pictures_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures"):
        list_pictures(tmp_path)


def test_psnr_is_what_the_formula_says() -> None:
    a = np.zeros((4, 4, 3))
    assert scores.psnr(a, a) == math.inf
    assert scores.psnr(a, a + 0.1) == pytest.approx(20)
    grey = np.full((8, 8, 3), 0.5)
    assert scores.luma(grey)[0, 0] == pytest.approx((16 + 219 * 0.5) / 255)
    spoilt = grey.copy()
    spoilt[:2] = 1
    assert scores.psnr_rgb(spoilt, grey, 2) == math.inf
    assert scores.psnr_y(grey + 0.1, grey, 1) == pytest.approx(20 - 20 * math.log10(219 / 255))


def test_our_bicubic_scores_what_pillows_scores(data: Path) -> None:
    found = evaluate.evaluate_upscaler(Resampler(KERNELS["bicubic"]), data, ("Set5",), (2,))
    assert found["Set5 x2 Y"] == pytest.approx(found["Set5 x2 Y bicubic"], abs=0.3)
    assert set(found) == {"Set5 x2 Y", "Set5 x2 RGB", "Set5 x2 Y bicubic", "Set5 x2 RGB bicubic"}


def test_the_given_small_pictures_are_used_where_there_are_some(data: Path) -> None:
    folder = data / "bench" / "Set5"
    black = Image.new("RGB", (30, 24))
    (folder / "LRx2").mkdir()
    for path in list_pictures(folder / "HR"):
        black.save(folder / "LRx2" / path.name)
    assert all(not lr.any() and hr.shape == (48, 60, 3) for lr, hr in evaluate.pairs(folder, 2))
    hr = read_rgb(folder / "HR" / "b0.png")
    lr, cropped = next(evaluate.pairs(folder, 3))
    assert np.array_equal(lr, resize(hr[:48, :60], (16, 20)))
    assert cropped.shape == (48, 60, 3)


def test_scores_are_kept_in_the_header_and_the_tensors_stay(data: Path, tmp_path: Path) -> None:
    path = loop.train(lut3d.Recipe(), loop.Options(data, tmp_path / "run", 1, steps=1))
    before = weights.load(path)
    words = ["evaluate", "lut3d", "--data", str(data), "--weights", str(path), "--keep"]
    command.main([*words, "--threads", str(torch.get_num_threads())])
    after = weights.load(path)
    assert after.facts["scores"].keys() >= {"fivek9 RGB", "kodak24 RGB against teacher"}
    assert all(torch.equal(after.state_dict[key], value) for key, value in before.state_dict.items())


def test_a_retoucher_is_measured_against_its_teacher_and_the_expert(data: Path) -> None:
    teacher = lut3d.read_teacher(data / "weights" / "ia3dlut_fivek_paired")
    found = evaluate.evaluate_lut3d(teacher, teacher, data)
    assert found["kodak24 RGB against teacher"] == math.inf
    assert found["fivek9 RGB"] == found["fivek9 RGB teacher"]
