"""AirNet with a wide view, from clean photographs and drawings: what people's pictures suffer from, and none of it.

Each batch holds as many samples of each of eight kinds (`models.train.damage`), or more of those that learn slowly. A
sample is two crops of two pictures, spoilt in the same way: the second, of another picture, serves the contrast alone,
so that the code tells damage and not content. Beside each crop goes its whole picture, reduced, under the same air. A
share of the samples is asked for one kind alone: the kind's mean code conditions the restorer, and what is wanted still
has the other damage.
Besides the logarithm of the error (PSNR) and the contrast, a map of where something is wrong is learnt as such, and by
a layer on the code, which kinds there are: the drawing knows them, and without its gradient the code told none of them
after a thousand steps. A correction that the map holds at nothing has no gradient to become better by, and as long as
the map cannot tell what is clean it is cheapest to hold all: so at first both can be learnt apart. Patches are small at
first and large in the last part of the run, when the encoder's batch norms rest. The rate is constant and falls at the
end of the budget.
Sources: Li et al., CVPR 2022 (contrast, one of each kind in a batch); Chen et al., ECCV 2022 (network).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import weights as weight_files
from models.airnet_u import KINDS as LABELS
from models.airnet_u import AirnetU, AirnetUConfig, weigh
from models.layout import channels_last
from models.look import CROP_SIDE, Look
from models.train import damage, made, provenance, sound
from models.train.damage import KINDS, SOUND, Damage, Place
from models.train.data import Photos, Pixels, find_photos
from models.train.recipes.airnet import freeze_norms, read_pairs
from models.train.recipes.lmliif import photo_odds
from models.train.recipes.srresnet import as_pictures, refuse_small
from models.train.run import Budget
from models.train.schedule import decays
from models.train.views import around, flipped, reduced, toned, tones
from models.weights import Weights

BUDGETS = {
    "cpu": Budget(minutes=240, batch=8, lr=1e-3, patch=192, decay=0.2),
    "cuda": Budget(minutes=60, batch=64, lr=1e-3, patch=256, slice_minutes=9, workers=14, decay=0.2),
}
CONFIGS = {
    "cpu": AirnetUConfig(),
    "cuda": AirnetUConfig(width=24, down=(1, 1, 2, 3), middle=1, up=(1, 1, 1, 2)),
}
LEAST, LEAST_AT_END = (4 / 255) ** 2, (1 / 255) ** 2  # of a mean square error
LOWERED = 0.5, 0.8  # shares of the budget between which the one becomes the other
TEN_OVER_LOG = 10 / math.log(10)
FOLLOWED = 0.98  # share of the running means that stays at each step
WRONG = 1 / 255  # of a mean difference over 7x7 pixels: from here on something is wrong there
SEEN = 0.25 / 255  # a damage that changes less, a JPEG of a flat field for instance, is told as none
KEPT = 0.99  # share of the mean code of a kind that stays at each step
JOINS = 1 / 8  # how often the restorer takes part in a step during a head start, and so follows the codes
NONE = -1
ALONE = 1 / 2  # how often what is close is seen with nothing around it
SHARES = {"clean": sound.CLEAN, "patterns": sound.PATTERNS}  # of what nothing falls on


@dataclass(frozen=True)
class Sample:
    """What is shown, its whole picture, what is wanted, and for the contrast another crop spoilt alike, and its whole.

    `only`: of LABELS, which alone is to be taken off, else NONE. `told`: which of LABELS are there, 0 or 1.
    """

    query: Pixels
    whole: Pixels
    wanted: Pixels
    key: Pixels
    key_whole: Pixels
    only: int
    told: tuple[int, ...]


@dataclass
class Recipe:
    """`large_share` of the budget, the last: patches of `budget.patch`, and norms that rest; before that of
    `first_patch`. `contrast`, `certainty`, `telling` weigh the other losses beside that of the picture; `freely` the
    error, on what is spoilt, of the correction that no certainty holds back, until the rate falls. `head_start`: share
    of the budget, the first, in which the encoder learns to tell kinds in each step and the restorer joins one in
    eight. `apart`: share of the budget, the first, in which correction and certainty are learnt apart: what is spoilt
    is judged as if no certainty held the correction back, what is clean by the certainty alone.
    `asked`: share of the samples of which one kind alone is to be taken off. `grey`: share without colour.
    `kinds`: of the samples of a batch, one after the other; what is named twice is there twice as often;
    `patterns` are clean ones that nothing but a pattern or one colour fills.
    `close`: share of the crops of photographs beside which less than the whole is shown (`views.around`).
    `developed`: share of the photographs whose tones are drawn anew (`views.tones`).
    `real_rain`, `real_haze`: how often these two come from a pair of `train/rain`, `train/haze`. `lossless`: share of
    the photographs from files that were no JPEGs, whose blocks would be taught as sound.
    """

    budget: Budget
    name: str = "airnet-u"
    ema: float = 0.999
    autocast: bool = True
    contrast: float = 0.1
    certainty: float = 0.2
    telling: float = 0.1
    freely: float = 0.0
    head_start: float = 0.0
    apart: float = 0.0
    large_share: float = 0.25
    first_patch: int = 128
    longest_gradient: float = 1.0
    asked: float = 0.15
    grey: float = 0.15
    kinds: tuple[str, ...] = KINDS
    close: float = 0.0
    developed: float = 0.0
    real_rain: float = 0.05
    real_haze: float = 0.25
    lossless: float = 0.6
    ranges: damage.Ranges = field(default_factory=damage.Ranges)
    config: AirnetUConfig = CONFIGS["cpu"]

    def __post_init__(self) -> None:
        known = dict.fromkeys((*KINDS, *SOUND))
        if unknown := {*self.kinds} - {*known}:
            raise ValueError(f"kinds {', '.join(sorted(unknown))} are unknown; known are {', '.join(known)}")
        if not self.kinds or self.budget.batch % len(self.kinds):
            count = len(self.kinds) or "no"
            raise ValueError(f"a batch of {self.budget.batch} does not hold {count} kinds equally often")
        self.share = 0.0
        self.inherited = False
        self.means: Tensor | None = None

    def network(self) -> nn.Module:
        return channels_last(AirnetU(self.config, self.budget.batch))

    def inherit(self, begun: Weights, network: nn.Module) -> Weights:
        """See `capabilities.WarmStart`. As of `recipes.airnet`: weight files have the served form; the contrast's twin
        begins as its equal, its queue anew, and the batch norms, which are folded there, rest."""
        assert isinstance(network, AirnetU)
        config = begun.config | {"contrast": True}
        if config != provenance.as_json(dataclasses.asdict(self.config)):
            return begun  # which is refused
        served = AirnetU(dataclasses.replace(self.config, contrast=False))
        weight_files.fill(served, begun.state_dict, self.name)
        network.take_up(served)
        self.inherited = True
        return Weights(self.name, config, network.state_dict(), begun.facts)

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return [{"params": learnt, "lr": self.budget.lr}]

    def begin_step(self, share: float) -> None:
        """See `capabilities.Scheduled`."""
        self.share = share

    def clip(self, network: nn.Module) -> None:
        """See `capabilities.GradientClipper`."""
        nn.utils.clip_grad_norm_(network.parameters(), self.longest_gradient)

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.photos = Photos.read(find_photos(data), cache)
        self.odds = photo_odds(self.photos, self.lossless)
        refuse_small(self.photos, self.budget.patch)
        self.wholes = [reduced(photo) for photo in self.photos.pixels]
        self.pairs = {kind: read_pairs(data / "train" / kind) for kind in ("rain", "haze")}
        return self.photos.sha256

    # -- batches -----------------------------------------------------------------------------------------------------

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """query, its whole picture, what is wanted, key, its whole: (B, 3, side, side) each in [0, 1]; then which kind
        alone is asked for (B,) and which are there (B, kinds)."""
        samples = [self.sample(self.kinds[index % len(self.kinds)], rng) for index in range(self.budget.batch)]
        names = ("query", "whole", "wanted", "key", "key_whole")
        pictures = (as_pictures(np.stack([getattr(one, name) for one in samples])) for name in names)
        only = torch.tensor([one.only for one in samples])
        return *pictures, only, torch.tensor([one.told for one in samples], dtype=torch.float32)

    def sample(self, kind: str, rng: np.random.Generator) -> Sample:
        real = {"rain": self.real_rain, "haze": self.real_haze}.get(kind, 0.0)
        if real and self.pairs[kind] and rng.random() < real:
            return self.cut_pair(kind, rng)
        grey = kind not in ("rain", "haze") and rng.random() < self.grey
        damages = damage.draw(kind, rng, self.ranges, grey=grey)
        only = int(rng.integers(len(LABELS))) if rng.random() < self.asked else NONE
        left = [one for one in damages if only != NONE and one.label != LABELS[only]]

        clean, whole, place = self.draw_clean(kind, damages, grey, rng)
        other, other_whole, other_place = self.draw_clean(kind, damages, grey, rng)
        seeds = {id(one): int(rng.integers(1 << 60)) for one in damages}
        stages, wanted = damage.spoil(clean, damages, place, seeds), damage.spoil(clean, left, place, seeds)[-1]
        key = damage.spoil(other, damages, other_place, {name: seed + 1 for name, seed in seeds.items()})[-1]
        far, key_far = (damage.spoil_far(pixels, damages, rng) for pixels in (whole, other_whole))
        return Sample(stages[-1], far, wanted, key, key_far, only, labels_of(stages, damages))

    def draw_clean(
        self, kind: str, damages: Sequence[Damage], grey: bool, rng: np.random.Generator
    ) -> tuple[Pixels, Pixels, Place]:
        """A crop, its whole picture and where it lies in it; upright where the weather is to fall."""
        outdoors = any(one.label in ("rain", "haze") for one in damages)
        number, which = int(rng.choice(len(self.odds), p=self.odds)), int(rng.integers(2 if outdoors else 8))
        photo, whole = flipped(self.photos.pixels[number], which), flipped(self.wholes[number], which)
        place = Place((photo.shape[0], photo.shape[1]), self.draw_corner(photo, rng))
        around_it = self.view(photo, whole, place.corner, rng)
        crop, *views = self.develop([self.cut(photo, place.corner), *around_it], rng)
        crop, is_photo = sound.draw(crop, sound.OUTDOORS if outdoors else SHARES.get(kind, sound.SPOILT), rng)
        whole = views[0] if views and is_photo else reduced(crop)
        return (made.grey(crop), made.grey(whole), place) if grey else (crop, whole, place)

    def cut_pair(self, kind: str, rng: np.random.Generator) -> Sample:
        """Two places of a real pair; rain goes on falling downwards."""
        spoilt, clean = self.pairs[kind][rng.integers(len(self.pairs[kind]))]
        which = int(rng.integers(2 if kind == "rain" else 8))
        spoilt, clean = self.develop([flipped(spoilt, which), flipped(clean, which)], rng)
        corners = [self.draw_corner(clean, rng) for _ in range(2)]
        query, key = (np.ascontiguousarray(self.cut(spoilt, corner)) for corner in corners)
        whole = reduced(spoilt)
        around_them = [self.view(spoilt, whole, corner, rng) for corner in corners]
        views = [seen[0] if seen else reduced(crop) for seen, crop in zip(around_them, (query, key), strict=True)]
        wanted, told = np.ascontiguousarray(self.cut(clean, corners[0])), tuple(int(label == kind) for label in LABELS)
        return Sample(query, views[0], wanted, key, views[1], NONE, told)

    def view(self, photo: Pixels, whole: Pixels, corner: tuple[int, int], rng: np.random.Generator) -> list[Pixels]:
        """What is shown beside the crop at `corner`: the whole, or less of it, reduced as that is; none: it alone."""
        if self.close == 0 or rng.random() >= self.close:
            return [whole]
        return [] if rng.random() < ALONE else [reduced(around(photo, corner, self.budget.patch, rng))]

    def develop(self, alike: Sequence[Pixels], rng: np.random.Generator) -> list[Pixels]:
        """Parts of one picture, contiguous, as they are or under the same tones."""
        if self.developed == 0 or rng.random() >= self.developed:
            return [np.ascontiguousarray(pixels) for pixels in alike]
        table = tones(rng)
        return [toned(pixels, table) for pixels in alike]

    def draw_corner(self, photo: Pixels, rng: np.random.Generator) -> tuple[int, int]:
        height, width = (side - self.budget.patch + 1 for side in photo.shape[:2])
        return int(rng.integers(height)), int(rng.integers(width))

    def cut(self, photo: Pixels, corner: tuple[int, int]) -> Pixels:
        side = self.budget.patch
        return photo[corner[0] : corner[0] + side, corner[1] : corner[1] + side]

    # -- what is judged ----------------------------------------------------------------------------------------------

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(network, AirnetU)
        late = self.share >= 1 - self.large_share
        if late or self.inherited:
            freeze_norms(network)
        side = self.budget.patch if late else min(self.first_patch, self.budget.patch)
        query, wanted = (patch[..., :side, :side] for patch in (batch[0], batch[2]))
        only, told = batch[5:]
        logits, codes = network.contrast(look_of(batch[0], batch[1]), look_of(batch[3], batch[4]))
        contrast = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        telling = F.binary_cross_entropy_with_logits(network.tell_kinds(codes), told)
        follow_kinds(network, codes.detach(), told)
        loss, parts = self.contrast * contrast + self.telling * telling, {"contrast": contrast, "telling": telling}
        if self.is_alone():
            return loss, {name: value.detach() for name, value in parts.items()}

        correction, sure = network.propose(query, conditions(network, codes, only))
        least = LEAST_AT_END if self.inherited else least_at(self.share)
        errors = log_errors(query + weigh(sure) * correction, wanted, least)
        certainty = F.binary_cross_entropy_with_logits(sure, where_wrong(query, wanted))
        free = (log_errors(query + correction, wanted, least) * is_spoilt(query, wanted)).mean()
        parts |= {"error": errors.mean(), "certainty": certainty, "free": free}
        loss = loss + self.certainty * certainty + self.of_the_picture(parts["error"], free)
        return loss, {name: value.detach() for name, value in parts.items()} | self.follow_losses(errors.detach())

    def of_the_picture(self, error: Tensor, free: Tensor) -> Tensor:
        """By how much of the error that came out, and of that without the certainty, the restorer is judged now."""
        if self.share < self.apart:
            return free
        return error if decays(self.share, self.budget) else error + self.freely * free

    def is_alone(self) -> bool:
        """Whether the encoder learns alone in this step; the loop seeds torch by the step."""
        return self.share < self.head_start and float(torch.rand((), device="cpu")) >= JOINS

    def follow_losses(self, errors: Tensor) -> dict[str, Tensor]:
        """The loss of each kind, a running mean: that of one step is of a picture or two."""
        now = errors.view(-1, len(self.kinds)).mean(0)
        self.means = now if self.means is None else self.means.lerp(now, 1 - FOLLOWED)
        at = {kind: [place for place, one in enumerate(self.kinds) if one == kind] for kind in self.kinds}
        return {f"{kind} dB": -TEN_OVER_LOG * self.means[places].mean() for kind, places in at.items()}


def log_errors(restored: Tensor, wanted: Tensor, least: float = LEAST) -> Tensor:
    """The logarithm of each sample's mean square error, (N,); what falls far below `least` counts no more.

    So that each kind counts alike, of which haze has a thousand times the error of a good JPEG. With half a level as
    the least from the start, as with L1 and weights for the clean, those that came in sound hold all the others at
    their place; with four levels to the end they are left four levels off.
    """
    return ((restored - wanted).square().mean((1, 2, 3)) + least).log()


def least_at(share: float) -> float:
    """The least error that counts: LEAST while repairing is learnt, then less and less, down to LEAST_AT_END."""
    lowered = min(1.0, max(0.0, (share - LOWERED[0]) / (LOWERED[1] - LOWERED[0])))
    return float(LEAST * (LEAST_AT_END / LEAST) ** lowered)


def labels_of(stages: Sequence[Pixels], damages: Sequence[Damage]) -> tuple[int, ...]:
    """Which of LABELS are there to be seen."""
    changes = [np.abs(after.astype(np.float32) - before).mean() for before, after in pairwise(stages)]
    seen = {one.label for one, change in zip(damages, changes, strict=True) if change > 255 * SEEN}
    return tuple(int(label in seen) for label in LABELS)


def look_of(crops: Tensor, wholes: Tensor) -> Look:
    """One crop a picture, as large as those of service: the middle of the patch."""
    begin = max(0, (crops.shape[-1] - CROP_SIDE) // 2)
    middle = slice(begin, begin + CROP_SIDE)
    return Look(crops[:, None, :, middle, middle], wholes)


def conditions(network: AirnetU, codes: Tensor, only: Tensor) -> Tensor:
    """Each sample's own code, or the mean one of the kind that alone is asked for."""
    means = F.normalize(network.kind_codes.float(), dim=1)[only.clamp(min=0)]
    return torch.where((only == NONE)[:, None], codes, means)


@torch.no_grad()
def follow_kinds(network: AirnetU, codes: Tensor, told: Tensor) -> None:
    """The mean code of each kind moves towards those of the samples that have that kind alone."""
    alone = told * (told.sum(1, keepdim=True) == 1)
    count = alone.sum(0)
    means = alone.T @ codes / count.clamp(min=1)[:, None]
    moved = network.kind_codes.lerp(means.to(network.kind_codes.dtype), 1 - KEPT)
    network.kind_codes.copy_(torch.where((count > 0)[:, None], moved, network.kind_codes))


def is_spoilt(query: Tensor, wanted: Tensor) -> Tensor:
    """Whether there is something to take off each sample, (N,), 0 or 1."""
    return ((query - wanted).abs().mean((1, 2, 3)) > SEEN).float()


def where_wrong(query: Tensor, wanted: Tensor) -> Tensor:
    """How far each pixel's surroundings are from what is wanted, 1 from WRONG on: (N, 1, h, w)."""
    apart = (query - wanted).abs().mean(1, keepdim=True)
    return (F.avg_pool2d(apart, 7, 1, 3, count_include_pad=False) / WRONG).clamp(max=1)
