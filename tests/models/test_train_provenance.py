"""How weights came to be, as their file says it, and what else weights of the right shapes may mean."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from models import weights
from models.train import __main__ as command
from models.train import loop, provenance
from models.train.data import Photos, find_photos
from models.train.run import Options
from tests.models.runs import MODULES, lines, small, words


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
