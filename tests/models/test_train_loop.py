from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from models import weights
from models.train import __main__ as command
from models.train import loop
from models.train.run import Options
from tests.models.runs import MODULES, small, words


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


def test_the_average_moves_towards_the_network() -> None:
    average, network = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = torch.lerp(average.weight, network.weight, 0.25).detach()
    loop.update_average(average, network, 0.75)
    assert torch.allclose(average.weight, wanted)


def test_what_is_missing_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no photographs below"):
        command.main(words("liif", tmp_path, tmp_path / "run"))
    with pytest.raises(SystemExit, match="lie neither fivek9 nor kodak24"):
        command.main(["evaluate", "lut3d", "--data", str(tmp_path), "--threads", str(torch.get_num_threads())])
    with pytest.raises(SystemExit, match=r"gone\.safetensors is missing"):
        command.main(["evaluate", "liif", "--data", str(tmp_path), "--weights", str(tmp_path / "gone.safetensors")])


def test_a_second_run_does_not_write_over_the_first_unasked(data: Path, tmp_path: Path) -> None:
    loop.train(small("liif"), Options(data, tmp_path / "run"))
    with pytest.raises(FileExistsError, match="--resume goes on with it"):
        loop.train(small("liif"), Options(data, tmp_path / "run"))
