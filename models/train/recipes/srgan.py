"""SRGAN: a trained SRResNet (`--init`) learns to draw detail that a discriminator takes for a photograph's.

The generator's loss is a sum of named terms: `pixel` (as in `recipes.srresnet`), `texture` (as much detail as the
original, by wavelets), `content` (features of VGG19, where `--set vgg=FILE` brings torchvision's file of it; the log
says so where it does not), `features` (of our own encoder, `--set feature_blocks=4`) and `adversarial`.

What keeps the two networks in balance: logits and no sigmoid; real pictures are called real with 0.9; the discriminator
sits out a step while it leads by more than `most_lead`; and the weight of the adversarial term follows what its
gradient, measured where the picture leaves the generator, has of the whole (`adversarial_share`). The published setting
fixes that weight at 1e-3 and leaves the rest to luck. Spectral norms instead of the batch norms
(`--set discriminator.spectral=true`) kept the discriminator from learning anything in 800 steps.
Source: Ledig et al., CVPR 2017, sections 2.2 and 3.2; Salimans et al., NeurIPS 2016 (one-sided smoothing).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from models.layout import channels_last
from models.srgan import Discriminator, DiscriminatorConfig
from models.srresnet import Srresnet
from models.train import loop
from models.train.losses import feature_distance, our_features, read_vgg19, texture
from models.train.recipes import srresnet
from models.train.run import Budget

BUDGETS = {
    "cpu": Budget(minutes=60, batch=8, lr=1e-4, patch=24),
    "cuda": Budget(minutes=22, batch=32, lr=1e-4, patch=24, slice_minutes=9, workers=14),
}
PUBLISHED = DiscriminatorConfig()
FIRST_WEIGHT = 1e-2
MEASURE_EVERY = 20  # steps between two looks at the gradients
FASTEST_FALL, FASTEST_RISE = 0.5, 1.3  # of the adversarial weight at one look


@dataclass
class Recipe(srresnet.Recipe):
    """`pixel`, `texture`, `content`, `features` weigh the terms. `told` says what became of the content loss.

    `vgg` is a path when the recipe is made and the bare name of the file once it has been read.
    """

    name: str = "srgan"
    pixel: float = 1.0
    texture: float = 1.0
    content: float = 1.0
    features: float = 1.0
    vgg: str = ""
    feature_blocks: int = 0
    adversarial_share: float = 0.25
    real_label: float = 0.9
    most_lead: float = 0.5
    discriminator_lr: float = 1e-4
    discriminator: DiscriminatorConfig = PUBLISHED
    told: str = field(default="", init=False)

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.extractors: dict[str, nn.Module] = {}
        self.told = "no VGG19 file was given: no content loss; texture by wavelets stands in for it"
        if self.vgg:
            self.extractors["content"] = read_vgg19(Path(self.vgg))
            self.vgg = Path(self.vgg).name
            self.told = "content loss by VGG19, relu5_4, of the user's file"
        if self.feature_blocks:
            self.extractors["features"] = our_features(self.feature_blocks)
        return super().open(data, cache)

    # -- the generator -----------------------------------------------------------------------------------------------

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        lr, hr = batch
        assert isinstance(network, Srresnet)
        sr = network.enlarge(lr)
        self.shown = (hr, sr.detach())
        terms = self.terms(sr, hr)
        weighted = {name: self.weight_of(name) * term for name, term in terms.items()}
        if self.steps % MEASURE_EVERY == 0:
            self.measure(weighted, sr)
        parts = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(weighted.values())).sum(), parts | self.balance()

    def terms(self, sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """The terms of the generator's loss, not yet weighted."""
        self.judge.requires_grad_(False)
        terms = {"pixel": self.pixel_loss(sr, hr), "texture": texture(sr, hr)}
        terms |= {name: feature_distance(extractor, sr, hr) for name, extractor in self.extractors.items()}
        return terms | {"adversarial": F.softplus(-self.judge(sr).float()).mean()}

    def weight_of(self, name: str) -> float:
        return self.adversarial_weight if name == "adversarial" else float(getattr(self, name))

    def measure(self, weighted: dict[str, Tensor], sr: Tensor) -> None:
        """The share of each term in the gradient at the picture; the adversarial weight moves towards its own."""
        norms = {
            name: float(torch.autograd.grad(term, sr, retain_graph=True)[0].norm()) for name, term in weighted.items()
        }
        total = sum(norms.values())
        self.shares = {name: norm / total for name, norm in norms.items()}
        share = max(self.shares["adversarial"], 1e-6)
        odds = self.adversarial_share / (1 - self.adversarial_share)
        self.adversarial_weight *= min(max(odds * (1 - share) / share, FASTEST_FALL), FASTEST_RISE)

    def balance(self) -> dict[str, Tensor]:
        numbers = {f"share {name}": share for name, share in self.shares.items()}
        numbers["weight adversarial"] = self.adversarial_weight
        return {name: torch.tensor(value, device="cpu") for name, value in numbers.items()}

    # -- the discriminator -------------------------------------------------------------------------------------------

    def prepare(self, device: torch.device) -> None:
        """See `capabilities.Adversary`."""
        self.device = device
        config = dataclasses.replace(self.discriminator, side=self.budget.patch * self.config.scale)
        self.judge = channels_last(Discriminator(config).to(device))
        self.extractors = {name: extractor.to(device) for name, extractor in self.extractors.items()}
        self.optimizer = torch.optim.Adam(self.judge.parameters(), self.discriminator_lr, fused=True)
        self.steps, self.rests = 0, 0
        self.adversarial_weight = FIRST_WEIGHT
        self.shares = {}

    def after_step(self, rate: float) -> dict[str, Tensor]:
        """See `capabilities.Adversary`. The pictures are those that the generator was just judged by."""
        self.judge.requires_grad_(True)
        hr, sr = self.shown
        with loop.precision_context(self, self.device), parametrize.cached():
            real, fake = self.judge(hr).float(), self.judge(sr).float()
        loss = cross_entropy(real, self.real_label) + cross_entropy(fake, 0)
        seen = {"real": real.detach().sigmoid().mean(), "fake": fake.detach().sigmoid().mean()}
        if seen["real"] - seen["fake"] > self.most_lead:
            self.rests += 1
        else:
            self.learn(loss, rate)
        self.steps += 1
        rested = torch.tensor(self.rests / self.steps)
        return {"discriminator": loss.detach(), **{f"discriminator {k}": v for k, v in seen.items()}, "rested": rested}

    def learn(self, loss: Tensor, rate: float) -> None:
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.discriminator_lr
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """See `capabilities.Adversary`."""
        return {
            "judge": self.judge.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "rests": self.rests,
            "adversarial_weight": self.adversarial_weight,
            "shares": self.shares,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `capabilities.Adversary`."""
        self.judge.load_state_dict(state["judge"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps, self.rests = state["steps"], state["rests"]
        self.adversarial_weight, self.shares = state["adversarial_weight"], state["shares"]


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy of logits against one label."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
