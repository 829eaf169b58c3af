"""The engine: models on a device, and what is done with them to a picture in host memory.

It picks device, precision and size of tiles, keeps alpha apart from colour, and gives pictures back in the bit depth
and number of channels that came in. It does not read files, cut tiles (`tiles`) or run them (`sweep`,
`feathered`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels import cpu, cuda, ops
from models import catalog, own_lut
from models.cards import LUT3D, Card, available
from models.contract import Restorer, Upscaler
from models.cube import Cube
from workers.engine import feathered, tiles, transparency
from workers.engine.neutral import is_neutral, told_once
from workers.engine.passes import Array, Observer, Progress, Runs, Silent, Tick
from workers.engine.sweep import sweep
from workers.engine.tiles import Plan, Size
from workers.errors import ParameterError, UnknownModel
from workers.pictures.picture import Picture

__all__ = ["Engine", "Observer", "Tick"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

LOOKED_AT_SIDE = 480  # short side at which the predictor of `enhance` sees a picture
ENHANCE_BAND_PIXELS = 1 << 24
OWN_BAND_PIXELS = 1 << 20  # in floating point a pixel takes some forty bytes
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG and Pillow make grey

MIB = 1024**2
CPU_BUDGET_BYTES = 256 * MIB  # what windows, features and tiles of one batch may take
CUDA_SHARE = 0.5  # of the memory that is free on the device
LARGEST_BATCH = 16
CPU_TILE, CPU_TILE_OUTPUT = 256, 512  # a tile of a network is a few seconds, and cancelling waits for one
CUDA_TILE, CUDA_TILE_OUTPUT = 512, 4096
ALPHA_TILE = 128  # input pixels a side
ALPHA = "alpha"  # in place of a model's name: a pass that no card stands for
OUTPUT_BYTES = 64  # an output sample: three channels, float32, a few copies
STRIP_SAMPLES = 1 << 24  # output samples a strip of a model that needs the whole picture
RESTORE_BUDGET_BYTES = 1024 * MIB  # on a processor: a window smaller than 500 pixels would be mostly halo
RESTORE_TILE, RESTORE_TILE_CUDA = 640, 1024
MOVED_TAPS = 32  # pixels of halo beyond a restorer's reach, for most of what its moved taps see


@dataclass(frozen=True)
class Served:
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
            torch.set_num_threads(threads)
        self.device = choose_device(device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self._precision = precision
        self._tile = None if tile == "auto" else int(tile)
        self._weights_dir = weights_dir
        self._observe: Observer = observe or Silent()
        self._models: dict[tuple[str, torch.dtype, float], Served] = {}
        self._allowed_side: dict[str, int] = {}

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
            return _through(picture, own_lut.look_up(own, strength, self.device), tick, OWN_BAND_PIXELS)
        if own is not None:
            lut = own_lut.table_of(own, strength, self.device)
        else:
            lut = self.fused_table(picture, model=model, strength=strength)
        return self.apply_table(picture, lut, tick=tick)

    @torch.inference_mode()
    def fused_table(self, picture: Picture, *, model: str, strength: float) -> Tensor:
        """The one table (3, D, D, D) for this picture, float32 on the CPU; strength 0 is the identity.

        Of a picture without colour it has none either: three times the luma, so that black and white is not tinted.
        """
        served = self._served(model, torch.float32)
        looked_at = torch.from_numpy(self._reduced(picture)).permute(2, 0, 1)[None].to(self.device)
        with _one_thread():
            lut: Tensor = served.model.lut(looked_at, strength, reduce=None).float().cpu()
        if strength > 0 and is_neutral(picture.pixels, picture.alpha):
            lut = torch.einsum("c,cbgr->bgr", torch.from_numpy(LUMA).to(lut), lut).repeat(3, 1, 1, 1)
        return lut

    @torch.inference_mode()
    def apply_table(self, picture: Picture, lut: Tensor, *, tick: Tick) -> Picture:
        """`picture` through any table (3, D, D, D), a band of rows at a time."""
        return _through(picture, _colour_look_up(lut.to(self.device)), tick, ENHANCE_BAND_PIXELS)

    @torch.inference_mode()
    def restore(self, picture: Picture, *, model: str, strength: float = 1.0, tick: Tick) -> Picture:
        """Noise, rain or haze taken off; alpha stays as it is. Of `strength` 0 the same picture comes back."""
        if strength == 0:
            tick(1, 1)
            return picture
        served = self._served(model, self._dtype(model, picture.pixels.dtype))
        shown = _shown(picture, transparency.REACH)
        pixels = told_once(shown)
        halo = _restore_halo(served)
        tile = self._restore_tile(served)
        progress = Progress(tick, feathered.count(pixels.shape[:2], tile, halo))
        progress.tell()
        result = np.empty_like(shown, order="C")
        left = feathered.restore(
            self._runs(served, pixels),
            pixels,
            result,
            tile=tile,
            halo=halo,
            strength=strength,
            progress=progress,
            observe=self._observe,
        )
        if left < tile:
            self._allowed_side[model] = left
        elif model in self._allowed_side:
            self._allowed_side[model] *= 2
        if picture.alpha is not None:
            transparency.put_back(result, picture.pixels, shown, picture.alpha)
        return replace(picture, pixels=result)

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
    ) -> Picture:
        """`picture` at (height, width); a picture that has this size already comes back unchanged.

        `strength` below 1 goes towards the model that this one's card blends with.

        `effort` is accepted and changes nothing yet: no model has a faster mode worth its loss. Raises ParameterError
        for a size below the picture's own.
        """
        size = (height, width)
        if height < picture.pixels.shape[0] or width < picture.pixels.shape[1]:
            raise ParameterError(f"size {width}x{height} is smaller than the picture: this only enlarges")
        if picture.pixels.shape[:2] == size:
            tick(1, 1)
            return picture
        served = self._served(model, self._dtype(model, picture.pixels.dtype), strength)
        passes = [self._colour_pass(picture, served, size)]
        alpha = picture.alpha
        if alpha is not None and alpha.min() == alpha.max():
            alpha = np.full(size, alpha.flat[0], alpha.dtype)
        elif alpha is not None:
            passes.append(_alpha_pass(alpha, size, served))
            alpha = passes[1].result[..., 0]
        self._run(passes, tick)
        return replace(picture, pixels=passes[0].result, alpha=alpha)

    def _run(self, passes: list[Pass], tick: Tick) -> None:
        progress = Progress(tick, sum(len(one.plan) * len(one.parts()) for one in passes))
        progress.tell()
        for one in passes:
            observe = self._observe if one.runs.name != ALPHA else Silent()
            for picture, result in one.parts():
                left = sweep(one.runs, picture, result, one.plan, batch=one.batch, progress=progress, observe=observe)
                self._remember(one.runs.name, one.plan, left)

    def _remember(self, name: str, planned: Plan, left: Plan) -> None:
        """After memory ran out the next picture starts with the tiles that fitted; each that goes well doubles them."""
        if left is not planned:
            area = max(view.rows.count * view.cols.count for view in left.views)
            self._allowed_side[name] = math.isqrt(area)
        elif name in self._allowed_side:
            self._allowed_side[name] *= 2

    def _colour_pass(self, picture: Picture, served: Served, size: Size) -> Pass:
        near = transparency.REACH if served.card.tiling == "whole" else transparency.NEAR
        pixels = picture.pixels if served.card.keeps_values else told_once(_shown(picture, near))
        result = np.empty((*size, picture.pixels.shape[2]), pixels.dtype)
        plan, batch = self._plan(served.card, pixels.shape[:2], size)
        return Pass(self._runs(served, pixels), pixels, result, plan, batch)

    def _runs(self, served: Served, pixels: Array) -> Runs[Any]:
        card, in_full = served.card, None
        if served.dtype != torch.float32:
            in_full = lambda: self._served(card.name, torch.float32, served.strength).model  # noqa: E731
        grey = pixels.shape[2] == 1 and card.channels == 3
        return Runs(card.name, served.model, self.device, in_full, grey)

    def _plan(self, card: Card, in_size: Size, out_size: Size) -> tuple[Plan, int]:
        """Tiles for this model and what of them fits into a batch."""
        if card.tiling == "whole":
            strip = max(1, STRIP_SAMPLES // max(out_size[0], in_size[0]))
            return tiles.plan(in_size, out_size, tile=(out_size[0], strip), halo=None), 1
        budget = self._budget()
        tile = self._tile_output(card, in_size, out_size, budget)
        plan = tiles.plan(in_size, out_size, tile=tile, halo=card.halo)
        rows, cols = plan.views[0].rows.count, plan.views[0].cols.count
        each = plan.window[0] * plan.window[1] * card.window_bytes + rows * cols * OUTPUT_BYTES
        most = LARGEST_BATCH if self.device.type == "cuda" else 1
        return plan, max(1, min(most, budget // each))

    def _tile_output(self, card: Card, in_size: Size, out_size: Size, budget: int) -> Size:
        """Output samples of a tile: the side asked for, or the largest that fits; less after memory ran out."""
        scale = math.sqrt(out_size[0] / in_size[0] * out_size[1] / in_size[1])
        side = self._tile or _largest_side(card, scale, budget, on_cuda=self.device.type == "cuda")
        allowed = self._allowed_side.get(card.name, MIB)
        height, width = (max(1, side * out // source) for source, out in zip(in_size, out_size, strict=True))
        return min(height, allowed), min(width, allowed)

    def _restore_tile(self, served: Served) -> int:
        """Side of what a window is for: as asked, or the largest whose window fits; less after memory ran out."""
        on_cpu = self.device.type == "cpu"
        budget = RESTORE_BUDGET_BYTES if on_cpu else self._budget()
        restorer: Restorer = served.model
        window = math.isqrt(budget // restorer.bytes_per_pixel)
        fitting = min(window - 2 * _restore_halo(served), RESTORE_TILE if on_cpu else RESTORE_TILE_CUDA)
        side = min(self._tile or fitting, self._allowed_side.get(served.card.name, MIB))
        return max(feathered.SMALLEST_TILE, side // feathered.ALIGN * feathered.ALIGN)

    def _budget(self) -> int:
        if self.device.type == "cpu":
            return CPU_BUDGET_BYTES
        free, _ = torch.cuda.mem_get_info(self.device)
        idle = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int((free + idle) * CUDA_SHARE)

    def _reduced(self, picture: Picture) -> NDArray[np.float32]:
        """The picture for the predictor, (h, w, 3) in [0, 1]: area-reduced to a short side of 480."""
        height, width, channels = picture.pixels.shape
        ratio = min(1.0, LOOKED_AT_SIDE / min(height, width))
        size = max(1, round(height * ratio)), max(1, round(width * ratio))
        if picture.alpha is not None and not transparency.is_constant(picture.alpha):
            result = transparency.seen_means(picture.pixels, picture.alpha, *size)
        else:
            result = ops.area_mean(torch.from_numpy(np.require(picture.pixels, requirements=["C", "W"])), *size).numpy()
        return np.repeat(result, 3, axis=2) if channels == 1 else result

    def _dtype(self, name: str, kind: np.dtype[Any] | None = None) -> torch.dtype:
        """What a model computes in. `auto` keeps 16-bit pictures in float32: bfloat16 has no 16 bits to give."""
        card = self.card(name)
        if card.task == "enhance" or card.file is None:
            return torch.float32
        if self._precision != "auto":
            return DTYPES[self._precision]
        if kind == np.uint16 or (self.device.type == "cpu" and not cpu_has_bf16()):
            return torch.float32
        return DTYPES[card.reduced or "fp32"]

    def _served(self, name: str, dtype: torch.dtype, strength: float = 1.0) -> Served:
        """Of blends with another model only the last is kept."""
        key = (name, dtype, strength)
        if key not in self._models:
            card = self.card(name)
            model = catalog.load(
                name, device=self.device, dtype=dtype, weights_dir=self._weights_dir, strength=strength
            )
            sha256 = _sha256_of_weights(card, self._weights_dir)
            kept = {at: one for at, one in self._models.items() if at[:2] != key[:2] or at[2] == 1}
            self._models = {**kept, key: Served(card, model, dtype, sha256, strength)}
        return self._models[key]


@dataclass(frozen=True)
class Pass:
    """One model over one array: the colours of a picture, or its alpha."""

    runs: Runs[Upscaler]
    picture: Array
    result: Array
    plan: Plan
    batch: int

    def parts(self) -> list[tuple[Array, Array]]:
        """What is swept at once: all channels, or one at a time where the model must see the whole picture.

        A picture of one channel may have a result of three, which take the same values.
        """
        if self.plan.halo is not None or self.picture.shape[2] == 1:
            return [(self.picture, self.result)]
        channels = range(self.picture.shape[2])
        return [(self.picture[..., c : c + 1], self.result[..., c : c + 1]) for c in channels]


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N`. Raises ParameterError where torch cannot use the device asked for."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return torch.device("cuda:0" if gpus else "cpu")
    device = torch.device("cuda:0" if wanted == "cuda" else wanted)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ParameterError(f"device {wanted} is not here: torch sees {gpus} CUDA devices", parameter="device")
    return device


@cache
def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX512_BF16, AMX or ARM's BF16); without, it is slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def _sha256_of_weights(card: Card, weights_dir: Path | None) -> str | None:
    """Of the file that serves: the user's own stands before ours."""
    if card.file is None:
        return None
    path, _ = catalog.find_weights(card, weights_dir)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _shown(picture: Picture, near: int) -> Array:
    """The colours that a model should see which mixes those within `near` pixels."""
    return picture.pixels if picture.alpha is None else transparency.bleed(picture.pixels, picture.alpha, near)


