"""How the kernels are called: torch.library custom ops, which check what comes in and pick the fastest kernel at hand.

`torch.ops.lutra.*` are the same ops. On the processor `kernels.cpu` works and on a CUDA device `kernels.cuda`, where
they are built; everywhere else `kernels.reference`, which is the specification. Nothing is logged: `why_missing` of
those two modules says what serves. `kernels.library` defines the ops, a file an operation.

Each op refuses bad input with a ValueError that says what was seen and what is wanted. Where shapes alone are traced
(torch.compile, meta tensors) the same checks are made, but for those that read values.
"""

from __future__ import annotations

from kernels.library.area import area_mean
from kernels.library.checks import MAX_NODES, MIN_NODES
from kernels.library.deform import FEATURES, deform_conv2d
from kernels.library.eclut import eclut
from kernels.library.lut3d import MAX_VALUE, lut3d_apply
from kernels.library.lut3d_float import lut3d
from kernels.library.modulated_mlp import modulated_mlp
from kernels.library.modulated_mlp_predict import modulated_mlp_predict
from kernels.library.naf_block import naf_block
from kernels.library.resample import resample, resample_codes
from kernels.reference.modulated_mlp import Layers, Places, Samples
from kernels.reference.modulated_mlp_predict import Pixels, PredictLayers, Ways
from kernels.reference.naf_block import LANES as NAF_LANES
from kernels.reference.naf_block import NafLayers
from kernels.reference.resample import Taps

__all__ = [
    "FEATURES",
    "MAX_NODES",
    "MAX_VALUE",
    "MIN_NODES",
    "NAF_LANES",
    "Layers",
    "NafLayers",
    "Pixels",
    "Places",
    "PredictLayers",
    "Samples",
    "Taps",
    "Ways",
    "area_mean",
    "deform_conv2d",
    "eclut",
    "lut3d",
    "lut3d_apply",
    "modulated_mlp",
    "modulated_mlp_predict",
    "naf_block",
    "resample",
    "resample_codes",
]
