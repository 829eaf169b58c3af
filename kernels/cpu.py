"""The compiled kernels of this processor, and why they are missing where they are; importing never fails.

It computes nothing itself: `kernels._cpu` does, built from `kernels/csrc` where a compiler was found, and
`kernels.reference` serves where it is not there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.reference import area as reference

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


def paths() -> list[str]:
    """The instruction sets that are built and that this processor runs, slowest first; empty when nothing is built."""
    return [] if _missing else _cpu.paths()


def lut3d_apply(picture: Tensor, lut: Tensor, threads: int | None = None, path: str = "auto") -> Tensor:
    """As `kernels.reference.lut3d.lut3d_apply`, to rounding; bit by bit the same on any number of threads.

    `threads` is torch's setting unless told; `path` is one of `paths()`, "exact" (floating point) or "auto", the
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


def is_tame(lut: Tensor) -> bool:
    """Whether 16-bit integers hold this table (3, D, D, D) to a hundredth of an 8-bit code."""
    return _cpu.is_tame(lut.detach().float().contiguous())


def eclut(
    picture: Tensor, table: Tensor, scale: int, step: str = "lr", threads: int | None = None, path: str = "auto"
) -> Tensor:
    """As `kernels.reference.eclut.eclut`, bit by bit; the table's type says the step.

    `threads` is torch's setting unless told; `path` is one of `paths()` or "auto", the fastest.
    """
    height, width, channels = picture.shape
    out = picture.new_empty(height * scale, width * scale, channels)
    plain = picture.detach().contiguous(), table.detach().contiguous()
    _cpu.eclut(*plain, scale, out, threads or torch.get_num_threads(), path)
    return out


def area_mean(picture: Tensor, height: int, width: int) -> Tensor:
    """As `kernels.reference.area.area_mean`, from exact sums."""
    if picture.shape[0] // height >= TALLEST_AREA:
        return reference.area_mean(picture, height, width)
    out = torch.empty(height, width, picture.shape[2], dtype=torch.float32, device=picture.device)
    _cpu.area_mean(picture.contiguous(), out, torch.get_num_threads())
    return out


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """As `kernels.reference.lut3d.lut3d`, to rounding; bit by bit the same on any number of threads."""
    out = picture.new_empty(picture.shape)
    _cpu.lut3d_forward(_pixels(picture), _tables(lut), _pixels(out), torch.get_num_threads())
    return out


def lut3d_backward(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    """As `kernels.reference.lut3d.lut3d_backward`, to rounding; bit by bit the same on any number of threads."""
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


def _pixels(picture: Tensor) -> Tensor:
    """(N, 3, H, W) as the extension takes it: (N, 3, pixels) in plain memory; a view where it is that already."""
    return picture.detach().contiguous().flatten(2)


def _tables(lut: Tensor) -> Tensor:
    """(3, D, D, D) or (N, 3, D, D, D) as the extension takes it: one or N tables in plain memory."""
    plain = lut.detach().contiguous()
    return plain if lut.dim() == 5 else plain[None]
