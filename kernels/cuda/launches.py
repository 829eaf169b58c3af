"""What launches are planned with: whole blocks, tensors whose memory begins where 16-byte loads may, and the refusal
where torch must be deterministic and atomic additions are not."""

from __future__ import annotations

import torch
from torch import Tensor

ALIGNMENT = 16  # bytes
MAX_GRID_Y = 65535


def blocks(items: int, each: int) -> int:
    """How many blocks of `each` hold all items."""
    return -(-items // each)


def aligned(tensor: Tensor) -> Tensor:
    """Contiguous, and begun at a multiple of 16 bytes, which a view into a larger tensor need not be."""
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def check_order_may_vary(what: str) -> None:
    """Raises RuntimeError where torch must be deterministic."""
    if torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(f"{what} in an order that varies from run to run")
