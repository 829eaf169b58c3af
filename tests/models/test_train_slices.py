"""A run whose folder travels: slice after slice, each where nothing but its state is, up to the end of its budget."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import weights
from models.train import __main__ as command
from models.train import slices
from tests.models.runs import words


def slice_words(data: Path, place: Path, state: Path, *more: str) -> list[str]:
    return ["slice", *words("liif", data, place / "run", "--state", str(state), *more)]


def test_slices_on_one_machine_after_another_come_to_the_end_of_the_budget(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(slices, "PART_BYTES", 1 << 16)
    state = tmp_path / "state"
    for number, said in enumerate(("holds no run: it begins", "goes on", "goes on")):
        place, taken = tmp_path / f"machine{number}", tmp_path / f"state{number}"
        more = [] if number == 2 else ["--slice-minutes", "1e-9"]
        command.main(slice_words(data, place, taken, "--from", str(state), "--steps", "2", *more))
        told = capsys.readouterr().out
        assert said in told
        assert ("it is done" in told) == (number == 2)
        assert 1 < len(list(taken.iterdir())) <= slices.MOST_PARTS
        assert max(path.stat().st_size for path in taken.iterdir()) <= slices.PART_BYTES
        state = taken
    command.main(words("liif", data, tmp_path / "alone", "--steps", "2"))
    ends = [
        weights.load(one / "liif.safetensors").state_dict for one in (tmp_path / "machine2/run", tmp_path / "alone")
    ]
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_a_run_that_lies_here_and_did_not_come_with_the_state_is_not_taken_for_it(data: Path, tmp_path: Path) -> None:
    command.main(words("liif", data, tmp_path / "run", "--steps", "1"))
    with pytest.raises(SystemExit, match="holds a run and"):
        command.main(slice_words(data, tmp_path, tmp_path / "state", "--steps", "2"))
    assert not (tmp_path / "state").exists()


def test_what_does_not_fit_into_the_parts_is_refused_and_what_lay_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    run.mkdir()
    (run / "checkpoint.pt").write_bytes(b"as it was")
    before = [path.read_bytes() for path in slices.pack(run, state)]
    monkeypatch.setattr(slices, "PART_BYTES", 1000)
    with pytest.raises(OSError, match="at most"):
        slices.pack(run, state)
    assert [path.read_bytes() for path in slices.parts_of(state)] == before


def test_parts_that_are_no_longer_needed_are_gone_and_one_that_is_missing_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "PART_BYTES", 20_000)
    run, state = tmp_path / "run", tmp_path / "state"
    run.mkdir()
    (run / "checkpoint.pt").write_bytes(bytes(90_000))
    assert len(slices.pack(run, state)) > 4
    (run / "checkpoint.pt").write_bytes(bytes(30_000))
    assert 1 < len(slices.pack(run, state)) == len(list(state.iterdir())) <= 3
    slices.unpack(state, tmp_path / "other")
    assert (tmp_path / "other" / "checkpoint.pt").read_bytes() == bytes(30_000)
    slices.parts_of(state)[0].unlink()
    with pytest.raises(OSError, match="not all parts"):
        slices.unpack(state, tmp_path / "third")
