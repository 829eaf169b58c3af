"""What a recipe or a network may be besides: which are, and that the loop asks them."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from models import catalog
from models.train import loop, recipes
from models.train.capabilities import Adversary, CustomOptimizer, Exported, GradientClipper, Scheduled, WarmStart
from models.train.recipes import liif
from models.train.run import Options
from tests.models.runs import SMALL, TINY

BESIDES: dict[str, set[type]] = {
    "airnet": {Scheduled, WarmStart},
    "airnet_u": {GradientClipper, Scheduled, WarmStart},
    "eclut": set(),
    "liif": set(),
    "liif_real": set(),
    "lmliif": {CustomOptimizer, GradientClipper, Scheduled, WarmStart},
    "lmliif_real": {CustomOptimizer, GradientClipper, Scheduled, WarmStart},
    "lut3d": set(),
    "srgan": {Adversary, WarmStart},
    "srresnet": {WarmStart},
}


def capabilities_of(thing: object) -> set[type]:
    kinds = Adversary, CustomOptimizer, Exported, GradientClipper, Scheduled, WarmStart
    return {kind for kind in kinds if isinstance(thing, kind)}


@pytest.mark.parametrize("name", [path.stem for path in Path(*recipes.__path__).glob("[a-z]*.py")])
def test_each_recipe_is_besides_what_the_loop_shall_ask_it_for(name: str) -> None:
    module = importlib.import_module(f"models.train.recipes.{name}")
    for budget in module.BUDGETS.values():
        assert capabilities_of(module.Recipe(budget)) == BESIDES[name]


def test_of_the_networks_the_restorers_keep_less_than_training_needs() -> None:
    keep_less = [name for name in catalog.NETWORKS if capabilities_of(catalog.build(name))]
    assert keep_less == ["airnet", "airnet-u"]


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
