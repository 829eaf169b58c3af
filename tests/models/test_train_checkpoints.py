"""The state of a run in a file: stopped, resumed, given more; what is not gone on with."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from models import weights
from models.train import __main__ as command
from models.train import loop
from models.train.run import Options
from tests.models.runs import MODULES, curve, lines, small, stop_after, words


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
