"""The op `naf_block`: a NAF block under a code, served."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.library.checks import any_of, check_storage, check_tensor, shape_of
from kernels.library.definition import define
from kernels.reference import naf_block as reference
from kernels.reference.naf_block import LANES, NafLayers

TYPES = (torch.float32, torch.bfloat16)

Arguments = tuple[Tensor, Tensor, Tensor, NafLayers]


def naf_block(x: Tensor, scale: Tensor, shift: Tensor, layers: NafLayers) -> Tensor:
    """Serving: a NAF block whose gated channels a code scales and shifts, (N, C, h, w) -> (N, C, h, w), channels last.

    x float32 or bfloat16, fastest with channels last, C a multiple of 16, nothing of it 0; scale and shift (N, C) and
    the layers of its type. Arithmetic is float32; of bfloat16 the 1x1 convolutions multiply bfloat16 where the
    processor does (AVX-512 BF16), with sums in float32. A pixel has the same bits in any picture that has the same 3x3
    pixels around it. No gradients. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.naf_block(x, scale, shift, layers)
    return out


def grouped(x: Tensor, scale: Tensor, shift: Tensor, layers: list[Tensor]) -> Arguments:
    wanted = len(NafLayers._fields)
    if len(layers) != wanted:
        raise ValueError(f"there are {len(layers)} layers, wanted {wanted}")
    return x, scale, shift, NafLayers(*layers)


def _check(x: Tensor, scale: Tensor, shift: Tensor, layers: NafLayers) -> None:
    if x.dim() != 4 or x.numel() == 0 or x.shape[1] % LANES:
        wanted = f"(N, C, h, w), none of them 0 and C a multiple of {LANES}"
        raise ValueError(f"x has shape {shape_of(x)}, wanted {wanted}")
    if x.dtype not in TYPES:
        raise ValueError(f"x is {x.dtype}, wanted {any_of(TYPES)}")
    count, channels = x.shape[:2]
    for name, one in (("scale", scale), ("shift", shift)):
        check_tensor(name, one, (count, channels), x.dtype)
    shapes = reference.layer_shapes(channels)
    for name, layer in layers._asdict().items():
        check_tensor(name, layer, shapes[name], x.dtype)
    check_storage(x=x, scale=scale, shift=shift, **layers._asdict())


def _empty(x: Tensor, scale: Tensor, shift: Tensor, layers: NafLayers) -> Tensor:
    return x.new_empty(x.shape).contiguous(memory_format=torch.channels_last)


define(
    "naf_block(Tensor x, Tensor scale, Tensor shift, Tensor[] layers) -> Tensor",
    reference.naf_block,
    _check,
    _empty,
    grouped=grouped,
)
