"""The kernels on a CUDA device: compiled for the card at hand on first use, launched on torch's current stream.

Each operation has a module of its own, which plans its launches; their functions are called by that module's name, as
`lut3d.lut3d_apply`. Arguments are checked by `kernels.ops`; importing this needs neither a device nor `cuda-core` and
touches neither.
"""

from __future__ import annotations

from kernels.cuda.loader import why_missing

__all__ = ["why_missing"]
