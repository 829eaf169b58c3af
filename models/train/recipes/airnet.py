"""AirNet from clean photographs: one network that takes off noise, rain, haze and JPEG blocks, and leaves clean be.

Each batch holds as many samples of each of six kinds, drawn one after the other, whoever prepares it. A sample is two
patches of one photograph, spoilt in the same way (the same rain falls anew on each); the second serves the contrast
alone. At first only the contrast is learnt, then L1 of the restored patch, weighed by its kind, with a tenth of the
contrast. Patches are small at first and large at last, when the batch norms too are as in service. Real pairs of
`train/rain` and `train/haze` join where they are there.
Other than the published code: noise of any strength up to 75 besides the three published ones, rounded to 8 bits and
not cut off; JPEG and clean pictures; cosine rate and running average; all eight flips and turns. On a CPU the network
is smaller and works at half the sides, and everywhere it predicts the difference to its input
(`--set config.image_residual=false` for the paper's).
Source: Li et al., CVPR 2022, and its training code (kinds, patches, loss).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import weights as weight_files
from models.airnet import Airnet, AirnetConfig
from models.layout import channels_last
from models.moco import DegradationEncoder, ResidualBlock
from models.train import provenance, weather
from models.train.benchmarks import read_retouched
from models.train.data import Photos, Pixels, find_photos, holds_pictures, resize, turn
from models.train.degradations import FULL, GRID, HALVED, Range, Size, add_noise, through_jpeg
from models.train.recipes.srresnet import as_pictures, refuse_small
from models.train.run import Budget
from models.weights import Weights

BUDGETS = {
    "cpu": Budget(minutes=160, batch=6, lr=5e-4, patch=160),
    "cuda": Budget(minutes=22, batch=24, lr=4e-4, patch=128, slice_minutes=9, workers=14),
}
CONFIGS = {
    "cpu": AirnetConfig(
        width=48, groups=3, blocks=2, encoder=(48, 96, 128), contrast_dim=128, unshuffle=2, image_residual=True
    ),
    "cuda": AirnetConfig(image_residual=True),
}
KINDS = ("noise", "levels", "rain", "haze", "jpeg", "clean")
WEIGHTS = (0.8, 1.0, 1.2, 0.12, 3.0, 2.5)  # where a bright wall may be haze or none, rather let it be
Pairs = list[tuple[Pixels, Pixels]]


@dataclass(frozen=True)
class Damage:
    """How strong each kind is. `noise` and `levels`: sigma in levels of 255, of the kind that knows any and of the one
    that knows the published; `halved_chroma`: how often, of the JPEGs. `lossy_haze`: how often haze comes as a camera's
    JPEG, of `camera_quality`. `smooth`: how often a clean patch, or one that becomes a JPEG, is a smaller one enlarged,
    `enlarged` times: walls and skies have to stay too. `real_rain` and `real_haze`: how often these two come from a
    pair."""

    noise: Range = (0.0, 75.0)
    levels: tuple[float, ...] = (15.0, 25.0, 50.0)
    jpeg_quality: tuple[int, int] = (10, 90)
    halved_chroma: float = 0.75
    rain: weather.RainRange = weather.RainRange()  # noqa: RUF009
    haze: weather.HazeRange = weather.HazeRange()  # noqa: RUF009
    lossy_haze: float = 0.2
    camera_quality: tuple[int, int] = (70, 95)
    smooth: float = 0.5
    enlarged: Range = (1.5, 30.0)
    real_rain: float = 0.05
    real_haze: float = 0.25


@dataclass
class Recipe:
    """Shares are of the budget: `contrast_share` the first, for the contrast alone; `large_share` the last, with
    patches of `budget.patch` and resting batch norms, before which patches have `first_patch` pixels a side.
    `contrast` weighs its loss, `weights` the L1 of each kind: haze is by far the largest of errors, clean the smallest.
    """

    budget: Budget
    name: str = "airnet"
    ema: float = 0.999
    autocast: bool = True
    contrast: float = 0.1
    contrast_share: float = 0.02
    large_share: float = 0.25
    first_patch: int = 128
    weights: tuple[float, ...] = WEIGHTS
    damage: Damage = field(default_factory=Damage)
    config: AirnetConfig = CONFIGS["cpu"]

    def __post_init__(self) -> None:
        if self.budget.batch % len(KINDS):
            raise ValueError(f"a batch of {self.budget.batch} does not hold {len(KINDS)} kinds equally often")
        if len(self.weights) != len(KINDS):
            raise ValueError(f"{len(self.weights)} weights for {len(KINDS)} kinds")
        for side in (self.budget.patch, self.first_patch):
            if side % self.config.unshuffle:
                raise ValueError(f"patches of {side} pixels are no multiple of unshuffle {self.config.unshuffle}")
        self.share = 0.0
        self.inherited = False

    def network(self) -> nn.Module:
        return channels_last(Airnet(self.config, self.budget.batch))

    def inherit(self, begun: Weights, network: nn.Module) -> Weights:
        """See `capabilities.WarmStart`. Weight files have the served form, without what the contrast needs: that begins
        anew, never alone, and the batch norms, which are folded there, rest."""
        assert isinstance(network, Airnet)
        config = begun.config | {"contrast": True}
        if config != provenance.as_json(dataclasses.asdict(self.config)):
            return begun  # which is refused
        served = Airnet(dataclasses.replace(self.config, contrast=False))
        weight_files.fill(served, begun.state_dict, self.name)
        network.R.load_state_dict(served.R.state_dict())
        assert isinstance(network.E, DegradationEncoder)
        assert isinstance(served.E, ResidualBlock)
        for encoder in (network.E.E.encoder_q, network.E.E.encoder_k):
            encoder.E_pre.unfold(served.E)
        self.inherited, self.contrast_share = True, 0.0
        return Weights(self.name, config, network.state_dict(), begun.facts)

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return [{"params": learnt, "lr": self.budget.lr}]

    def begin_step(self, share: float) -> None:
        """See `capabilities.Scheduled`."""
        self.share = share

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.photos = Photos.read(find_photos(data), cache)
        self.odds = self.photos.odds()
        refuse_small(self.photos, self.budget.patch)
        self.pairs = {kind: read_pairs(data / "train" / kind) for kind in ("rain", "haze")}
        return self.photos.sha256

    # -- batches -----------------------------------------------------------------------------------------------------

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """query, key and what the query was before it was spoilt, (B, 3, P, P) each, as 8 bits hold them in [0, 1]."""
        samples = [self.sample(KINDS[index % len(KINDS)], rng) for index in range(self.budget.batch)]
        query, key, clean = (as_pictures(np.stack(column)) for column in zip(*samples, strict=True))
        return query, key, clean

    def sample(self, kind: str, rng: np.random.Generator) -> tuple[Pixels, Pixels, Pixels]:
        real = {"rain": self.damage.real_rain, "haze": self.damage.real_haze}.get(kind, 0.0)
        if real and self.pairs[kind] and rng.random() < real:
            return self.cut_pair(kind, rng)
        photo = self.photos.pixels[rng.choice(len(self.odds), p=self.odds)]
        which, corners = int(rng.integers(8)), [self.draw_corner(photo, rng) for _ in range(2)]
        clean = [self.cut(photo, corner) for corner in corners]
        if kind in ("clean", "jpeg") and rng.random() < self.damage.smooth:
            clean = self.enlarge(clean, rng)
        if kind == "haze":  # before the turn: the far is at the top of a photo
            hazy = self.add_haze(clean, corners, (photo.shape[0], photo.shape[1]), rng)
            lossy = rng.random() < self.damage.lossy_haze
            query, key = self.compress(hazy, rng, self.damage.camera_quality) if lossy else hazy
            return turn(query, which), turn(key, which), turn(clean[0], which)
        query, key = self.spoil(kind, [turn(crop, which) for crop in clean], rng)
        return query, key, turn(clean[0], which)

    def cut_pair(self, kind: str, rng: np.random.Generator) -> tuple[Pixels, Pixels, Pixels]:
        """Two places of a real pair; rain goes on falling downwards."""
        spoilt, target = self.pairs[kind][rng.integers(len(self.pairs[kind]))]
        which, corners = (
            int(rng.integers(2 if kind == "rain" else 8)),
            [self.draw_corner(target, rng) for _ in range(2)],
        )
        query, key = (turn(self.cut(spoilt, corner), which) for corner in corners)
        return query, key, turn(self.cut(target, corners[0]), which)

    def draw_corner(self, photo: Pixels, rng: np.random.Generator) -> Size:
        height, width = (side - self.budget.patch + 1 for side in photo.shape[:2])
        return int(rng.integers(height)), int(rng.integers(width))

    def cut(self, photo: Pixels, corner: Size) -> Pixels:
        side = self.budget.patch
        return photo[corner[0] : corner[0] + side, corner[1] : corner[1] + side]

    def spoil(self, kind: str, crops: list[Pixels], rng: np.random.Generator) -> list[Pixels]:
        """Crops of one photograph, spoilt alike and not the same."""
        if kind == "noise":
            sigma = rng.uniform(*self.damage.noise)
            return [add_noise(crop, sigma, 3, rng) for crop in crops]
        if kind == "levels":
            sigma = self.damage.levels[rng.integers(len(self.damage.levels))]
            return [add_noise(crop, sigma, 3, rng) for crop in crops]
        if kind == "rain":
            rain = weather.draw_rain(rng, self.damage.rain)
            return [weather.add_rain(crop, rain, rng) for crop in crops]
        if kind == "jpeg":
            return self.compress(crops, rng, self.damage.jpeg_quality)
        return crops

    def enlarge(self, crops: list[Pixels], rng: np.random.Generator) -> list[Pixels]:
        """The middle of each crop, as large as the whole; small and large enlargements equally often."""
        low, high = np.log(self.damage.enlarged)
        side = self.budget.patch
        middle = max(2, round(side / np.exp(rng.uniform(low, high))))
        begin = (side - middle) // 2
        return [resize(crop[begin : begin + middle, begin : begin + middle], (side, side)) for crop in crops]

    def compress(self, crops: list[Pixels], rng: np.random.Generator, qualities: tuple[int, int]) -> list[Pixels]:
        """Crops do not begin where blocks do."""
        quality = int(rng.integers(qualities[0], qualities[1] + 1))
        chroma = HALVED if rng.random() < self.damage.halved_chroma else FULL
        shifts = [(int(rng.integers(GRID)), int(rng.integers(GRID))) for _ in crops]
        return [through_jpeg(crop, quality, chroma, shift) for crop, shift in zip(crops, shifts, strict=True)]

    def add_haze(self, crops: list[Pixels], corners: list[Size], frame: Size, rng: np.random.Generator) -> list[Pixels]:
        """One haze over one scene, of which the crops are parts."""
        haze, scene = weather.draw_haze(rng, self.damage.haze), weather.draw_scene(rng, self.damage.haze)
        depths = [weather.distances(crop, scene, frame, corner) for crop, corner in zip(crops, corners, strict=True)]
        return [weather.add_haze(crop, haze, depth) for crop, depth in zip(crops, depths, strict=True)]

    # -- what is judged ----------------------------------------------------------------------------------------------

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(network, Airnet)
        late = self.share >= 1 - self.large_share
        if late or self.inherited:
            freeze_norms(network)
        side = self.budget.patch if late else self.first_patch
        query, key, clean = (patch[..., :side, :side] for patch in batch)
        logits, inter = network.contrast(query, key)
        contrast = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        if self.share < self.contrast_share:
            return contrast, {"contrast": contrast.detach()}
        restored = network.restore(query, inter)
        errors = (restored - clean).abs().mean((1, 2, 3))
        error = self.weigh(errors)
        parts = {"l1": errors.detach().mean(), "weighed": error.detach(), "contrast": contrast.detach()}
        return error + self.contrast * contrast, {**parts, **decibels(restored.detach(), clean)}

    def weigh(self, errors: Tensor) -> Tensor:
        """One number of the errors of the samples, each by the weight of its kind."""
        return (errors.view(-1, len(KINDS)) * torch.tensor(self.weights)).mean()


def read_pairs(folder: Path) -> Pairs:
    """(spoilt, clean) of a folder, none where it is not there."""
    return read_retouched(folder) if holds_pictures(folder / "input") else []


def freeze_norms(network: nn.Module) -> None:
    """Batch norms take the statistics that they have gathered, as in service."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def decibels(restored: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """PSNR of each kind, over its samples."""
    errors = (restored - clean).square().mean((1, 2, 3)).view(-1, len(KINDS)).mean(0)
    return {f"{kind} dB": -10 * error.log10() for kind, error in zip(KINDS, errors, strict=True)}
