"""The doors of the kernels: torch.library custom ops, which check what comes in and pick the fastest kernel at hand.

`torch.ops.lutra.*` and the functions of this module are the same doors. On the processor `kernels.cpu` works and on a
CUDA device `kernels.cuda`, where they are built; everywhere else `kernels.reference`, which is the specification.
It computes nothing itself and logs nothing: `why_missing` of those two modules says what serves.

Each op refuses bad input with a ValueError that says what was seen and what is wanted. Where shapes alone are traced
(torch.compile, meta tensors) the same checks are made, but for those that read values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kernels import cpu, cuda
from kernels.cuda import deform as cuda_deform
from kernels.cuda import eclut as cuda_eclut
from kernels.cuda import lut3d as cuda_lut3d
from kernels.cuda import lut3d_float as cuda_lut3d_float
from kernels.cuda import modulated_mlp as cuda_mlp
from kernels.reference import area as area_reference
from kernels.reference import deform as deform_reference
from kernels.reference import eclut as eclut_reference
from kernels.reference import lut3d as lut3d_reference
from kernels.reference import lut3d_float as float_reference
from kernels.reference import modulated_mlp as mlp_reference

MIN_NODES, MAX_NODES = 2, 129
MAX_VALUE = 2.0**100  # of a table: the difference of two, times 65,535, stays finite in float32
CODES = (torch.uint8, torch.uint16)
FLOATS = (torch.float32, torch.float64)
FEATURES = (torch.float32, torch.float64, torch.bfloat16)
MODULATIONS = (torch.float32, torch.bfloat16)
SCALES = (2, 3, 4)
ROWS = 1 << 16  # one for each pair of 8-bit values

Library: Any = torch.library.Library  # which has no types
LIBRARY = Library("lutra", "DEF")

Check = Callable[..., None]
Kernel = Callable[..., Any]


# ---- What a caller may do --------------------------------------------------------------------------------------------


def lut3d_apply(picture: Tensor, lut: Tensor) -> Tensor:
    """Serving: picture (H, W, 3) or (N, H, W, 3), uint8 or uint16 -> a new picture of the same shape and type.

    lut (3, D, D, D), or for a batch also one table each, (N, 3, D, D, D); any floating type, taken to float32; D from 2
    to 129; values finite and within 2**100 of 0, however steep. Results are integers: no gradients. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.lut3d_apply(picture, lut)
    return found


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """Training: picture (N, 3, H, W) in [0, 1], lut (3, D, D, D) or (N, 3, D, D, D) -> a new picture of the same shape.

    Both float32 or both float64: half precision holds neither the places nor their gradients. D from 2 to 129. Colours
    outside [0, 1] are clamped, NaN counts as 0. Differentiable once in both, in reverse mode; the reference's docstring
    says what the gradients are at nodes and where colours are clamped. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.lut3d(picture, lut)
    return found


def eclut(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> Tensor:
    """Table super-resolution: picture (H, W, 3) uint8 -> (H scale, W scale, 3) uint8; scale 2, 3 or 4.

    table (65536, 9 scale^2) int8 for step "lr", (65536, (scale + 2)^2) int16 for "hr"; `kernels.reference.eclut` says
    what its entries mean. Results are integers: no gradients. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.eclut(picture, table, scale, step)
    return found


def area_mean(picture: Tensor, height: int, width: int) -> Tensor:
    """Serving: picture (H, W, C), uint8 or uint16 -> (height, width, C) float32, means over areas as shares of the top
    code; height from 1 to H and width from 1 to W. No gradients. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.area_mean(picture, height, width)
    return found


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Modulated deformable 3x3 convolution: x (N, C, H, W), weight (O, C, 3, 3) -> (N, O, H, W), no bias, in memory
    (planes or channels last) as x is. Stride, padding, dilation and the number of deformable groups are 1.

    offset (N, 18, H, W), in pixels, interleaved (dy, dx) for each tap of the kernel in row-major order; mask
    (N, 9, H, W), one factor a tap, used as it is. x and weight both float32, float64 or bfloat16, offset and mask of
    that type or float32; places are computed in float32 or better. Corners outside the picture count as zero, and so
    does a reading whose place is not finite. Differentiable once in all four, in reverse mode. Raises ValueError.
    """
    found: Tensor = torch.ops.lutra.deform_conv2d(x, offset, mask, weight)
    return found


