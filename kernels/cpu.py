"""The compiled kernels of this processor, and why they are missing where they are; importing never fails.

It computes nothing itself: `kernels._cpu` does, built from `kernels/csrc` where a compiler was found, and
`kernels.reference` serves where it is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kernels import columns as banded
from kernels import perceptron
from kernels.reference import area as reference
from kernels.reference import deform as deform_reference
from kernels.reference import modulated_mlp_predict as predict_reference
from kernels.reference.deform import ALL, NeedsGrad
from kernels.reference.modulated_mlp import Layers, Samples
from kernels.reference.modulated_mlp_predict import Pixels, PredictLayers, Ways
from kernels.reference.naf_block import NafLayers
from kernels.reference.resample import Taps, transposed

COLUMN_BYTES = 1 << 20  # of the columns in flight, a thread
TALLEST_AREA = (1 << 16) - 2  # rows whose 16-bit codes a 32-bit sum holds


def _reason(error: ImportError) -> str:
    """Why `kernels._cpu` is not there: never built, or built and not loadable."""
    if isinstance(error, ModuleNotFoundError):
        return (
            "not built, the PyTorch reference serves: no C++20 compiler worked when Lutra was installed; install one "
            "(g++ 11 or newer, or name it by CXX=); then `make run` builds them, and `pip install --verbose "
            "--editable .` shows the compiler's errors"
        )
    return f"cannot be loaded, the PyTorch reference serves ({error}); install Lutra again"


try:
    import kernels._cpu as _cpu

    _missing = ""
except ImportError as error:
    _missing = _reason(error)


def why_missing() -> str:
    """One sentence for `lutra doctor` and the readiness page; empty when the kernels are there."""
    return _missing


def extension() -> Path | None:
    """The file of the compiled kernels that are imported."""
    return None if _missing else Path(_cpu.__file__)


def paths() -> list[str]:
    """The instruction sets that are built and that this processor runs, slowest first; empty when nothing is built."""
    return [] if _missing else _cpu.paths()


def naf_paths(dtype: torch.dtype) -> list[str]:
    """Those of `naf_block` for pictures of that type: `paths()`, and after them one that multiplies bfloat16."""
    pairs = dtype == torch.bfloat16 and not _missing and _cpu.has_avx512bf16()
    return [*paths(), "avx512bf16"] if pairs else paths()


def lut3d_apply(picture: Tensor, lut: Tensor, threads: int | None = None, path: str = "auto") -> Tensor:
    """As `kernels.reference.lut3d.lut3d_apply`, to rounding; bit by bit the same on any number of threads.

    `threads` is torch's setting by default; `path` is one of `paths()`, "exact" (floating point) or "auto", the
    fastest. A path that the table is too steep or too wide for gives way to floating point.
    """
    out = picture.new_empty(picture.shape)
    pixels, table = picture.contiguous(), lut.detach().float().contiguous()
    work = zip(pixels, table, out, strict=True) if lut.dim() == 5 else [(pixels, table, out)]
    for source, own, target in work:
        _cpu.lut3d_apply(source.view(-1, 3), own, target.view(-1, 3), threads or torch.get_num_threads(), path)
    return out


def value_range(values: Tensor) -> tuple[float, float]:
    """Smallest and largest of at least one value, taken to float32; with a NaN among them one of the two is NaN.

    On the caller's thread alone: torch would share a table out among threads and wait for all of them.
    """
    return _cpu.value_range(values.detach().float().contiguous().view(-1))


def eclut(
    picture: Tensor, table: Tensor, scale: int, step: str = "lr", threads: int | None = None, path: str = "auto"
) -> Tensor:
    """As `kernels.reference.eclut.eclut`, bit by bit; the table's type determines the step.

    `threads` is torch's setting by default; `path` is one of `paths()` or "auto", the fastest.
    """
    height, width, channels = picture.shape
    out = picture.new_empty(height * scale, width * scale, channels)
    plain = picture.detach().contiguous(), table.detach().contiguous()
    _cpu.eclut(*plain, scale, out, threads or torch.get_num_threads(), path)
    return out


def modulated_mlp(
    modulations: Tensor,
    base: Tensor,
    samples: Samples,
    layers: Layers,
    threads: int | None = None,
    path: str = "auto",
) -> Tensor:
    """As `kernels.reference.modulated_mlp.modulated_mlp`, to rounding; bit by bit the same on any number of threads.

    `threads` is torch's setting by default; `path` is one of `paths()` or "auto", the fastest.
    """
    rows, cols, cell = samples
    out = base.new_empty(base.shape)
    _cpu.modulated_mlp(
        _bits(modulations.detach().permute(1, 2, 0).contiguous()),
        base.detach().contiguous(),
        rows.floor.contiguous(),
        rows.part.detach().contiguous(),
        cols.floor.contiguous(),
        cols.part.detach().contiguous(),
        perceptron.pack(layers, cell),
        out,
        threads or torch.get_num_threads(),
        path,
    )
    return out


def modulated_mlp_predict(
    pixels: Pixels, ways: Ways, layers: PredictLayers, threads: int | None = None, path: str = "auto"
) -> Tensor:
    """As the function of this name in `kernels.reference.modulated_mlp_predict`, to rounding; bit by bit the same on
    any number of threads.

    `threads` is torch's setting by default; `path` is one of `paths()` or "auto", the fastest.
    """
    if pixels.here.dtype == torch.float64:
        return predict_reference.modulated_mlp_predict(pixels, ways, layers)
    out = pixels.here.new_empty(len(layers.last), len(ways.rows), *ways.cols.shape)
    given, packed = _plain_predict(pixels, ways), perceptron.pack_predict(layers)
    _cpu.modulated_mlp_predict(*given, packed, out, threads or torch.get_num_threads(), path)
    return out


def modulated_mlp_predict_backward(
    grad: Tensor, pixels: Pixels, ways: Ways, layers: PredictLayers, threads: int | None = None, path: str = "auto"
) -> tuple[Tensor, ...]:
    """As the function of this name in `kernels.reference.modulated_mlp_predict`, to rounding; bit by bit the same on
    any number of threads: the sums of fixed parts of the pixels are added up in order."""
    if pixels.here.dtype == torch.float64:
        return predict_reference.modulated_mlp_predict_backward(grad, pixels, ways, layers)
    given, packed = _plain_predict(pixels, ways), perceptron.pack_predict(layers)
    by_modulations, by_here = (torch.empty(one.shape) for one in pixels)
    by_layers, count = torch.empty_like(packed), threads or torch.get_num_threads()
    computed = by_modulations, by_here, by_layers
    _cpu.modulated_mlp_predict_backward(grad.contiguous(), *given, packed, *computed, count, path)
    return by_modulations, by_here, *(one.clone() for one in perceptron.unpack_predict(by_layers))


def _plain_predict(pixels: Pixels, ways: Ways) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """In plain memory."""
    modulations, here, rows, cols = (one.detach().contiguous() for one in (*pixels, *ways))
    return modulations, here, rows, cols


def naf_block(
    x: Tensor, scale: Tensor, shift: Tensor, layers: NafLayers, threads: int | None = None, path: str = "auto"
) -> Tensor:
    """As `kernels.reference.naf_block.naf_block`, to rounding; bit by bit the same on any number of threads.

    `threads` is torch's setting by default; `path` is one of `naf_paths()` or "auto", the fastest. By "avx512bf16" what
    a 1x1 convolution takes is rounded to bfloat16, and counts as 0 below its normal range.
    """
    pixels = x.detach().permute(0, 2, 3, 1).contiguous()
    out = torch.empty_like(pixels)
    _cpu.naf_block(
        _bits(pixels),
        _bits(scale.detach().contiguous()),
        _bits(shift.detach().contiguous()),
        [_bits(layer.detach().contiguous().view(-1)) for layer in layers],
        _bits(out),
        threads or torch.get_num_threads(),
        path,
    )
    return out.permute(0, 3, 1, 2)


def resample(planes: Tensor, rows: Taps, cols: Taps, threads: int | None = None, path: str = "auto") -> Tensor:
    """As `kernels.reference.resample.resample`, to rounding; bit by bit the same on any number of threads.

    `threads` is torch's setting by default; `path` is one of `paths()` or "auto", the fastest.
    """
    shape = len(planes), len(rows.first), len(cols.first)
    return _resample(_cpu.resample, planes, rows, cols, shape, threads, path)


def resample_codes(picture: Tensor, rows: Taps, cols: Taps, threads: int | None = None, path: str = "auto") -> Tensor:
    """As `kernels.reference.resample.resample_codes`, to rounding; threads and path as of `resample`."""
    shape = picture.shape[2], len(rows.first), len(cols.first)
    return _resample(_cpu.resample_codes, picture, rows, cols, shape, threads, path)


def _resample(
    kernel: Callable[..., None],
    pixels: Tensor,
    rows: Taps,
    cols: Taps,
    shape: tuple[int, int, int],
    threads: int | None,
    path: str,
) -> Tensor:
    out = torch.empty(shape, dtype=torch.float32, device=pixels.device)
    taps = (part.detach().contiguous() for part in (*rows, *cols))
    kernel(pixels.detach().contiguous(), *taps, out, threads or torch.get_num_threads(), path)
    return out


def resample_backward(grad: Tensor, rows: Taps, cols: Taps, height: int, width: int) -> Tensor:
    """As `kernels.reference.resample.resample_backward`, to rounding; bit by bit the same on any number of threads."""
    if grad.numel() == 0:
        return grad.new_zeros(len(grad), height, width)
    return resample(grad, transposed(rows, height), transposed(cols, width))


def area_mean(picture: Tensor, height: int, width: int) -> Tensor:
    """As `kernels.reference.area.area_mean`, from exact sums."""
    if picture.shape[0] // height >= TALLEST_AREA:
        return reference.area_mean(picture, height, width)
    out = torch.empty(height, width, picture.shape[2], dtype=torch.float32, device=picture.device)
    _cpu.area_mean(picture.contiguous(), out, torch.get_num_threads())
    return out


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """As `kernels.reference.lut3d_float.lut3d`, to rounding; bit by bit the same on any number of threads."""
    out = picture.new_empty(picture.shape)
    _cpu.lut3d_forward(_pixels(picture), _tables(lut), _pixels(out), torch.get_num_threads())
    return out


def lut3d_backward(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    """As `kernels.reference.lut3d_float.lut3d_backward`, to rounding; bit by bit the same on any number of threads."""
    by_picture = picture.new_empty(picture.shape if for_picture else 0)
    by_lut = lut.new_empty(lut.shape if for_lut else 0)
    _cpu.lut3d_backward(
        _pixels(grad),
        _pixels(picture),
        _tables(lut),
        _pixels(by_picture) if for_picture else None,
        _tables(by_lut) if for_lut else None,
        torch.get_num_threads(),
    )
    return by_picture, by_lut


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, path: str = "auto") -> Tensor:
    """As `kernels.reference.deform.deform_conv2d`, to rounding; bfloat16 rounds the columns too.

    `path` is one of `paths()` or "auto", the fastest.
    """
    if x.dtype == torch.float64 or x.numel() == 0 or weight.numel() == 0:
        return deform_reference.deform_conv2d(x, offset, mask, weight)
    pixels = banded.channels_last(x)
    loops = _DeformLoops.of(pixels, *banded.plain_planes(offset, mask, x), path)
    if not loops.multiply_too(weight):
        return banded.as_in_memory(banded.convolve(loops, pixels, weight, loops.threads * COLUMN_BYTES), x)
    out, taps = pixels.new_empty(*pixels.shape[:3], len(weight)), banded.taps_last(weight).t().contiguous()
    _cpu.deform_convolve(*loops.inputs, _bits(taps), _bits(out), loops.threads, path)
    return banded.as_in_memory(out, x)


def deform_conv2d_backward(
    grad: Tensor,
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    needed: NeedsGrad = ALL,
    path: str = "auto",
) -> banded.Gradients:
    """As `kernels.reference.deform.deform_conv2d_backward`, to rounding; the same on every run with as many threads."""
    if x.dtype == torch.float64 or x.numel() == 0 or weight.numel() == 0:
        return deform_reference.deform_conv2d_backward(grad, x, offset, mask, weight, needed)
    pixels, planes = banded.channels_last(x), banded.plain_planes(offset, mask, x)
    above, loops = banded.channels_last(grad), _DeformLoops.of(pixels, *planes, path)
    if loops.multiply_too(weight):
        taps = banded.taps_last(weight)
        computed = banded.room_for_gradients(pixels, planes, taps, needed)
        _cpu.deform_differentiate(_bits(above), *loops.inputs, _bits(taps), *computed, loops.threads, path)
    else:
        computed = banded.differentiate(loops, above, pixels, planes, weight, needed, loops.threads * COLUMN_BYTES)
    return banded.as_given(computed, x, offset, mask, weight)


@dataclass(frozen=True)
class _DeformLoops:
    """`kernels.columns.Loops` of this processor."""

    inputs: tuple[Tensor, Tensor, Tensor]  # x (N, H, W, C) as the extension takes it, offset, mask
    threads: int
    path: str

    @classmethod
    def of(cls, x: Tensor, offset: Tensor, mask: Tensor, path: str) -> _DeformLoops:
        return cls((_bits(x), offset, mask), torch.get_num_threads(), path)

    def multiply_too(self, weight: Tensor) -> bool:
        """Whether the extension does all: its products are faster than torch's, and no thread waits for others."""
        outputs, channels = weight.shape[:2]
        fits = self.path in ("auto", "avx512")
        return fits and _cpu.has_deform_products(weight.dtype == torch.bfloat16, channels, outputs)

    def read(self, first: int, columns: Tensor) -> None:
        _cpu.deform_columns(*self.inputs, _bits(columns), first, self.threads, self.path)

    def slopes(
        self, first: int, by_columns: Tensor, columns: Tensor | None, by_offset: Tensor | None, by_mask: Tensor | None
    ) -> None:
        again = None if columns is None else _bits(columns)
        _cpu.deform_gradients(*self.inputs, by_columns, again, by_offset, by_mask, first, self.threads, self.path)

    def send_back(self, first: int, by_columns: Tensor, by_x: Tensor) -> None:
        _cpu.deform_scatter(*self.inputs, by_columns, by_x, first, self.threads, self.path)


def _bits(values: Tensor) -> Tensor:
    """As the extension takes them: bfloat16 as int16."""
    return values.view(torch.int16) if values.dtype == torch.bfloat16 else values


def _pixels(picture: Tensor) -> Tensor:
    """(N, 3, H, W) as the extension takes it: (N, 3, pixels) in plain memory; a view where it is that already."""
    return picture.detach().contiguous().flatten(2)


def _tables(lut: Tensor) -> Tensor:
    """(3, D, D, D) or (N, 3, D, D, D) as the extension takes it: one or N tables in plain memory."""
    plain = lut.detach().contiguous()
    return plain if lut.dim() == 5 else plain[None]
