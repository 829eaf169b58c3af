"""CUDA kernels are compiled once and kept; a damaged or unwritable file costs time and no more. No GPU is needed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from kernels.cuda import loader
from tests.kernels.cuda_on_host import KERNELS
from tests.kernels.test_nvrtc import ARCHITECTURES, needs_nvrtc


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