def modulated_mlp(
    modulations: Tensor,
    window: Tensor,
    row_floor: Tensor,
    row_part: Tensor,
    col_floor: Tensor,
    col_part: Tensor,
    cell_height: float,
    cell_width: float,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
) -> Tensor:
    """Serving: LM-LIIF's render perceptron, from what a network says of h x w pixels to samples (3, rows, cols),
    float32, not clamped.

    modulations (208, h, w) float32 or bfloat16: six scales of 16, layer by layer, six shifts, the latent code; fastest
    with channels last in memory. window (3, h, w) float32, of which the bilinear blend is added. Each axis of samples:
    floor (count,) int64 of their places in the window, which may lie outside, where its first and last pixel go on,
    and fraction (count,) float32 in [0, 1), as `Axis.positions` gives them. cell: size of an output pixel in input
    pixels, times two. Layers (16, 20), five times (16, 16), (3, 16) with their biases, float32. A sample has the same
    bits whatever else is asked for. No gradients. Raises ValueError.
    """
    places = row_floor, row_part, col_floor, col_part
    found: Tensor = torch.ops.lutra.modulated_mlp(
        modulations, window, *places, cell_height, cell_width, weights, biases
    )
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
    if lut.device.type == "cpu" and not cpu.why_missing():
        low, high = cpu.value_range(lut)
    else:
        low, high = torch.stack(torch.aminmax(lut.detach().float())).tolist()
    if not (low >= -MAX_VALUE and high <= MAX_VALUE):  # so written, NaN is refused too
        raise ValueError(f"lut holds values from {low} to {high}, wanted finite ones within 2**100 of 0")


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


