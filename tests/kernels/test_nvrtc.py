"""The `.cu` files compile for the cards we serve, with nothing but NVRTC, and keep their values in registers.

`pytest -s` prints registers, shared memory and spills of each kernel. Nothing here needs a GPU.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import product

import pytest

from kernels.cuda import loader
from tests.kernels.ahead import Ahead
from tests.kernels.cuda_on_host import KERNELS

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")  # A100, H100 and H200, Blackwell for the desk
PLACES = [*product(loader.SOURCES, ARCHITECTURES)]
KERNEL_REPORT = re.compile(
    r"Function properties for (?P<name>\w+)\s+(?:ptxas\s*\.?\s*)?(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\s+"
    r"ptxas info\s*: Used (?P<registers>\d+) registers(?P<rest>[^\n]*)"
)
SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Report:
    registers: int
    shared_bytes: int
    spilt_bytes: int


def needs_nvrtc() -> None:
    """Its absence skips at home and fails in CI."""
    try:
        loader.compiler_version()
    except (ImportError, RuntimeError) as error:
        reason = f"NVRTC with cuda-core cannot be loaded ({str(error).strip()})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


compiled = Ahead(lambda place: loader.compile_source(*place), PLACES)


def reports(log: str) -> dict[str, Report]:
    by_name = {}
    for match in KERNEL_REPORT.finditer(log):
        shared = SHARED.search(match["rest"])
        spilt = int(match["stores"]) + int(match["loads"])
        by_name[match["name"]] = Report(int(match["registers"]), int(shared[1]) if shared else 0, spilt)
    return by_name


@pytest.mark.parametrize(("source", "arch"), PLACES)
def test_each_source_compiles_without_warnings_and_spills_no_register(source: str, arch: str) -> None:
    needs_nvrtc()
    code, log = compiled((source, arch))
    kernels = reports(log)
    print(f"\n{source} for {arch}, {len(code):,} bytes, NVRTC {loader.compiler_version()}")
    for name, report in kernels.items():
        print(
            f"  {name:32} {report.registers:4} registers, {report.shared_bytes} B shared, {report.spilt_bytes} B spilt"
        )
    assert set(kernels) == set(KERNELS[source]), log
    assert "warning" not in log, log
    assert {name: report.spilt_bytes for name, report in kernels.items() if report.spilt_bytes} == {}


def test_a_report_with_a_spill_is_read_as_one() -> None:
    log = (
        "ptxas info    : Compiling entry function 'a_1' for 'sm_90'\nptxas info    : Function properties for a_1\n"
        "ptxas         .     24 bytes stack frame, 20 bytes spill stores, 24 bytes spill loads\n"
        "ptxas info    : Used 64 registers, used 1 barriers, 24 bytes cumulative stack size, 12288 bytes smem\n"
        "ptxas info    : Function properties for b\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 8 registers, used 0 barriers\n"
    )
    assert reports(log) == {"a_1": Report(64, 12288, 44), "b": Report(8, 0, 0)}
