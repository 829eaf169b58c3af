"""Checks that several operations share. Each raises a ValueError that says what was seen and what is wanted."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_NODES, MAX_NODES = 2, 129
CODES = (torch.uint8, torch.uint16)


def check_lut(lut: Tensor, batch: int | None) -> None:
    shapes = "(3, D, D, D)" if batch is None else f"(3, D, D, D) or ({batch}, 3, D, D, D)"
    fits = lut.dim() == 4 or (lut.dim() == 5 and batch is not None and lut.shape[0] == batch)
    if not fits or lut.shape[-4] != 3 or not lut.shape[-3] == lut.shape[-2] == lut.shape[-1]:
        raise ValueError(f"lut has shape {shape_of(lut)}, wanted {shapes}")
    if not MIN_NODES <= lut.shape[-1] <= MAX_NODES:
        raise ValueError(f"lut has shape {shape_of(lut)}, wanted {shapes} with D from {MIN_NODES} to {MAX_NODES}")


def check_storage(**tensors: Tensor) -> None:
    """All lie on one device, each in plain memory."""
    first = next(iter(tensors))
    for name, tensor in tensors.items():
        if tensor.device != tensors[first].device:
            devices = f"{first} is on {tensors[first].device} and {name} on {tensor.device}"
            raise ValueError(f"{devices}, wanted one device")
        if tensor.layout != torch.strided:
            raise ValueError(f"{name} is {tensor.layout}, wanted torch.strided")


def check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(f"{name} is {shape_of(tensor)} of {tensor.dtype}, wanted {tuple(shape)} of {dtype}")


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def any_of(types: tuple[torch.dtype, ...]) -> str:
    return " or ".join(map(str, types))
