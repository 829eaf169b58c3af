"""Our `.cu` files as a processor runs them: compiled with the C++ compiler at hand and `cuda_on_host.h`.

`launch` takes the place of `kernels.cuda.loader.launch`, so a test runs the very code that plans the launches and the
very kernels, on tensors of the processor. What only a device can show is left to the tests marked `cuda`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels.cuda import loader, lut3d
from tests.kernels.ahead import Ahead

SHIM = Path(__file__).with_name("cuda_on_host.h")
FLOATS = ("f32", "f64")
KERNELS = {
    "lut3d/lut3d.cu": ("lut3d_range", "lut3d_pack", "lut3d_texels", "lut3d_u8", "lut3d_u8_texture", "lut3d_u16"),
    "lut3d_float/lut3d_float.cu": tuple(
        f"lut3d_{name}_{of}" for name in ("forward", "backward_picture", "backward_lut") for of in FLOATS
    ),
    "eclut/eclut.cu": tuple(f"eclut_{step}_{scale}" for step in ("lr", "hr") for scale in (2, 3, 4)),
    "deform/deform.cu": (
        *(f"deform_{name}_{of}" for name in ("columns", "gradients") for of in (*FLOATS, "bf16")),
        *(f"deform_scatter_{of}" for of in FLOATS),
    ),
    "modulated_mlp/modulated_mlp.cu": ("modulated_mlp_f32", "modulated_mlp_bf16"),
    "resample/resample.cu": ("resample_axis",),
}
WITH_BARRIERS = (
    *("lut3d_range", "lut3d_u8", "lut3d_u8_texture", "lut3d_u16"),
    *(f"deform_gradients_{of}" for of in (*FLOATS, "bf16")),
    *KERNELS["modulated_mlp/modulated_mlp.cu"],
)
FLAGS = ("-std=c++20", "-O2", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-shared", "-fPIC", "-pthread")


def compiler() -> str:
    """The C++ compiler; its absence skips at home and fails in CI."""
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail("no C++ compiler to run the CUDA kernels on the processor with")
    pytest.skip("no C++ compiler to run the CUDA kernels on the processor with")


def build_library(source: str) -> Path:
    """One `.cu` file as a library, built once for all test runs that share its text."""
    build = "\n".join([f'#include "{SHIM}"', f'#include "{source}"', *map(_entrance, KERNELS[source]), ""])
    whole = loader.read_with_headers(source) + SHIM.read_bytes() + " ".join([build, compiler(), *FLAGS]).encode()
    folder = Path(tempfile.gettempdir()) / f"lutra-cuda-on-host-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{Path(source).stem}-{hashlib.sha256(whole).hexdigest()[:24]}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            unit, fresh = Path(work) / "unit.cpp", Path(work) / "unit.so"
            unit.write_text(build)
            command = [compiler(), *FLAGS, f"-I{loader.SOURCE_FOLDER}", "-o", str(fresh), str(unit)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            fresh.replace(built)
    return built


built_library = Ahead(build_library, sorted(KERNELS))


@functools.cache
def library(source: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(built_library(source)))


def _entrance(kernel: str) -> str:
    return f"RUN_ON_HOST({kernel}, {'together' if kernel in WITH_BARRIERS else 'apart'})"


def launch(
    source: str, kernel: str, grid: tuple[int, ...], threads: int, *arguments: Tensor | int, device: object
) -> None:
    """As `kernels.cuda.loader.launch`."""
    values = [argument.data_ptr() if isinstance(argument, Tensor) else argument for argument in arguments]
    held = [ctypes.c_int64(value) for value in values]
    pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(value) for value in held))
    x, y = (*grid, 1)[:2]
    getattr(library(source), f"run_{kernel}")(x, y, threads, pointers)


@dataclass(frozen=True)
class HostTexture:
    handle: int
    held: object


def with_texture(table: lut3d.Table, texels: Tensor) -> lut3d.Table:
    """As the function of that name in `kernels.cuda.lut3d`, a `HostTexture` of the shim in place of the real one."""
    fields = (ctypes.c_int64 * 2)(texels.data_ptr(), 2 * lut3d.CELLS)
    return replace(table, texture=HostTexture(ctypes.addressof(fields), (fields, texels)))


def stand_in(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """From here on the functions of `kernels.cuda` work on tensors of the processor."""
    compiler()
    monkeypatch.setattr(loader, "launch", launch)
    monkeypatch.setattr(lut3d, "_with_texture", with_texture)
    return torch.device("cpu")
