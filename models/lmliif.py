"""LM-LIIF: any scale from one network whose wide layers run once for each input pixel, not for each output pixel.

The encoder is that of SPAN, and so is its last layer, which enlarges four times: what that makes, resized with
antialiasing, is the base. A latent perceptron predicts for each input pixel how a tiny perceptron of six layers of 16
is to be scaled and shifted there; that one runs for each output sample and each of its four neighbours, and its
predictions are blended bilinearly and added to the base. It does not cut, pad or clamp: windows come with a halo,
samples leave unclamped.
Sources: He and Jin, "Latent Modulated Function for Computational Optimal Continuous Image Representation", CVPR 2024;
Wan et al., SPAN, CVPR Workshops 2024 (encoder).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import cpu, cuda, ops
from models.classical import back_projected
from models.contract import Axis, View
from models.span import SpanFeatures
from models.srresnet import take

BAND_PREDICTIONS = 1 << 16  # predictions of the tiny perceptron that are computed at once where nothing is learnt
COMPRESSED = 0.5  # features of unit size, after the logarithm
LARGEST, LEAK = 16.0, 0.01  # features of photographs reach 8
SMALL = 0.1  # standard deviation at which modulations start, where features have one of 1


@dataclass(frozen=True)
class LmliifConfig:
    """`channels` of the encoder; `latent` hidden units of the latent perceptron; `units` and `layers` of the tiny one.

    `code`: numbers of an input pixel that the tiny one is fed. `cell_scale_limit`: the largest scale that both
    are conditioned on. `base_scale`: how many times the encoder's own last layer enlarges. `projected_over`: input
    pixels a side, odd, over whose means the base is projected back; 1: over each pixel itself, for pictures that are
    to be believed. Over more, a layer says of each pixel how far it is believed besides, and what is not, blocks and
    noise, the encoder may leave out.
    """

    channels: int = 48
    latent: int = 128
    units: int = 16
    layers: int = 6
    code: int = 16
    cell_scale_limit: float = 4.0
    base_scale: int = 4
    projected_over: int = 1


class Lmliif(nn.Module):
    """Fulfils `models.contract.Upscaler`; training calls `enlarge`."""

    def __init__(self, config: LmliifConfig | None = None) -> None:
        super().__init__()
        self.config = config or LmliifConfig()
        c = self.config
        self.encoder = SpanFeatures(c.channels)
        self.upsampler = nn.Conv2d(c.channels, 3 * c.base_scale**2, 3, padding=1)
        self.whiten = nn.Conv2d(c.channels, c.channels, 1)
        self.believe = nn.Conv2d(c.channels, 1, 1) if c.projected_over > 1 else None
        self.latent_in = nn.Conv2d(c.channels, c.latent, 3, padding=1)
        self.latent_cell = nn.Linear(2, c.latent, bias=False)
        self.latent_out = nn.Conv2d(c.latent, 2 * c.layers * c.units + c.code, 1)
        self.render_in = nn.Linear(c.code + 4, c.units)
        self.render_hidden = nn.ModuleList(nn.Linear(c.units, c.units) for _ in range(c.layers - 1))
        self.render_out = nn.Linear(c.units, 3)
        start_unmodulated(self)

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`. Networks in half precision still place and make the base in float32."""
        pairs = zip(torch.split(windows, 1), torch.split(self.encoder.parts(windows), 1), views, strict=True)
        return [self.enlarge_parts(window, parts, view)[0] for window, parts, view in pairs]

    def enlarge(self, lr: Tensor, view: View) -> Tensor:
        """Training: lr (N, 3, h, w) in [0, 1], one view for all -> (N, 3, rows, cols), float32."""
        return self.enlarge_parts(lr, self.encoder.parts(lr), view)

    def enlarge_parts(self, lr: Tensor, parts: Tensor, view: View) -> Tensor:
        """Pictures (N, 3, h, w) and what the encoder makes of them -> samples (N, 3, rows, cols), float32."""
        render = self.render if torch.is_grad_enabled() or not self.has_kernel else self.render_compiled
        white = self.white(parts)
        return render(self.modulations(white, view), self.base(lr, parts, white, view), view)

    def base(self, lr: Tensor, parts: Tensor, white: Tensor, view: View) -> Tensor:
        """The samples of what the encoder's own last layers make of it, (N, 3, rows, cols), float32. It is projected
        back, so that no pattern can be tinted or darkened as a whole, whatever the layers make of it."""
        feat, factor = bounded(self.encoder.conv_cat(parts)), self.config.base_scale
        fine = F.pixel_shuffle(self.upsampler(feat), factor).float()
        belief = None if self.believe is None else self.believe(white).float().sigmoid().repeat_interleave(3, 0)[:, 0]
        with torch.autocast(fine.device.type, enabled=False):
            channels, seen = fine.flatten(0, 1), lr.float().flatten(0, 1)
            projected = back_projected(channels, seen, factor, over=self.config.projected_over, belief=belief)
            samples = take(projected, view, factor)
        return samples.view(*fine.shape[:2], *samples.shape[1:])

    def white(self, parts: Tensor) -> Tensor:
        """The encoder's features, whitened and compressed, (N, channels, h, w). Both layers are one: what half
        precision rounds between them would be enlarged with the least of them."""
        with torch.autocast(parts.device.type, enabled=False):
            last, whiten = self.encoder.conv_cat, self.whiten
            assert last.bias is not None and whiten.bias is not None
            matrix = whiten.weight[:, :, 0, 0].float()
            weight = matrix @ last.weight[:, :, 0, 0].float()
            bias = matrix @ last.bias.float() + whiten.bias.float()
        return compressed(F.conv2d(parts, weight[:, :, None, None].to(parts.dtype), bias.to(parts.dtype)))

    def modulations(self, white: Tensor, view: View) -> Tensor:
        """(N, channels, h, w) -> (N, 2 layers units + code, h, w): scales by layer, shifts by layer, code."""
        conditioning = self.latent_cell(self.cell(view).to(self.latent_cell.weight))
        modulations: Tensor = self.latent_out(torch.relu(self.latent_in(white) + conditioning[:, None, None]))
        return modulations

    def cell(self, view: View) -> Tensor:
        """Size of an output pixel in input pixels, times two, of rows and columns; float32."""
        limit = self.config.cell_scale_limit
        return torch.tensor([2 / min(axis.scale, limit) for axis in (view.rows, view.cols)])

    @property
    def has_kernel(self) -> bool:
        """Whether `kernels.ops.modulated_mlp` is compiled for this network; its reference would be slower than ours."""
        c, device = self.config, self.render_in.weight.device.type
        fits = (c.units, c.layers, c.code) == (16, 6, 16)
        return fits and not (cuda if device == "cuda" else cpu).why_missing()

    @property
    def has_training_kernel(self) -> bool:
        """Whether `kernels.ops.modulated_mlp_predict` is compiled for this network: for the processor alone."""
        return self.has_kernel and self.render_in.weight.device.type == "cpu"

    def render_compiled(self, modulations: Tensor, base: Tensor, view: View) -> Tensor:
        """As `render`, of a single picture, without gradients."""
        layers = [self.render_in, *self.render_hidden, self.render_out]
        weights, biases = [layer.weight.float() for layer in layers], [layer.bias.float() for layer in layers]
        rows, cols = (
            ops.Places(*(tensor.to(base.device) for tensor in axis.positions())) for axis in (view.rows, view.cols)
        )
        samples = ops.Samples(rows, cols, tuple(self.cell(view).tolist()))
        return ops.modulated_mlp(modulations[0], base[0], samples, ops.Layers(weights, biases))[None]

    def render(self, modulations: Tensor, base: Tensor, view: View) -> Tensor:
        """Modulations (N, M, h, w), base (N, 3, rows, cols) -> the samples, as the base, a band of rows at a time."""
        sides, device = modulations.shape[2:], modulations.device
        rows, cols = (spread(axis, side, device) for axis, side in zip((view.rows, view.cols), sides, strict=True))
        near = modulations[:, :, rows.low : rows.high + 1, cols.low : cols.high + 1]
        near = near.permute(1, 0, 2, 3).float().contiguous()
        bands = [rows] if torch.is_grad_enabled() else list(bands_of(rows, near[0, :, 0].numel() * cols.slots))
        parts = [(band, near[:, :, band.low - rows.low : band.high + 1 - rows.low]) for band in bands]
        samples = [blend(self.predict(part, band, cols, view), band, cols) for band, part in parts]
        return torch.cat(samples, 2) + base

    def predict(self, modulations: Tensor, rows: Spread, cols: Spread, view: View) -> Tensor:
        """(M, N, h, w) -> what the tiny perceptron predicts for each pixel's samples, (3, slots, slots, N, h, w)."""
        if torch.is_grad_enabled() and self.has_training_kernel:
            return self.predict_compiled(modulations, rows, cols, view)
        c = self.config
        depth = c.layers * c.units
        scales, shifts, code = torch.split(modulations.flatten(1), [depth, depth, c.code])
        way = self.render_in.weight[:, c.code : c.code + 2].float()
        place = outer(way[:, 0], rows.rel)[:, :, None, None, :, None]
        place = place + outer(way[:, 1], cols.rel)[:, None, :, None, None, :]
        here = self.at_pixels(code, view).view(-1, 1, 1, *modulations.shape[1:])
        x = (here + place).flatten(1, 2).flatten(2)
        by_layer = (torch.split(part, c.units) for part in (scales, shifts))
        parts = zip(*by_layer, [None, *self.render_hidden], strict=True)
        for scale, shift, layer in parts:
            x = x if layer is None else linear(x, layer)
            x = torch.relu(x * (1 + scale[:, None]) + shift[:, None])
        return linear(x, self.render_out).view(3, rows.slots, cols.slots, *modulations.shape[1:])

    def predict_compiled(self, modulations: Tensor, rows: Spread, cols: Spread, view: View) -> Tensor:
        """As `predict`, with gradients, in float32 under autocast too."""
        c = self.config
        depth, size, flat = 2 * c.layers * c.units, modulations.shape[1:], modulations.flatten(1)
        down, right = rows.rel.T[:, None, :, None], cols.rel.T[:, None, None, :]
        ways = ops.Ways(*(way.expand(-1, *size).flatten(1) for way in (down, right)))
        with torch.autocast("cpu", enabled=False):
            pixels = ops.Pixels(flat[:depth], self.at_pixels(flat[depth:], view))
            out = ops.modulated_mlp_predict(pixels, ways, self.predict_layers())
        return out.view(3, rows.slots, cols.slots, *size)

    def predict_layers(self) -> ops.PredictLayers:
        """The tiny perceptron as `kernels.ops.modulated_mlp_predict` takes it."""
        code, last = self.config.code, self.render_out
        hidden, hidden_bias = (
            torch.stack([getattr(layer, name) for layer in self.render_hidden]) for name in ("weight", "bias")
        )
        layers = self.render_in.weight[:, code : code + 2], hidden, hidden_bias, last.weight, last.bias
        return ops.PredictLayers(*(layer.float() for layer in layers))

    def at_pixels(self, code: Tensor, view: View) -> Tensor:
        """Latent codes (code, pixels) -> what the first layer makes of them and of the cell, (units, pixels)."""
        weight, bias = self.render_in.weight.float(), self.render_in.bias.float()
        known = bias + weight[:, -2:] @ self.cell(view).to(weight)
        return torch.addmm(known[:, None], weight[:, : self.config.code], code)


