"""The compiled kernels against memory that nobody may touch: a page without rights before and after each array.

It asks for no values beyond those of the same kernel in plain memory; tests/kernels holds those to the specification.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import subprocess
import sys
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from kernels import cpu
from kernels.reference import lut3d as reference
from kernels.reference.naf_block import layer_shapes

PAGE = mmap.PAGESIZE
LENGTHS = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257)  # around the blocks and chunks of every path
PATHS = ("portable", "exact", "avx2", "avx512")

pytestmark = pytest.mark.skipif(bool(cpu.why_missing()) or sys.platform != "linux", reason="needs the CPU kernels")


def _fenced(values: Tensor, at_end: bool, keep: list[mmap.mmap]) -> Tensor:
    """A copy of `values` that ends, or begins, at a page without rights."""
    size = values.numel() * values.element_size()
    pages = max(1, -(-size // PAGE))
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    keep.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for fence in (address, address + (pages + 1) * PAGE):
        assert libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(PAGE), 0) == 0
    start = PAGE + (pages * PAGE - size if at_end else 0)
    if not size:
        return torch.empty_like(values)
    copy = torch.frombuffer(memory, dtype=values.dtype, count=values.numel(), offset=start).view(values.shape)
    return copy.copy_(values)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_look_up_touches_nothing_beyond_its_arrays(dtype: torch.dtype, path: str, at_end: bool) -> None:
    from kernels import _cpu

    keep: list[mmap.mmap] = []
    table = _fenced(reference.identity_lut(17), at_end, keep)
    for length, threads in product(LENGTHS, (1, 3)):
        picture = torch.randint(0, 256, (length, 3)).to(dtype)
        out = _fenced(torch.zeros_like(picture), at_end, keep)
        _cpu.lut3d_apply(_fenced(picture, at_end, keep), table, out, threads, path)
        assert torch.equal(out, picture)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_table_super_resolution_touches_nothing_beyond_its_arrays(
    step: str, scale: int, path: str, at_end: bool
) -> None:
    from kernels import _cpu

    keep: list[mmap.mmap] = []
    entries, dtype = (9 * scale**2, torch.int8) if step == "lr" else ((scale + 2) ** 2, torch.int16)
    table = torch.randint(-128, 128, (1 << 16, entries)).to(dtype)
    fenced = _fenced(table, at_end, keep)
    for size in ((1, 1), (1, 17), (17, 1), (3, 65), (2, 161)):
        picture = torch.randint(0, 256, (*size, 3)).byte()
        picture[0], picture[-1] = 255, 255  # the table's last rows
        out = _fenced(torch.zeros(size[0] * scale, size[1] * scale, 3, dtype=torch.uint8), at_end, keep)
        _cpu.eclut(_fenced(picture, at_end, keep), fenced, scale, out, 1, path)
        assert torch.equal(out, cpu.eclut(picture, table, scale, step, path="portable"))


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_render_perceptron_touches_nothing_beyond_its_arrays(dtype: torch.dtype, path: str, at_end: bool) -> None:
    from kernels import _cpu

    keep: list[mmap.mmap] = []
    for size, scale in (((1, 1), 1), ((1, 17), 3), ((17, 1), 2), ((3, 65), 1), ((2, 40), 9)):
        said = torch.randn(*size, 208).to(dtype)
        floors = [torch.arange(-1, scale * side) // scale for side in size]
        places = [one for floor in floors for one in (floor, torch.rand(len(floor)))]
        out = torch.zeros(3, *map(len, floors))
        said = said.view(torch.int16) if dtype == torch.bfloat16 else said
        plain = said, torch.rand(out.shape), *places, torch.randn(1732) / 8
        fenced = [_fenced(one, at_end, keep) for one in plain]
        found = _fenced(out, at_end, keep)
        call: Callable[..., None] = _cpu.modulated_mlp
        call(*fenced, found, 2, path)
        call(*plain, out, 1, path)
        assert torch.equal(found, out)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
def test_the_training_of_the_perceptron_touches_nothing_beyond_its_arrays(path: str, at_end: bool) -> None:
    from kernels import _cpu

    keep: list[mmap.mmap] = []
    for pixels, down, right in ((1, 1, 1), (7, 2, 1), (16, 1, 3), (131, 2, 2)):
        given = torch.randn(192, pixels), torch.randn(16, pixels), torch.rand(down, pixels), torch.rand(right, pixels)
        plain = [*given, torch.randn(1443) / 4]
        out, results = torch.zeros(3, down, right, pixels), [torch.zeros_like(plain[k]) for k in (0, 1, 4)]
        fenced, found, fenced_results = (
            [_fenced(one, at_end, keep) for one in group] for group in (plain, [out], results)
        )
        forward: Callable[..., None] = _cpu.modulated_mlp_predict
        backward: Callable[..., None] = _cpu.modulated_mlp_predict_backward
        forward(*fenced, *found, 2, path)
        forward(*plain, out, 1, path)
        backward(*found, *fenced, *fenced_results, 2, path)
        backward(out, *plain, *results, 1, path)
        assert all(torch.equal(*pair) for pair in zip([out, *results], [*found, *fenced_results], strict=True))


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
def test_resampling_touches_nothing_beyond_its_arrays(path: str, at_end: bool) -> None:
    from kernels import _cpu

    keep: list[mmap.mmap] = []
    for size, samples, taps in (
        *(((1, 1), (1, 1), (1, 1)), ((5, 1), (3, 2), (5, 1)), ((1, 17), (2, 16), (1, 2))),
        *(((9, 31), (17, 33), (4, 4)), ((40, 1300), (3, 700), (6, 9)), ((7, 530), (16, 1025), (2, 16))),
    ):
        axes = []
        for side, count, reach in zip(size, samples, taps, strict=True):
            axes += [torch.arange(count) * (side - reach) // max(1, count - 1), torch.rand(count, reach)]
        plain, out = [torch.rand(2, *size), *axes], torch.zeros(2, *samples)
        found = _fenced(out, at_end, keep)
        call: Callable[..., None] = _cpu.resample
        call(*(_fenced(one, at_end, keep) for one in plain), found, 3, path)
        call(*plain, out, 1, path)
        assert out.any() and torch.equal(found, out)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_naf_block_touches_nothing_beyond_its_arrays(dtype: torch.dtype, path: str, at_end: bool) -> None:
    from kernels import _cpu

    def numbers(*shape: int) -> torch.Tensor:
        drawn = torch.randn(shape).to(dtype)
        return drawn.view(torch.int16) if dtype == torch.bfloat16 else drawn

    keep: list[mmap.mmap] = []
    for channels, size in product((16, 48), ((1, 1, 1), (2, 1, 9), (1, 9, 1), (2, 5, 3), (1, 9, 200))):
        layers = [numbers(math.prod(shape)) for shape in layer_shapes(channels).values()]
        given = numbers(*size, channels), numbers(size[0], channels), numbers(size[0], channels)
        out = torch.zeros_like(given[0])
        found = _fenced(out, at_end, keep)
        call: Callable[..., None] = _cpu.naf_block
        fenced, around = ([_fenced(one, at_end, keep) for one in group] for group in (given, layers))
        call(*fenced, around, found, 2, path)
        call(*given, layers, out, 1, path)
        assert out.any() and torch.equal(found, out)


FORK = """
import os, signal, torch
from kernels import ops
from kernels.reference.lut3d import identity_lut
torch.set_num_threads(4)
picture, table = torch.randint(0, 256, (1024, 1024, 3)).byte(), identity_lut(33)
ops.lut3d_apply(picture, table)
child = os.fork()
if child == 0:
    signal.alarm(30)
    os._exit(0 if ops.lut3d_apply(picture, table).numpy().tobytes() == picture.numpy().tobytes() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0)
"""


def test_a_child_forked_after_use_looks_up_on_several_threads() -> None:
    assert subprocess.run([sys.executable, "-c", FORK], timeout=120, check=False).returncode == 0
