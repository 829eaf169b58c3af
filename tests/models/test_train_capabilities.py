"""What a recipe may be besides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.train import loop
from models.train.recipes import liif
from models.train.run import Options
from tests.models.runs import SMALL, TINY


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