def bounded(feat: Tensor) -> Tensor:
    """Features of pictures, which stay below it, are as they were; beyond LARGEST they grow a hundredth as fast. The
    encoder, as published, multiplies patterns of single pixels to a thousand."""
    return feat.clamp(-LARGEST, LARGEST).lerp(feat, LEAK)


def compressed(feat: Tensor) -> Tensor:
    """Features that are white, 0.2 at the median and 50 at most, with their tails drawn in."""
    return feat.sign() * feat.abs().log1p() * COMPRESSED


def outer(weight: Tensor, rel: Tensor) -> Tensor:
    """(units,), (pixels, slots) -> (units, slots, pixels)."""
    return weight[:, None, None] * rel.T


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """(units, slots, pixels) -> (outputs, slots, pixels), float32."""
    return torch.addmm(layer.bias.float()[:, None], layer.weight.float(), x.flatten(1)).view(-1, *x.shape[1:])


@torch.no_grad()
def start_unmodulated(network: Lmliif) -> None:
    """Signals that keep their size from layer to layer, for six layers of 16 with torch's own start let a thousandth
    through; modulations near nothing; a difference to the base that is nothing; features that are white already."""
    depth = 2 * network.config.layers * network.config.units
    for layer in (network.latent_in, network.latent_out, network.render_in, *network.render_hidden):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    network.latent_out.weight[:depth].mul_(SMALL)
    nn.init.dirac_(network.whiten.weight)
    nn.init.zeros_(network.whiten.bias)  # type: ignore[arg-type]
    nn.init.zeros_(network.render_out.weight)
    nn.init.zeros_(network.render_out.bias)
    if network.believe is not None:
        nn.init.zeros_(network.believe.weight)
        nn.init.zeros_(network.believe.bias)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Spread:
    """The samples of one axis, seen from the input pixels `low` to `high` on either side of which they lie.

    `rel` (pixels, slots): twice the distance of each sample of a pixel to it. For each sample and its two neighbours,
    both (2, count): `pixel` (from `low` on) and `slot` where it is found, `weight` of the bilinear blend.
    """

    rel: Tensor
    pixel: Tensor
    slot: Tensor
    weight: Tensor
    low: int
    high: int

    @property
    def slots(self) -> int:
        return self.rel.shape[1]

    def to(self, device: torch.device) -> Spread:
        moved = {name: getattr(self, name).to(device) for name in ("rel", "pixel", "slot", "weight")}
        return dataclasses.replace(self, **moved)

    def cut(self, part: slice) -> Spread:
        """The same for some of the samples."""
        pixel = self.pixel[:, part]
        first, last = int(pixel.min()), int(pixel.max())
        kept = {"pixel": pixel - first, "slot": self.slot[:, part], "weight": self.weight[:, part]}
        return dataclasses.replace(
            self, rel=self.rel[first : last + 1], low=self.low + first, high=self.low + last, **kept
        )


