"""The compiled kernels of this processor: their instruction sets, and what is said where they are missing."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
import torch

from kernels import cpu
from tests.kernels.test_build import output_of


def test_paths_start_with_the_portable_one_and_grow() -> None:
    everything = ["portable", "avx2", "avx512"]
    assert cpu.paths() == ([] if cpu.why_missing() else everything[: len(cpu.paths())])
    assert bool(cpu.paths()) == (not cpu.why_missing())


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="this system does not list its processor's features")
def test_paths_are_those_of_the_processor() -> None:
    if cpu.why_missing():
        pytest.skip(cpu.why_missing())
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert ("avx2" in cpu.paths()) == (platform.machine() == "x86_64" and {"avx2", "fma"} <= flags)
    wanted = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512vbmi"}
    assert ("avx512" in cpu.paths()) == (platform.machine() == "x86_64" and wanted <= flags)
    pairs = [*cpu.paths(), *["avx512bf16"] * ("avx512" in cpu.paths() and "avx512_bf16" in flags)]
    assert cpu.naf_paths(torch.bfloat16) == pairs
    assert cpu.naf_paths(torch.float32) == cpu.paths()


def test_without_the_extension_everything_imports_and_one_sentence_says_what_to_do() -> None:
    code = (
        "import sys; sys.modules['kernels._cpu'] = None; from kernels import cpu; print(cpu.paths(), cpu.why_missing())"
    )
    printed = output_of(sys.executable, "-c", code)
    assert printed.startswith("[] ")
    assert "install one (g++ 11" in printed
    assert "the PyTorch reference serves" in printed


def test_an_extension_that_cannot_be_loaded_is_told_from_one_that_was_never_built() -> None:
    assert "invalid ELF header" in cpu._reason(ImportError("_cpu.so: invalid ELF header"))
