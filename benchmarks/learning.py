"""The render of a training step of LM-LIIF, its gradients included, beside torch's autograd over the plain one.

A batch of the recipe for the processor: 8 patches of 48x48 pixels, whose modulations are given, rendered to their
inner samples, and back to the modulations and all weights. It makes the contenders; `benchmarks.kernels` lets them take
turns. Torch alone means the render where nothing is compiled, in float32 and as the recipe runs it, under autocast to
bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.rounds import Contender
from kernels import cpu
from models.contract import Axis, View
from models.lmliif import Lmliif
from models.train.recipes.lmliif import BUDGETS, MARGIN

SCALES = (2.0, 3.7)
OURS = "lutra, as trained"
AUTOGRAD, AUTOCAST = "torch autograd", "torch autograd, bfloat16 where it casts"
YARDSTICKS = {"autograd": AUTOGRAD, "autograd in bfloat16": AUTOCAST}


class Plain(Lmliif):
    """As where nothing is compiled."""

    @property
    def has_training_kernel(self) -> bool:
        return False


def titles() -> dict[str, float]:
    return {f"render of a training step x{scale:g}": scale for scale in SCALES}


def contenders(scale: float, threads: Sequence[int]) -> list[Contender]:
    """Each with each number of threads; ours where it is compiled."""
    torch.manual_seed(0)
    compiled, plain = Lmliif(), Plain()
    torch.nn.init.normal_(compiled.render_out.weight, std=0.1)
    plain.load_state_dict(compiled.state_dict())
    ours = [] if cpu.why_missing() else [(OURS, compiled, False, "ours")]
    layers = (*ours, (AUTOGRAD, plain, False, "peer"), (AUTOCAST, plain, True, "peer"))
    inputs = draw_inputs(compiled, scale)
    return [
        Contender(name, partial(learnt, network, autocast, *inputs), n, role)
        for name, network, autocast, role in layers
        for n in threads
    ]


def draw_inputs(network: Lmliif, scale: float) -> tuple[Tensor, Tensor, View, Tensor]:
    """Modulations of patches, the base of their samples, where these lie, and their gradient."""
    generator = torch.Generator().manual_seed(0)
    budget = BUDGETS["cpu"]
    side = round(budget.patch * scale)
    start = round(MARGIN * side / budget.patch)
    axis = Axis(start, side - 2 * start, side, budget.patch, 0)
    base = torch.rand(budget.batch, 3, axis.count, axis.count, generator=generator)
    channels = network.latent_out.out_channels
    modulations = 0.3 * torch.randn(budget.batch, channels, budget.patch, budget.patch, generator=generator)
    grad = torch.randn(budget.batch, 3, axis.count, axis.count, generator=generator)
    return modulations.to(memory_format=torch.channels_last), base, View(axis, axis), grad


def learnt(
    network: Lmliif, autocast: bool, modulations: Tensor, base: Tensor, view: View, grad: Tensor
) -> tuple[Tensor, ...]:
    """The gradients by the modulations and the weights of the tiny perceptron."""
    leaf = modulations.detach().requires_grad_()
    weights = [value for name, value in network.named_parameters() if name.startswith("render_")]
    with torch.autocast("cpu", enabled=autocast):
        samples = network.render(leaf, base, view)
    return torch.autograd.grad(samples, [leaf, *weights], grad)
