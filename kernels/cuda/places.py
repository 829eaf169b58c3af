"""What every launch is planned with: whole blocks, and tensors whose memory begins where 16-byte loads may."""

from __future__ import annotations

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
