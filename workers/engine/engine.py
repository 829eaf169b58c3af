"""The engine: models on a device, and what is done with them to a picture in host memory.

It picks device, precision and size of tiles, keeps alpha apart from colour, and gives pictures back in the bit depth
and number of channels that came in. It does not read files, cut tiles (`tiles`) or run them (`sweep`,
`feathered`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels import cpu, cuda
from models import catalog, own_lut
from models.cards import LUT3D, Card, available
from models.contract import Retoucher
from models.cube import Cube
from models.look import look_at
from models.lut3d import reduced_size, seen
from workers.engine import allocator, feathered, lookups, memory, planes, transparency
from workers.engine.checkpoint import Keeper, pace_of
from workers.engine.conditioned import at_one_scale
from workers.engine.device import choose_device, cpu_has_bf16, one_thread
from workers.engine.neutral import is_neutral, single_channel
from workers.engine.passes import Array, Begin, Executor, NullObserver, Observer, Tick
from workers.engine.sweep import sweep
from workers.engine.tiles import Size
from workers.errors import ParameterError, UnknownModel
from workers.pictures.picture import Picture

__all__ = ["Engine", "Observer", "Tick"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model on the device: its card, itself, the type it computes in."""

    card: Card
    model: Any
    dtype: torch.dtype
    sha256: str | None
    strength: float = 1.0