def bands_of(rows: Spread, predictions: int) -> Iterator[Spread]:
    """Whole rows of input pixels, each with its samples, so many `predictions` to each slot of a row."""
    tall = max(1, BAND_PREDICTIONS // (predictions * rows.slots) - 1)
    count = rows.pixel.shape[1]
    edges = torch.searchsorted(
        rows.pixel[0], torch.arange(0, rows.rel.shape[0], tall, device=rows.pixel.device)
    ).tolist()
    for top, bottom in pairwise([*edges, count]):
        if top < bottom:
            yield rows.cut(slice(top, bottom))


def spread(axis: Axis, length: int, device: torch.device) -> Spread:
    """The samples of an axis over a window of `length` pixels; only at its end do both neighbours fall on one."""
    with torch.device("cpu"):
        floor, fraction = axis.positions()
        return spread_out(floor, fraction, length).to(device)


def spread_out(floor: Tensor, fraction: Tensor, length: int) -> Spread:
    """Where each of the samples lies: floor of its place in the window, and the fraction above it; both (count,)."""
    count = len(floor)
    pixel = torch.stack([floor, floor + 1]).clamp(0, length - 1)
    low, high = int(pixel.min()), int(pixel.max())
    pixels = torch.arange(low, high + 1)
    first = torch.searchsorted(floor, pixels - 1)  # of the samples beyond the pixel before
    first[0] = 0  # and of those that lie before the window's first pixel
    slot = torch.arange(count) - first[pixel - low]
    at = (first[:, None] + torch.arange(int(slot.max()) + 1)).clamp(max=count - 1)
    rel = 2 * ((floor[at] - pixels[:, None]) + fraction[at])
    return Spread(rel, pixel - low, slot, torch.stack([1 - fraction, fraction]), low, high)


def blend(predictions: Tensor, rows: Spread, cols: Spread) -> Tensor:
    """Predictions (3, rows.slots, cols.slots, N, h, w) -> (N, 3, rows, cols)."""
    count, n, h, w = predictions.shape[0], *predictions.shape[3:]
    tall = rows.slot * (cols.slots * n * h * w) + rows.pixel * w
    wide = cols.slot * (n * h * w) + cols.pixel
    at = (
        tall[:, None, :, None]
        + wide[None, :, None, :]
        + (torch.arange(n, device=predictions.device) * (h * w))[:, None, None, None, None]
    )
    near = predictions.reshape(count, -1)[:, at.flatten()].view(count, *at.shape)
    weight = rows.weight[:, None, :, None] * cols.weight[None, :, None, :]
    return (near * weight).sum((2, 3)).transpose(0, 1)
