"""LM-LIIF on the encoder of SPAN, from photographs: every sample of a window, at one scale a batch.

The encoder and the layer that enlarges begin as published (`--init` with converted weights of SPAN, of which those for
x4 are taken), so that a fresh network is SPAN, resized. What the latent perceptron sees is white over the photographs,
for features are ill-conditioned (eigenvalues from 1e-4 to 0.7). For the first steps only the new part may learn. Its
gradient is clipped alone: that of the encoder, whose input is counted in levels, is orders larger; a rate of 2e-4 for
it, as for the rest, destroys it within a hundred steps. At x2 and x4 a larger SPAN teaches beside the photographs, and
some samples are drawn (`models.train.made`). The rate is constant and falls at the end of each slice.
Sources: He and Jin, CVPR 2024 (network, L1); Chen, Liu, Wang, CVPR 2021 (scales).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.contract import Axis, View
from models.layout import channels_last
from models.lmliif import Lmliif, LmliifConfig
from models.span import Span, SpanConfig, SpanFeatures
from models.train import made, teacher
from models.train.data import Photos, Pixels, find_photos, random_crop, shrink_bicubic, turn
from models.train.muon import Muon
from models.train.recipes.srresnet import as_pictures, refuse_small
from models.train.run import Budget
from models.weights import Weights, WeightsError, fill

BUDGETS = {
    "cpu": Budget(minutes=80, batch=8, lr=4e-3, patch=48, steps=16_000, decay=0.2),
    "cuda": Budget(minutes=22, batch=32, lr=4e-3, patch=64, slice_minutes=9, workers=14, decay=0.2),
}
Sample = tuple[Pixels, Pixels, Pixels | None]

MARGIN = 6  # input pixels of a patch beyond the window that is judged: the frame is for the encoder what it never sees
MEAN_OVER = 6  # input pixels a side of the squares whose means are judged
SAMPLED_PHOTOS = 48  # that statistics of features are made of
OLD = ("encoder.", "upsampler.", "whiten.")  # layers that come from SPAN
LEAST_VARIANCE = 1e-3  # of a direction among the features, as a share of their mean variance


@dataclass
class Recipe:
    """`encoder_rate`: learning rate of each layer of the encoder as a share of the size of its weights, which differ by
    a factor of twenty. All but the encoder learn alone for the first `head_first` of the budget. `fixed`: share of the
    batches at each of the scales of `fixed_scales`; the rest is drawn.

    `taught`: how much the answers of the teacher, SPAN of `teacher_channels`, count beside the photographs. With a
    cache folder those for whole photographs at its own scales are the mean of eight, made first unless `teach_first`
    says no; all others it gives on the way, once, and by the next of its scales.
    `lossless`: share of the samples from files that were no JPEGs, whose grain and blocks are not to be learnt.
    `made`, `inset`, `grey`: shares of the samples that are drawn, have a pattern in them, have lost their colours.
    `exact`: share of those in which a pattern of single pixels is as strong in the small picture as in the large one,
    as it comes from a screen; a bicubic kernel leaves half of it, so that the other samples never show it.
    `chroma`: how much the differences between the colours count once more. `means`: how much the error of the means
    over MEAN_OVER input pixels a side counts, of what is seen, cut off at black and white: an edge of a pattern that
    overshoots loses what lies beyond, and the pattern gets darker as a whole.
    """

    budget: Budget
    name: str = "lmliif"
    ema: float = 0.998
    autocast: bool = True
    encoder_rate: float = 1e-4
    head_first: float = 0.125
    longest_gradient: float = 0.5
    longest_old_gradient: float = 1.0
    fixed_scales: tuple[int, ...] = (2, 3, 4)
    fixed: tuple[float, ...] = (0.3, 0.1, 0.3)
    min_scale: float = 1.0
    max_scale: float = 4.0
    taught: float = 0.8
    teacher_channels: int = 52
    teach_first: bool = True
    lossless: float = 0.75
    made: float = 0.1
    inset: float = 0.08
    grey: float = 0.03
    exact: float = 0.03
    chroma: float = 0.5
    means: float = 0.0
    config: LmliifConfig = dataclasses.field(default_factory=LmliifConfig)

    def __post_init__(self) -> None:
        self.encoder_learns = True

    def network(self) -> nn.Module:
        return channels_last(Lmliif(self.config))

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        assert isinstance(network, Lmliif)
        layers = [layer for layer in network.encoder.modules() if isinstance(layer, nn.Conv2d)]
        layers += [network.upsampler, network.whiten]
        slow = [{"params": list(layer.parameters()), "lr": self.encoder_rate * size_of(layer)} for layer in layers]
        return [*slow, {"params": new_part(network), "lr": self.budget.lr, "muon": True}]

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """See `capabilities.CustomOptimizer`: in 200 steps the new part comes by Muon further than by Adam in 300."""
        return Muon(groups, self.budget.lr)

    def begin_step(self, share: float) -> None:
        """See `capabilities.Scheduled`."""
        self.encoder_learns = share >= self.head_first

    def clip(self, network: nn.Module) -> None:
        """See `capabilities.GradientClipper`. A pattern of single pixels that the encoder multiplies to a thousand
        would for a thousand steps slow down what it learns of all others."""
        assert isinstance(network, Lmliif)
        nn.utils.clip_grad_norm_(new_part(network), self.longest_gradient)
        if self.encoder_learns:
            nn.utils.clip_grad_norm_(old_part(network), self.longest_old_gradient)

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.photos = Photos.read(find_photos(data), cache)
        self.odds = photo_odds(self.photos, self.lossless)
        refuse_small(self.photos, round(self.budget.patch * max(self.max_scale, *self.fixed_scales)))
        self.lessons: dict[int, dict[int, teacher.Lesson]] = {}
        self.teacher = teacher.find_teacher(data, self.teacher_channels) if self.taught else None
        if self.teacher and cache:
            for scale in {*self.fixed_scales}.intersection(self.teacher.networks):
                self.lessons[scale] = teacher.lessons(self.photos, self.teacher, scale, cache, self.teach_first)
        return self.photos.sha256

    def inherit(self, begun: Weights, network: nn.Module) -> Weights:
        """See `capabilities.WarmStart`: encoder and last layer of SPAN, and what whitens its features."""
        if begun.network != "span":
            return begun
        config = SpanConfig(**begun.config)
        if config.channels != self.config.channels:
            raise WeightsError(f"SPAN of {config.channels} channels, this recipe has {self.config.channels}")
        whole = Span(config)
        fill(whole, begun.state_dict, "span")
        span = whole.largest
        if span.scale != self.config.base_scale:
            raise WeightsError(f"SPAN for x{span.scale}, this recipe wants x{self.config.base_scale}")
        published = {
            key if key.startswith("upsampler.") else f"encoder.{key}": value for key, value in span.state_dict().items()
        }
        state = network.state_dict() | published | whitening(span, self.some_small_pictures())
        return Weights(self.name, dataclasses.asdict(self.config), state, begun.facts)

    def some_small_pictures(self) -> list[Tensor]:
        chosen = np.random.default_rng(0).choice(len(self.odds), min(SAMPLED_PHOTOS, len(self.odds)), replace=False)
        photos = [self.photos.pixels[index] for index in chosen]
        sides = [(photo.shape[0] // 3, photo.shape[1] // 3) for photo in photos]
        return [as_pictures(shrink_bicubic(photo, side)[None]) for photo, side in zip(photos, sides, strict=True)]

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """lr (B, P, P, 3), the windows hr and taught (B, k, k, 3), all of 8 bits, and (side, start) of the window of k
        in the crop of side."""
        scale, patch = self.scale(rng), self.budget.patch
        side = round(patch * scale)
        margin = round(MARGIN * side / patch)
        count = min(round(self.budget.queries**0.5) or side, side - 2 * margin)
        start = int(rng.integers(margin, side - count - margin + 1))
        lr, *large = (np.stack(column) for column in zip(*self.taught_samples(scale, side, rng), strict=True))
        window = slice(start, start + count)
        hr, taught = (torch.from_numpy(np.ascontiguousarray(pixels[:, window, window])) for pixels in large)
        return torch.from_numpy(lr), hr, taught, torch.tensor([side, start])

    def scale(self, rng: np.random.Generator) -> float:
        which = rng.uniform()
        for scale, share in zip(self.fixed_scales, self.fixed, strict=True):
            if which < share:
                return float(scale)
            which -= share
        return float(rng.uniform(self.min_scale, self.max_scale))

    def taught_samples(self, scale: float, side: int, rng: np.random.Generator) -> Iterator[tuple[Pixels, ...]]:
        """As `samples`; what has no answer yet gets the teacher's, or the original again."""
        samples = list(self.samples(scale, side, rng))
        asked = [small for small, _, answer in samples if answer is None]
        answers = iter(teacher.answer(self.teacher, np.stack(asked), side) if self.teacher and asked else ())
        for small, original, answer in samples:
            yield small, original, next(answers, original) if answer is None else answer

    def samples(self, scale: float, side: int, rng: np.random.Generator) -> Iterator[Sample]:
        """What the network is shown, the original of `side`, and the answer: the teacher's where it has made it
        already, the original where nobody is to be asked, None where the teacher is."""
        for _ in range(self.budget.batch):
            number, which, kind = int(rng.choice(len(self.odds), p=self.odds)), int(rng.integers(8)), rng.uniform()
            lesson = self.lessons.get(int(scale), {}).get(number) if scale == int(scale) else None
            if kind >= self.made + self.inset + self.grey + self.exact and lesson:
                small, original, answer = cut_lesson(self.photos.pixels[number], lesson, int(scale), side, rng)
                yield turn(small, which), turn(original, which), turn(answer, which)
                continue
            original = self.original(number, kind, side, scale, rng)
            original = turn(original, which)
            small = shrink_bicubic(original, (self.budget.patch, self.budget.patch))
            if 0 <= kind - (self.made + self.inset + self.grey) < self.exact:
                small, original = with_exact_pattern(small, original, rng)
            yield small, original, None if kind >= self.made + self.inset + self.grey + self.exact else original

    def original(self, number: int, kind: float, side: int, scale: float, rng: np.random.Generator) -> Pixels:
        """A crop of a photograph, or in its place what `kind`, of [0, 1), asks for."""
        if kind < self.made:
            return made.draw(rng, side, scale)
        crop = random_crop(self.photos.pixels[number], (side, side), rng)
        if kind < self.made + self.inset:
            return made.within(crop, rng, scale)
        return made.grey(crop) if kind < self.made + self.inset + self.grey else crop

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        lr, hr, taught, (side, start) = *map(in_unit_range, batch[:3]), batch[3].tolist()
        assert isinstance(network, Lmliif)
        axis = Axis(start, hr.shape[2], side, lr.shape[2], 0)
        for part in (network.encoder, network.upsampler, network.whiten):
            part.requires_grad_(self.encoder_learns)
        sr = network.enlarge(lr, View(axis, axis))
        missed = sr - hr
        pixels, colours = missed.abs().mean(), (missed - missed.mean(1, keepdim=True)).abs().mean()
        from_teacher = (sr - taught).abs().mean()
        loss = (1 - self.taught) * pixels + self.taught * from_teacher + self.chroma * colours
        parts = {"pixels": pixels.detach(), "colours": colours.detach()}
        if self.means:
            means = error_of_means(sr, hr, round(MEAN_OVER * side / lr.shape[2]))
            loss, parts["means"] = loss + self.means * means, means.detach()
        return loss, parts


