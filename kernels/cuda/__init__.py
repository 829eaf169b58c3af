"""The kernels on a CUDA device: compiled for the card at hand on first use, launched on torch's current stream.

Arguments are checked by `kernels.ops`; importing this needs neither a device nor `cuda-core` and touches neither.
"""

from __future__ import annotations

from kernels.cuda.deform import deform_conv2d, deform_conv2d_backward
from kernels.cuda.enlarge import eclut
from kernels.cuda.floating import lut3d, lut3d_backward
from kernels.cuda.loader import why_missing
from kernels.cuda.render import modulated_mlp
from kernels.cuda.stored import Table, look_up, lut3d_apply, prepare

__all__ = [
    "Table",
    "deform_conv2d",
    "deform_conv2d_backward",
    "eclut",
    "look_up",
    "lut3d",
    "lut3d_apply",
    "lut3d_backward",
    "modulated_mlp",
    "prepare",
    "why_missing",
]
