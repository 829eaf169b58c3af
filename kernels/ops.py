"""The doors of the kernels: torch.library custom ops, which check what comes in and pick the fastest kernel at hand.

`torch.ops.lutra.*` and the functions of this module are the same doors. On the processor `kernels.cpu` works and on a
CUDA device `kernels.cuda`, where they are built; everywhere else `kernels.reference`, which is the specification.
It computes nothing itself and logs nothing: `why_missing` of those two modules says what serves.

Each op refuses bad input with a ValueError that says what was seen and what is wanted. Where shapes alone are traced
(torch.compile, meta tensors) the same checks are made, but for those that read values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kernels import cpu, cuda
from kernels.reference import lut3d as reference

MIN_NODES, MAX_NODES = 2, 129
MAX_VALUE = 1e30  # of a table: the difference of two, times 65,535, stays finite in float32
CODES = (torch.uint8, torch.uint16)
FLOATS = (torch.float32, torch.float64)
SCALES = (2, 3, 4)
TABLE_ROWS = 1 << 16

Check = Callable[..., None]
Kernel = Callable[..., Any]


# ---- What a caller may do --------------------------------------------------------------------------------------------


def lut3d_apply(picture: Tensor, lut: Tensor) -> Tensor:
    """Serving: picture (H, W, 3) or (N, H, W, 3), uint8 or uint16 -> a new picture of the same shape and type.

    lut (3, D, D, D), or for a batch also one table each, (N, 3, D, D, D); any floating type, taken to float32; D from 2
    to 129; values finite and within 1e30 of 0, however steep. Results are integers: no gradients. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.lut3d_apply(picture, lut)
    return found


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """Training: picture (N, 3, H, W) in [0, 1], lut (3, D, D, D) or (N, 3, D, D, D) -> a new picture of the same shape.

    Both float32 or both float64: half precision holds neither the places nor their gradients. D from 2 to 129. Colours
    outside [0, 1] are clamped, NaN counts as 0. Differentiable once in both; `kernels.reference.lut3d` says in words
    what the gradients are at nodes and where colours are clamped. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.lut3d(picture, lut)
    return found


# ---- Checks ----------------------------------------------------------------------------------------------------------


def _check_apply(picture: Tensor, lut: Tensor) -> None:
    if picture.dim() not in (3, 4) or picture.shape[-1] != 3:
        raise ValueError(f"picture has shape {_shape(picture)}, wanted (height, width, 3) or (N, height, width, 3)")
    if picture.dtype not in CODES:
        raise ValueError(f"picture is {picture.dtype}, wanted {_any_of(CODES)}")
    if not lut.is_floating_point():
        raise ValueError(f"lut is {lut.dtype}, wanted a floating type")
    _check_lut(lut, picture.shape[0] if picture.dim() == 4 else None)
    _check_places(picture=picture, lut=lut)


def _check_apply_values(picture: Tensor, lut: Tensor) -> None:
    if lut.numel() == 0:
        return
    low, high = torch.stack(torch.aminmax(lut.detach().float())).tolist()
    if not (low >= -MAX_VALUE and high <= MAX_VALUE):  # so written, NaN is refused too
        raise ValueError(f"lut holds values from {low} to {high}, wanted finite ones from {-MAX_VALUE} to {MAX_VALUE}")


def _check_lut3d(picture: Tensor, lut: Tensor) -> None:
    if picture.dim() != 4 or picture.shape[1] != 3:
        raise ValueError(f"picture has shape {_shape(picture)}, wanted (N, 3, H, W)")
    if picture.dtype not in FLOATS or lut.dtype != picture.dtype:
        raise ValueError(f"picture is {picture.dtype} and lut is {lut.dtype}, wanted one of {_any_of(FLOATS)} for both")
    _check_lut(lut, picture.shape[0])
    _check_places(picture=picture, lut=lut)


def _check_lut3d_backward(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> None:
    _check_lut3d(picture, lut)
    if grad.shape != picture.shape or grad.dtype != picture.dtype:
        seen, wanted = f"{_shape(grad)} of {grad.dtype}", f"{_shape(picture)} of {picture.dtype}"
        raise ValueError(f"grad is {seen}, wanted {wanted} as the picture")
    _check_places(picture=picture, grad=grad)


def _check_lut(lut: Tensor, batch: int | None) -> None:
    shapes = "(3, D, D, D)" if batch is None else f"(3, D, D, D) or ({batch}, 3, D, D, D)"
    fits = lut.dim() == 4 or (lut.dim() == 5 and batch is not None and lut.shape[0] == batch)
    if not fits or lut.shape[-4] != 3 or not lut.shape[-3] == lut.shape[-2] == lut.shape[-1]:
        raise ValueError(f"lut has shape {_shape(lut)}, wanted {shapes}")
    if not MIN_NODES <= lut.shape[-1] <= MAX_NODES:
        raise ValueError(f"lut has shape {_shape(lut)}, wanted {shapes} with D from {MIN_NODES} to {MAX_NODES}")


def _check_places(**tensors: Tensor) -> None:
    """All lie on one device, each in plain memory."""
    first = next(iter(tensors))
    for name, tensor in tensors.items():
        if tensor.device != tensors[first].device:
            places = f"{first} is on {tensors[first].device} and {name} on {tensor.device}"
            raise ValueError(f"{places}, wanted one device")
        if tensor.layout != torch.strided:
            raise ValueError(f"{name} is {tensor.layout}, wanted torch.strided")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _any_of(types: tuple[torch.dtype, ...]) -> str:
    return " or ".join(map(str, types))


# ---- Registration ----------------------------------------------------------------------------------------------------


def _define(schema: str, check: Check, check_values: Check | None, specification: Kernel, empty: Kernel) -> Any:
    """One op. `specification` is its default body; what `kernels.cpu` and `kernels.cuda` have for it are functions of
    the same name and arguments. `empty` gives results of the right shapes, for tracing.
    """
    name = schema.partition("(")[0]

    def checked(work: Kernel) -> Kernel:
        def run(*arguments: Any) -> Any:
            check(*arguments)
            if check_values is not None:
                check_values(*arguments)
            return work(*arguments)

        return run

    def built_or_specified(module: Any) -> Kernel:
        def run(*arguments: Any) -> Any:
            work = specification if module.why_missing() else getattr(module, name, specification)
            return work(*arguments)

        return run

    def traced(*arguments: Any) -> Any:
        check(*arguments)
        return empty(*arguments)

    signature = schema.removeprefix(name)
    op = torch.library.custom_op(f"lutra::{name}", checked(specification), mutates_args=(), schema=signature)
    op.register_kernel("cpu")(checked(built_or_specified(cpu)))
    op.register_kernel("cuda")(checked(built_or_specified(cuda)))
    op.register_fake(traced)
    return op


def _empty_like(picture: Tensor, *_: Any) -> Tensor:
    return picture.new_empty(picture.shape)


def _empty_gradients(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    return picture.new_empty(picture.shape if for_picture else 0), lut.new_empty(lut.shape if for_lut else 0)


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    wanted = ctx.needs_input_grad
    found = torch.ops.lutra.lut3d_backward(grad, *ctx.saved_tensors, *wanted)
    by_picture, by_lut = (gradient if asked else None for gradient, asked in zip(found, wanted, strict=True))
    return by_picture, by_lut


_define(
    "lut3d_apply(Tensor picture, Tensor lut) -> Tensor",
    _check_apply,
    _check_apply_values,
    reference.lut3d_apply,
    _empty_like,
)
_define(
    "lut3d(Tensor picture, Tensor lut) -> Tensor", _check_lut3d, None, reference.lut3d, _empty_like
).register_autograd(_backward, setup_context=_remember)
_define(
    "lut3d_backward(Tensor grad, Tensor picture, Tensor lut, bool for_picture=True, bool for_lut=True)"
    " -> (Tensor, Tensor)",
    _check_lut3d_backward,
    None,
    reference.lut3d_backward,
    _empty_gradients,
)
