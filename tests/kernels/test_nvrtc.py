"""The `.cu` files compile for the cards we serve, with nothing but NVRTC, and keep their values in registers.

`pytest -s` prints registers, shared memory and spills of each kernel. Nothing here needs a GPU.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from kernels.cuda import loader
from tests.kernels.cuda_on_host import KERNELS

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")  # A100, H100 and H200, Blackwell for the desk
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


@cache
def compiled(source: str, arch: str) -> tuple[bytes, str]:
    return loader.compile_source(source, arch)


def reports(log: str) -> dict[str, Report]:
    by_name = {}
    for match in KERNEL_REPORT.finditer(log):
        shared = SHARED.search(match["rest"])
        spilt = int(match["stores"]) + int(match["loads"])
        by_name[match["name"]] = Report(int(match["registers"]), int(shared[1]) if shared else 0, spilt)
    return by_name


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("source", loader.SOURCES)
def test_each_source_compiles_without_warnings_and_spills_no_register(source: str, arch: str) -> None:
    needs_nvrtc()
    code, log = compiled(source, arch)
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


def test_what_does_not_compile_says_which_file_and_why() -> None:
    needs_nvrtc()
    with pytest.raises(RuntimeError, match=r"(?s)lut3d\.cu for sm_1: .*--gpu-architecture"):
        loader.compile_source("lut3d/lut3d.cu", "sm_1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    needs_nvrtc()
    monkeypatch.setenv("LUTRA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept" / "cuda"


def test_what_was_compiled_once_is_kept_and_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loader.cubin("lut3d_float/lut3d_float.cu", "sm_90")
    assert [path.suffix for path in folder.iterdir()] == [".cubin"]
    monkeypatch.setattr(loader, "compile_source", lambda *_: pytest.fail("compiled twice"))
    assert loader.cubin("lut3d_float/lut3d_float.cu", "sm_90") == first


def test_a_damaged_file_is_compiled_anew(folder: Path) -> None:
    first = loader.cubin("lut3d_float/lut3d_float.cu", "sm_90")
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    for damaged in (whole[:-1], b"", whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        kept.write_bytes(damaged)
        assert loader.cubin("lut3d_float/lut3d_float.cu", "sm_90") == first
        assert kept.read_bytes() == whole


def test_another_text_option_or_architecture_is_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {loader._fingerprint("lut3d_float/lut3d_float.cu", arch) for arch in ARCHITECTURES}
    monkeypatch.setattr(loader, "STANDARD", "c++20")
    names.add(loader._fingerprint("lut3d_float/lut3d_float.cu", "sm_90"))
    monkeypatch.setattr(loader, "compiler_version", lambda: "1.2")
    names.add(loader._fingerprint("lut3d_float/lut3d_float.cu", "sm_90"))
    monkeypatch.setattr(loader, "read_with_headers", lambda _: b"other text")
    names.add(loader._fingerprint("lut3d_float/lut3d_float.cu", "sm_90"))
    assert len(names) == 6


def test_a_folder_that_cannot_be_written_costs_no_more_than_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_nvrtc()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LUTRA_CACHE_DIR", str(tmp_path / "file"))
    assert loader.cubin("lut3d_float/lut3d_float.cu", "sm_90")[:4] == b"\x7fELF"
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_folder_is_ours_else_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUTRA_CACHE_DIR", str(tmp_path))
    assert loader.cache_folder() == tmp_path / "cuda"
    monkeypatch.delenv("LUTRA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert loader.cache_folder() == tmp_path / "lutra" / "cuda"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loader.cache_folder() == tmp_path / ".cache" / "lutra" / "cuda"


def test_the_text_of_a_source_holds_its_headers() -> None:
    text = loader.read_with_headers("lut3d/lut3d.cu").decode()
    for name in ("lut3d/lut3d.cu", "lut3d/cells.h", "shared/arithmetic.h"):
        assert (loader.SOURCE_FOLDER / name).read_text() in text


def test_every_source_is_known_to_the_loader_and_to_the_stand_in() -> None:
    sources = {path.relative_to(loader.SOURCE_FOLDER).as_posix() for path in loader.SOURCE_FOLDER.glob("*/*.cu")}
    assert sources == set(loader.SOURCES) == set(KERNELS)
    modules = [importlib.import_module(f"kernels.cuda.{Path(source).stem}") for source in loader.SOURCES]
    assert {module.SOURCE for module in modules} == sources