def _check_eclut(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> None:
    if picture.dim() != 3 or picture.shape[-1] != 3:
        raise ValueError(f"picture has shape {_shape(picture)}, wanted (height, width, 3)")
    if picture.dtype != torch.uint8:
        raise ValueError(f"picture is {picture.dtype}, wanted torch.uint8")
    if scale not in SCALES:
        raise ValueError(f"scale is {scale}, wanted one of {SCALES}")
    if step not in ("lr", "hr"):
        raise ValueError(f"step is {step!r}, wanted 'lr' or 'hr'")
    shape, dtype = ((ROWS, 9 * scale**2), torch.int8) if step == "lr" else ((ROWS, (scale + 2) ** 2), torch.int16)
    if table.shape != shape or table.dtype != dtype:
        seen = f"table is {_shape(table)} of {table.dtype}"
        raise ValueError(f"{seen}, wanted {shape} of {dtype} for step {step!r} at scale {scale}")
    _check_places(picture=picture, table=table)


def _check_area(picture: Tensor, height: int, width: int) -> None:
    if picture.dim() != 3 or picture.numel() == 0:
        raise ValueError(f"picture has shape {_shape(picture)}, wanted (height, width, channels), none of them 0")
    if picture.dtype not in CODES:
        raise ValueError(f"picture is {picture.dtype}, wanted {_any_of(CODES)}")
    if not 1 <= height <= picture.shape[0] or not 1 <= width <= picture.shape[1]:
        raise ValueError(f"size is {height}x{width}, wanted from 1x1 to the picture's own, {_shape(picture)[:2]}")
    _check_places(picture=picture)


def _check_deform(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> None:
    if x.dim() != 4:
        raise ValueError(f"x has shape {_shape(x)}, wanted (N, C, H, W)")
    if weight.dim() != 4 or weight.shape[1:] != (x.shape[1], 3, 3):
        raise ValueError(f"weight has shape {_shape(weight)}, wanted (O, {x.shape[1]}, 3, 3)")
    if x.dtype not in FEATURES or weight.dtype != x.dtype:
        raise ValueError(f"x is {x.dtype} and weight is {weight.dtype}, wanted one of {_any_of(FEATURES)} for both")
    for name, tensor, planes in (("offset", offset, 18), ("mask", mask, 9)):
        wanted = (x.shape[0], planes, *x.shape[2:])
        if tensor.shape != wanted:
            raise ValueError(f"{name} has shape {_shape(tensor)}, wanted {tuple(wanted)}")
        if tensor.dtype not in (x.dtype, torch.float32):
            raise ValueError(f"{name} is {tensor.dtype}, wanted {x.dtype} as x, or torch.float32")
    _check_places(x=x, offset=offset, mask=mask, weight=weight)


def _check_deform_backward(
    grad: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, *wanted: bool
) -> None:
    _check_deform(x, offset, mask, weight)
    shape = (x.shape[0], weight.shape[0], *x.shape[2:])
    if grad.shape != shape or grad.dtype != x.dtype:
        raise ValueError(f"grad is {_shape(grad)} of {grad.dtype}, wanted {shape} of {x.dtype}")
    _check_places(x=x, grad=grad)


def _check_mlp(
    modulations: Tensor,
    window: Tensor,
    row_floor: Tensor,
    row_part: Tensor,
    col_floor: Tensor,
    col_part: Tensor,
    cell_height: float,
    cell_width: float,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
) -> None:
    if modulations.dim() != 3 or modulations.shape[0] != mlp_reference.CHANNELS or modulations.numel() == 0:
        raise ValueError(
            f"modulations has shape {_shape(modulations)}, wanted ({mlp_reference.CHANNELS}, h, w), none of them 0"
        )
    if modulations.dtype not in MODULATIONS:
        raise ValueError(f"modulations is {modulations.dtype}, wanted {_any_of(MODULATIONS)}")
    _check_one("window", window, (mlp_reference.COLOURS, *modulations.shape[1:]))
    for axis, floor, part in (("row", row_floor, row_part), ("col", col_floor, col_part)):
        if floor.dim() != 1:
            raise ValueError(f"{axis}_floor has shape {_shape(floor)}, wanted (samples,)")
        _check_one(f"{axis}_floor", floor, _shape(floor), torch.int64)
        _check_one(f"{axis}_part", part, _shape(floor))
    shapes = mlp_reference.layers()
    if len(weights) != len(shapes) or len(biases) != len(shapes):
        raise ValueError(f"there are {len(weights)} weights and {len(biases)} biases, wanted {len(shapes)} of each")
    for layer, (weight, bias, shape) in enumerate(zip(weights, biases, shapes, strict=True)):
        _check_one(f"weights[{layer}]", weight, shape)
        _check_one(f"biases[{layer}]", bias, shape[:1])
    places = {"row_floor": row_floor, "row_part": row_part, "col_floor": col_floor, "col_part": col_part}
    known = {"weights": weights, "biases": biases}
    layers = {f"{name}[{layer}]": one for name, found in known.items() for layer, one in enumerate(found)}
    _check_places(modulations=modulations, window=window, **places, **layers)


def _check_one(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(f"{name} is {_shape(tensor)} of {tensor.dtype}, wanted {tuple(shape)} of {dtype}")


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


def _define(
    schema: str,
    specification: Kernel,
    check: Check,
    empty: Kernel,
    *,
    by_cuda: Kernel | None = None,
    check_values: Check | None = None,
    backward: Kernel | None = None,
) -> None:
    """One op. `specification` is its default body; `kernels.cpu` has a function of the same name and arguments, and
    `by_cuda` is that of a CUDA device, where there is one. `empty` gives results of the right shapes, for tracing.

    By a Library, since `torch.library.custom_op` imports torch._dynamo at the first call: a second that every worker
    and every run of the command line would wait.
    """
    name, _, _ = schema.partition("(")

    def on_cpu() -> Kernel:
        found: Kernel = specification if cpu.why_missing() else getattr(cpu, name)
        return found

    def on_cuda() -> Kernel:
        return specification if by_cuda is None or cuda.why_missing() else by_cuda

    def run(find: Callable[[], Kernel]) -> Kernel:
        def checked(*arguments: Any) -> Any:
            check(*arguments)
            if check_values is not None:
                check_values(*arguments)
            return find()(*arguments)

        return checked

    def traced(*arguments: Any) -> Any:
        check(*arguments)
        return empty(*arguments)

    LIBRARY.define(schema)
    LIBRARY.impl(name, run(lambda: specification), "CompositeExplicitAutograd")
    LIBRARY.impl(name, run(on_cpu), "CPU")
    LIBRARY.impl(name, run(on_cuda), "CUDA")
    torch.library.register_fake(f"lutra::{name}", traced, lib=LIBRARY)
    refuse = partial(_refuse_to_differentiate, name)
    torch.library.register_autograd(f"lutra::{name}", backward or refuse, setup_context=_remember, lib=LIBRARY)


def _empty_like(picture: Tensor, *_: Any) -> Tensor:
    return picture.new_empty(picture.shape)


def _empty_larger(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> Tensor:
    return picture.new_empty(picture.shape[0] * scale, picture.shape[1] * scale, 3)


def _empty_means(picture: Tensor, height: int, width: int) -> Tensor:
    return picture.new_empty(height, width, picture.shape[2], dtype=torch.float32)


def _empty_samples(
    modulations: Tensor, window: Tensor, row_floor: Tensor, row_part: Tensor, col_floor: Tensor, *_: Any
) -> Tensor:
    return window.new_empty(window.shape[0], row_floor.shape[0], col_floor.shape[0])


def _empty_gradients(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    return picture.new_empty(picture.shape if for_picture else 0), lut.new_empty(lut.shape if for_lut else 0)


def _empty_features(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    return deform_reference.empty_pixels(x, weight.shape[0])


def _empty_deform_gradients(
    grad: Tensor,
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    for_x: bool = True,
    for_offset: bool = True,
    for_mask: bool = True,
    for_weight: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    by_x = deform_reference.empty_pixels(x, x.shape[1]) if for_x else x.new_empty(0)
    rest = ((offset, for_offset), (mask, for_mask), (weight, for_weight))
    by_offset, by_mask, by_weight = (tensor.new_empty(tensor.shape if asked else 0) for tensor, asked in rest)
    return by_x, by_offset, by_mask, by_weight


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))


def _refuse_to_differentiate(name: str, *_: Any) -> None:
    raise RuntimeError(f"lutra::{name} has no gradient of its own")


def _differentiate_lut3d(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    wanted = ctx.needs_input_grad
    found = torch.ops.lutra.lut3d_backward(grad, *ctx.saved_tensors, *wanted)
    by_picture, by_lut = (gradient if asked else None for gradient, asked in zip(found, wanted, strict=True))
    return by_picture, by_lut


def _differentiate_deform(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = ctx.needs_input_grad
    found = torch.ops.lutra.deform_conv2d_backward(grad, *ctx.saved_tensors, *wanted)
    return tuple(gradient if asked else None for gradient, asked in zip(found, wanted, strict=True))


_define(
    "lut3d_apply(Tensor picture, Tensor lut) -> Tensor",
    lut3d_reference.lut3d_apply,
    _check_apply,
    _empty_like,
    by_cuda=cuda_lut3d.lut3d_apply,
    check_values=_check_apply_values,
)
_define(
    "lut3d(Tensor picture, Tensor lut) -> Tensor",
    float_reference.lut3d,
    _check_lut3d,
    _empty_like,
    by_cuda=cuda_lut3d_float.lut3d,
    backward=_differentiate_lut3d,
)
_define(
    "lut3d_backward(Tensor grad, Tensor picture, Tensor lut, bool for_picture=True, bool for_lut=True)"
    " -> (Tensor, Tensor)",
    float_reference.lut3d_backward,
    _check_lut3d_backward,
    _empty_gradients,
    by_cuda=cuda_lut3d_float.lut3d_backward,
)
_define(
    'eclut(Tensor picture, Tensor table, int scale, str step="lr") -> Tensor',
    eclut_reference.eclut,
    _check_eclut,
    _empty_larger,
    by_cuda=cuda_eclut.eclut,
)
_define(
    "area_mean(Tensor picture, int height, int width) -> Tensor",
    area_reference.area_mean,
    _check_area,
    _empty_means,
)
_define(
    "deform_conv2d(Tensor x, Tensor offset, Tensor mask, Tensor weight) -> Tensor",
    deform_reference.deform_conv2d,
    _check_deform,
    _empty_features,
    by_cuda=cuda_deform.deform_conv2d,
    backward=_differentiate_deform,
)
_define(
    "deform_conv2d_backward(Tensor grad, Tensor x, Tensor offset, Tensor mask, Tensor weight, bool for_x=True,"
    " bool for_offset=True, bool for_mask=True, bool for_weight=True) -> (Tensor, Tensor, Tensor, Tensor)",
    deform_reference.deform_conv2d_backward,
    _check_deform_backward,
    _empty_deform_gradients,
    by_cuda=cuda_deform.deform_conv2d_backward,
)
_define(
    "modulated_mlp(Tensor modulations, Tensor window, Tensor row_floor, Tensor row_part, Tensor col_floor,"
    " Tensor col_part, float cell_height, float cell_width, Tensor[] weights, Tensor[] biases) -> Tensor",
    mlp_reference.modulated_mlp,
    _check_mlp,
    _empty_samples,
    by_cuda=cuda_mlp.modulated_mlp,
)