def error_of_means(sr: Tensor, hr: Tensor, over: int) -> Tensor:
    """Mean absolute error of the means of squares of `over` samples, or of a window that is smaller; sr counts as it is
    seen, within [0, 1]."""
    return F.avg_pool2d(sr.clamp(0, 1) - hr, min(over, *hr.shape[2:])).abs().mean()


def cut_lesson(
    photo: Pixels, lesson: teacher.Lesson, scale: int, side: int, rng: np.random.Generator
) -> tuple[Pixels, Pixels, Pixels]:
    """The same random crop, of `side` at the original's size, of the small picture, the original and the answer."""
    patch = side // scale
    top, left = (int(rng.integers(length - patch + 1)) for length in lesson.small.shape[:2])
    large = (slice(top * scale, top * scale + side), slice(left * scale, left * scale + side))
    return lesson.small[top : top + patch, left : left + patch], photo[large], lesson.answer[large]


def with_exact_pattern(small: Pixels, original: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Copies of both, square, in which a rectangle of the small one is a pattern of its pixels, in the original the
    same pattern in squares."""
    side = small.shape[0]
    at = np.arange(original.shape[0]) * side // original.shape[0]
    height, width = (int(rng.integers(side // 2, side + 1)) for _ in range(2))
    top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    draw = (made.weaves, made.weaves, made.dithers)[int(rng.integers(3))]
    small, original = small.copy(), original.copy()
    pattern = made.between(draw(rng, side, 1), *made.two_colours(rng))
    small[top : top + height, left : left + width] = pattern[:height, :width]
    rows, cols = (np.flatnonzero((at >= low) & (at < low + count)) for low, count in ((top, height), (left, width)))
    original[np.ix_(rows, cols)] = small[np.ix_(at[rows], at[cols])]
    return small, original


def size_of(layer: nn.Conv2d) -> float:
    """Root of the mean square of its weights."""
    return float(layer.weight.detach().square().mean().sqrt())


def photo_odds(photos: Photos, lossless: float) -> NDArray[np.float64]:
    """Chance of each photograph: each pixel is equally likely within the lossless files, and within the others."""
    odds = photos.odds()
    clean = np.array([not name.lower().endswith((".jpg", ".jpeg")) for name in photos.names])
    if clean.all() or not clean.any():
        return odds
    shares = np.where(clean, lossless / odds[clean].sum(), (1 - lossless) / odds[~clean].sum())
    chances: NDArray[np.float64] = odds * shares
    return chances


def in_unit_range(pixels: Tensor) -> Tensor:
    """(N, h, w, 3) of 8 bits -> (N, 3, h, w) in [0, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def old_part(network: Lmliif) -> list[nn.Parameter]:
    """What comes from SPAN, and what whitens it."""
    return [value for key, value in network.named_parameters() if key.startswith(OLD)]


def new_part(network: Lmliif) -> list[nn.Parameter]:
    return [value for key, value in network.named_parameters() if not key.startswith(OLD)]


@torch.no_grad()
def whitening(encoder: SpanFeatures, pictures: list[Tensor]) -> dict[str, Tensor]:
    """The layer that gives features mean 0, variance 1 and no correlation over the pictures."""
    total, square, count = torch.zeros(()), torch.zeros(()), 0
    for picture in pictures:
        feat = encoder.features(picture)[0].flatten(1).double()
        total, square, count = total + feat.sum(1), square + feat @ feat.T, count + feat.shape[1]
    mean = total / count
    values, vectors = torch.linalg.eigh(square / count - mean[:, None] * mean)
    values = values.clamp(min=LEAST_VARIANCE * float(values.mean()))
    white = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    return {"whiten.weight": white[:, :, None, None].float(), "whiten.bias": (-white @ mean).float()}