def _alpha_pass(alpha: Array, size: Size, colours: Served) -> Pass:
    """Alpha by a resampler of its own, on the CPU; where colours keep their values, so does alpha."""
    ratio = min(size[0] / alpha.shape[0], size[1] / alpha.shape[1])
    upscaler = colours.model if colours.card.keeps_values else transparency.alpha_upscaler(alpha, ratio)
    tile = tuple(max(1, ALPHA_TILE * out // source) for source, out in zip(alpha.shape, size, strict=True))
    plan = tiles.plan(alpha.shape, size, tile=(tile[0], tile[1]), halo=transparency.KERNEL.halo(ratio))
    result = np.empty((*size, 1), alpha.dtype)
    return Pass(Runs(ALPHA, upscaler, torch.device("cpu")), alpha[..., None], result, plan, 1)


def _restore_halo(served: Served) -> int:
    """Pixels around a tile: at most what the card says, less for a network that sees less."""
    restorer: Restorer = served.model
    wanted = min(restorer.reach + MOVED_TAPS, served.card.halo)
    return math.ceil(wanted / feathered.ALIGN) * feathered.ALIGN


def _largest_side(card: Card, scale: float, budget: int, *, on_cuda: bool) -> int:
    """Input pixels a side whose window and output fit into `budget` bytes."""
    longest, longest_output = (CUDA_TILE, CUDA_TILE_OUTPUT) if on_cuda else (CPU_TILE, CPU_TILE_OUTPUT)
    side = card.tile or min(longest, int(longest_output / scale))
    while side > 16 and (side + 2 * card.halo) ** 2 * card.window_bytes + (side * scale) ** 2 * OUTPUT_BYTES > budget:
        side -= 8
    return side


def _through(picture: Picture, look_up: Callable[[Array], Array], tick: Tick, band_pixels: int) -> Picture:
    """`picture` through what changes the colours of (h, w, 3)."""
    pixels = picture.pixels
    if pixels.shape[2] == 1:
        look_up = _grey_look_up(pixels.dtype, look_up)
    return replace(picture, pixels=_in_bands(pixels, look_up, tick, band_pixels))


def _in_bands(pixels: Array, look_up: Callable[[Array], Array], tick: Tick, band_pixels: int) -> Array:
    """A change of each pixel by itself, some rows at a time."""
    rows = max(1, band_pixels // pixels.shape[1])
    bands = math.ceil(pixels.shape[0] / rows)
    if bands == 1:
        result = look_up(pixels)
    else:
        result = np.empty_like(pixels)
        for band in range(bands):
            tick(band, bands)
            result[band * rows : (band + 1) * rows] = look_up(pixels[band * rows : (band + 1) * rows])
    tick(bands, bands)
    return result


def _colour_look_up(lut: Tensor) -> Callable[[Array], Array]:
    def look_up(band: Array) -> Array:
        owned = np.require(band, requirements=["C", "W"])
        found: Array = ops.lut3d_apply(torch.from_numpy(owned).to(lut.device), lut).cpu().numpy()
        return found

    return look_up


def _grey_look_up(dtype: np.dtype[Any], colours_of: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """What becomes of every grey level of a type: the luma of the colour it becomes, computed with 16 bits."""
    levels = np.iinfo(dtype).max + 1
    ramp = (np.arange(levels, dtype=np.float64) * 65535 / (levels - 1) + 0.5).astype(np.uint16)
    luma = colours_of(np.repeat(ramp[None, :, None], 3, axis=2))[0].astype(np.float64) @ LUMA
    curve = np.floor(luma * (levels - 1) / 65535 + 0.5).clip(0, levels - 1).astype(dtype)
    return lambda band: np.take(curve, band)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For a network of a few milliseconds: on cores that are not idle, waiting for a second thread loses more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _short(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known == dtype)