class Engine:
    """Loads models by name and keeps them; enhances, restores and enlarges pictures with them."""

    def __init__(
        self,
        *,
        device: str = "auto",
        precision: str = "auto",
        tile: str = "auto",
        weights_dir: Path | None = None,
        threads: int | None = None,
        observe: Observer | None = None,
    ) -> None:
        if threads is not None:
            self.use_threads(threads)
        self.device = choose_device(device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        else:
            allocator.keep_freed(memory.CPU_BUDGET_BYTES)
        self._most_held_bytes = allocator.held_bytes() + memory.CPU_BUDGET_BYTES
        self._precision = precision
        self._sizes = memory.TileSizes(self.device, None if tile == "auto" else int(tile))
        self._weights_dir = weights_dir
        self._observe: Observer = observe or NullObserver()
        self._models: dict[tuple[str, torch.dtype, float], LoadedModel] = {}

    @staticmethod
    def use_threads(threads: int) -> None:
        """From now on, in this process."""
        torch.set_num_threads(threads)

    def use_speeds(self, s_per_mp: Mapping[str, float]) -> None:
        """Tiles follow these from now on: seconds per megapixel by name, as learnt."""
        self._sizes.s_per_mp = s_per_mp

    def load(self, name: str) -> None:
        """Puts a model on the device. Raises UnknownModel."""
        self._served(name, self._dtype(name))

    def card(self, name: str) -> Card:
        """Raises UnknownModel with the names that would do."""
        known = available(self._weights_dir)
        if name not in known:
            raise UnknownModel(f"model {name!r} is unknown; known are {', '.join(known)}", allowed=list(known))
        return known[name]

    def loaded(self) -> list[str]:
        return list(dict.fromkeys(name for name, *_ in self._models))

    def facts(self) -> dict[str, Any]:
        """What serves here and why something does not; JSON."""
        on_cuda = self.device.type == "cuda"
        return {
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if on_cuda else "cpu",
            "precision": self._precision,
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "models": {
                name: {"sha256": served.sha256, "precision": _short(self._dtype(name))}
                for (name, *_), served in self._models.items()
            },
            "kernels": {"cpu": cpu.why_missing() or "built", "cuda": cuda.why_missing() or "built"},
        }

    @torch.inference_mode()
    def enhance(
        self,
        picture: Picture,
        *,
        model: str = LUT3D.name,
        strength: float = 1.0,
        own: Cube | None = None,
        tick: Tick,
    ) -> Picture:
        """Colour and tone by the table that `model` makes for this picture, or by the user's `own`; alpha stays.

        Grey goes through the table as r = g = b and comes back as its luma. Of `strength` 0 the picture itself returns.
        """
        if strength == 0:
            tick(1, 1)
            return picture
        tick(0, 1)
        if own is not None and not own.is_plain:
            return lookups.through(picture, own_lut.look_up(own, strength, self.device), tick, lookups.OWN_BAND_PIXELS)
        lut = self._fuse(picture, model, strength) if own is None else own_lut.table_of(own, strength, self.device)
        return self.apply_table(picture, lut, tick=tick)

    @torch.inference_mode()
    def fused_table(self, picture: Picture, *, model: str, strength: float, own: Cube | None = None) -> Tensor:
        """The one table (3, D, D, D) for this picture, float32 on the CPU; strength 0 is the identity.

        Of a picture without colour it has none either: three times the luma, so that black and white is not tinted.
        The user's `own` is the same for each, and has to be plain.
        """
        if own is not None:
            return own_lut.table_of(own, strength)
        return self._fuse(picture, model, strength).cpu()

    @torch.inference_mode()
    def apply_table(self, picture: Picture, lut: Tensor, *, tick: Tick) -> Picture:
        """`picture` through any table (3, D, D, D), a band of rows at a time."""
        return lookups.through(picture, lookups.table_look_up(lut.to(self.device)), tick, lookups.TABLE_BAND_PIXELS)

    @torch.inference_mode()
    def restore(
        self,
        picture: Picture,
        *,
        model: str,
        strength: float = 1.0,
        only: str | None = None,
        tick: Tick,
        keeper: Keeper | None = None,
    ) -> Picture:
        """Noise, rain, haze or JPEG blocks taken off, or `only` one of the kinds on the model's card; alpha stays as it
        is. Of `strength` 0 the same picture comes back. The result says what was `found`, where the model can tell.

        `keeper`: where what is finished is kept for the next attempt at this picture.
        """
        if strength == 0:
            tick(1, 1)
            return picture
        served = self._served(model, self._dtype(model, picture.pixels.dtype))
        shown = planes.shown_colours(picture, transparency.REACH)
        pixels = single_channel(shown)
        result, found = np.empty_like(shown, order="C"), None
        begin = self._begin(served.card, tick, keeper)
        if served.card.tiling == "exact":
            found = self._restore_exactly(served, pixels, result, strength, only, begin)
        else:
            self._restore_blended(served, pixels, result, strength, begin)

        if picture.alpha is not None:
            transparency.put_back(result, picture.pixels, shown, picture.alpha)
        return replace(picture, pixels=result, found=found)

    def _restore_exactly(
        self, served: LoadedModel, pixels: Array, result: Array, strength: float, only: str | None, begin: Begin
    ) -> dict[str, float]:
        """By tiles that equal the whole, under what one look at the picture says; what it says was found."""
        condition, found = served.model.examine(look_at(pixels).to(self.device), only)
        executor = at_one_scale(self._executor(served, pixels), condition, strength)
        size = pixels.shape[0], pixels.shape[1]
        plan = self._sizes.restorer_plan(served.card, served.model, size, begin.pace)
        self._run([planes.PlanePass(executor, pixels, result, plan, 1)], begin)
        return dict(found)

    def _restore_blended(
        self, served: LoadedModel, pixels: Array, result: Array, strength: float, begin: Begin
    ) -> None:
        """By tiles that are blended where they meet."""
        halo = memory.restorer_halo(served.card, served.model)
        tile = self._sizes.restorer_tile(served.card, served.model)
        used = feathered.restore(
            self._executor(served, pixels),
            pixels,
            result,
            tile=tile,
            halo=halo,
            strength=strength,
            progress=begin(feathered.count(pixels.shape[:2], tile, halo), (served.card.name, tile, halo, result.shape)),
            observe=self._observe,
        )
        self._sizes.remember(served.card.name, used if used < tile else None)

    @torch.inference_mode()
    def upscale(
        self,
        picture: Picture,
        *,
        model: str,
        height: int,
        width: int,
        effort: str = "best",
        strength: float = 1.0,
        tick: Tick,
        keeper: Keeper | None = None,
    ) -> Picture:
        """`picture` at (height, width); a picture that has this size already comes back unchanged.

        `strength` below 1 goes towards the model that this one's card blends with.

        `effort` is accepted and changes nothing yet: no model has a faster mode worth its loss. `keeper` as in
        `restore`. Raises ParameterError for a size below the picture's own.
        """
        size = (height, width)
        if height < picture.pixels.shape[0] or width < picture.pixels.shape[1]:
            raise ParameterError(f"size {width}x{height} is smaller than the picture: this only enlarges")
        if picture.pixels.shape[:2] == size:
            tick(1, 1)
            return picture

        served = self._served(model, self._dtype(model, picture.pixels.dtype), strength)
        begin = self._begin(served.card, tick, keeper)
        passes = [self._colour_pass(picture, served, size, begin.pace)]
        alpha = picture.alpha
        if alpha is not None and alpha.min() == alpha.max():
            alpha = np.full(size, alpha.flat[0], alpha.dtype)
        elif alpha is not None:
            passes.append(planes.alpha_pass(alpha, size, served.model if served.card.keeps_values else None))
            alpha = passes[1].result[..., 0]

        self._run(passes, begin)
        return replace(picture, pixels=passes[0].result, alpha=alpha)

    def _fuse(self, picture: Picture, model: str, strength: float) -> Tensor:
        """As `fused_table`, on the device."""
        retoucher: Retoucher = self._served(model, torch.float32).model
        looked_at = _looked_at(picture).expand(1, 3, -1, -1).to(self.device)
        with one_thread():
            lut = retoucher.lut(looked_at, strength, reduce=None).float()
        if strength > 0 and is_neutral(picture.pixels, picture.alpha):
            lut = torch.einsum("c,cbgr->bgr", torch.from_numpy(lookups.LUMA).to(lut), lut).repeat(3, 1, 1, 1)
        return lut

    def _begin(self, card: Card, tick: Tick, keeper: Keeper | None) -> Begin:
        """At the pace of the attempt before, where that has kept tiles, else as learnt."""
        pace = pace_of(keeper.plan()) if keeper else None
        return Begin(tick, keeper, self.facts, pace or self._sizes.pace(card))

    def _run(self, passes: list[planes.PlanePass], begin: Begin) -> None:
        progress = begin(sum(one.tiles for one in passes), [one.facts() for one in passes])
        for one in passes:
            observe = self._observe if one.executor.name != planes.ALPHA else NullObserver()
            for picture, result in one.parts():
                left = sweep(
                    one.executor, picture, result, one.plan, batch=one.batch, progress=progress, observe=observe
                )
                self._sizes.remember(one.executor.name, None if left is one.plan else memory.side_of(left))
        allocator.give_back(self._most_held_bytes)

    def _colour_pass(self, picture: Picture, served: LoadedModel, size: Size, pace: int) -> planes.PlanePass:
        near = transparency.REACH if served.card.tiling == "whole" else transparency.NEAR
        pixels = picture.pixels if served.card.keeps_values else single_channel(planes.shown_colours(picture, near))
        result = np.empty((*size, picture.pixels.shape[2]), pixels.dtype)
        plan, batch = self._sizes.plan(served.card, pixels.shape[:2], size, pace)
        return planes.PlanePass(self._executor(served, pixels), pixels, result, plan, batch)

    def _executor(self, served: LoadedModel, pixels: Array) -> Executor[Any]:
        card, full_precision = served.card, None
        if served.dtype != torch.float32:
            full_precision = lambda: self._served(card.name, torch.float32, served.strength).model  # noqa: E731
        grey = pixels.shape[2] == 1 and card.channels == 3
        return Executor(card.name, served.model, self.device, full_precision, grey)

    def _dtype(self, name: str, kind: np.dtype[Any] | None = None) -> torch.dtype:
        """What a model computes in. `auto` keeps 16-bit pictures in float32: bfloat16 has no 16 bits to give."""
        card = self.card(name)
        if card.reduced is None or card.file is None:
            return torch.float32
        if self._precision != "auto":
            return DTYPES[self._precision]
        if kind == np.uint16 or (self.device.type == "cpu" and not cpu_has_bf16()):
            return torch.float32
        return DTYPES[card.reduced or "fp32"]

    def _served(self, name: str, dtype: torch.dtype, strength: float = 1.0) -> LoadedModel:
        """Of blends with another model only the last is kept."""
        key = (name, dtype, strength)
        if key not in self._models:
            card = self.card(name)
            model = catalog.load(
                name, device=self.device, dtype=dtype, weights_dir=self._weights_dir, strength=strength
            )
            sha256 = _sha256_of_weights(card, self._weights_dir)
            kept = {at: one for at, one in self._models.items() if at[:2] != key[:2] or at[2] == 1}
            self._models = {**kept, key: LoadedModel(card, model, dtype, sha256, strength)}
        return self._models[key]


def _looked_at(picture: Picture) -> Tensor:
    """The picture for the predictor of `enhance`, (C, h, w) float32 in [0, 1]."""
    pixels = np.require(picture.pixels, requirements=["C", "W"])
    if picture.alpha is None or transparency.is_constant(picture.alpha):
        return seen(torch.from_numpy(pixels))
    means = transparency.seen_means(pixels, picture.alpha, *reduced_size(*picture.alpha.shape))
    return torch.from_numpy(means).permute(2, 0, 1)


def _sha256_of_weights(card: Card, weights_dir: Path | None) -> str | None:
    """Of the file that serves: the user's own stands before ours."""
    if card.file is None:
        return None
    path, _ = catalog.find_weights(card, weights_dir)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _short(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known == dtype)
