"""What is built and packed: the extension where there is a compiler, a pure wheel where there is none."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from kernels import cpu

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "kernels" / "csrc"
OBJECTS = ROOT / "build" / "kernels"  # as in the Makefile
# What the wheel holds, and nothing else: patterns of files in the checkout.
PACKED = (
    "service/*.py",
    "service/*.html",
    "service/docs/*.*",
    "service/web/*.*",
    "workers/**/*.py",
    "workers/jobs/scripts/*.lua",
    "models/*.py",
    "models/cards/*.py",
    "models/scores/*.py",
    "models/scores/*.json",
    "models/weights/*.safetensors",
    "models/train/*.py",
    "models/train/recipes/*.py",
    "kernels/*.py",
    "kernels/library/*.py",
    "kernels/reference/*.py",
    "kernels/cuda/*.py",
    "kernels/csrc/*/*.h",
    "kernels/csrc/*/*.cu",
)
NO_COMPILER = {"CC": "/nonexistent", "CXX": "/nonexistent"}


def tool(*names: str) -> str:
    """The path of the first that is there; the absence of all skips at home and fails in CI."""
    for name in filter(None, names):
        if path := shutil.which(name):
            return path
    reason = f"{names[-1]} is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def compiler() -> str:
    return tool(os.environ.get("CXX", ""), "c++", "g++", "clang++")


def ran(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


def output_of(*command: str | Path, **environment: str) -> str:
    """What a command that must succeed prints."""
    done = ran(*command, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip_wheel(folder: Path, objects: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Builds the wheel of the checkout into `folder`, by the tools of this environment; `objects` is CMake's folder."""
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    return ran(*pip, "--config-settings", f"build-dir={objects}", ROOT, **environment)


def wheel_in(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def names_in(wheel: Path) -> set[str]:
    """The files of a wheel, less those that describe it."""
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def packed_of_the_checkout() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for pattern in PACKED for path in ROOT.glob(pattern)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, linked from what `make build` has compiled; what is missing there is compiled now."""
    compiler()
    folder = tmp_path_factory.mktemp("built")
    done = pip_wheel(folder, OBJECTS, REQUIRE_KERNELS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel as it is built without a compiler."""
    folder = tmp_path_factory.mktemp("pure")
    done = pip_wheel(folder, folder / "objects", **NO_COMPILER)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


# -- what is here ----------------------------------------------------------------------------------------------------


def test_the_kernels_are_built_where_there_is_a_compiler() -> None:
    compiler()
    assert cpu.why_missing() == ""


# -- threads ---------------------------------------------------------------------------------------------------------

BANDS = r"""
#include "shared/parallel.h"
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#define WANT(condition) \
  if (!(condition)) std::printf("%s, n %zu, threads %d\n", #condition, n, threads), std::exit(1)

void covers(std::size_t n, int threads) {
  std::vector<int> seen(n);  // plain: a place that two bands touch is a race that ThreadSanitizer reports
  std::atomic<std::size_t> bands{0};
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> on_caller{0};
  lutra::in_bands(n, threads, [&](std::size_t begin, std::size_t end) {
    ++bands;
    if (std::this_thread::get_id() == caller) ++on_caller;
    WANT(begin < end && end <= n);
    WANT(end - begin <= n / (threads > 0 ? threads : 1) + 1);
    for (std::size_t i = begin; i < end; ++i) ++seen[i];
  });
  for (int count : seen) WANT(count == 1);
  const std::size_t most = threads > 1 ? threads : 1;
  WANT(bands == (n < most ? n : most));
  WANT(on_caller == (n ? 1 : 0));
}

void throws(std::size_t n, int threads, std::size_t bad) {
  try {
    lutra::in_bands(n, threads, [&](std::size_t begin, std::size_t end) {
      if (begin <= bad && bad < end) throw std::invalid_argument("seen");
    });
  } catch (const std::invalid_argument&) {
    return;
  }
  WANT(!"the exception reached the caller");
}

int main() {
  for (std::size_t n : {0, 1, 2, 3, 7, 64, 1001})
    for (int threads : {-1, 0, 1, 2, 3, 8, 64}) {
      covers(n, threads);
      for (std::size_t bad = 0; bad < n; bad += 1 + n / 5) throws(n, threads, bad);
    }
}
"""


def test_bands_cover_all_once_and_their_exceptions_reach_the_caller(tmp_path: Path) -> None:
    (tmp_path / "bands.cpp").write_text(BANDS)
    output_of(
        compiler(), "-std=c++20", "-O1", "-pthread", f"-I{CSRC}", tmp_path / "bands.cpp", "-o", tmp_path / "bands"
    )
    output_of(tmp_path / "bands")


# -- wheels ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_wheel_holds_the_packages_their_data_and_the_extension_and_nothing_else(built: Path) -> None:
    extension = f"kernels/_cpu{sysconfig.get_config_var('EXT_SUFFIX')}"
    assert names_in(wheel_in(built)) == packed_of_the_checkout() | {extension}


@pytest.mark.slow
def test_the_wheel_brings_the_command(built: Path) -> None:
    with zipfile.ZipFile(wheel_in(built)) as file:
        (entry_points,) = [name for name in file.namelist() if name.endswith("/entry_points.txt")]
        assert "lutra = service.cli:main" in file.read(entry_points).decode().splitlines()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="these instruction sets are of x86-64")
@pytest.mark.usefixtures("built")
def test_no_function_compiled_for_an_instruction_set_can_replace_a_portable_one() -> None:
    """CMakeLists.txt, the rule of instruction sets: a weak definition is one that the linker may merge with others."""
    nm = tool("nm")
    sources = [*CSRC.glob("*/*_avx*.cpp")]
    assert sources
    for source in sources:
        (compiled,) = OBJECTS.rglob(f"{source.relative_to(CSRC)}.o")
        symbols = output_of(nm, "--demangle", "--defined-only", compiled).splitlines()
        assert [line for line in symbols if line[16:19] in (" W ", " V ", " u ")] == [], source.name


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_pure_and_whole(pure: Path) -> None:
    assert wheel_in(pure).name.endswith("-py3-none-any.whl")
    assert names_in(wheel_in(pure)) == packed_of_the_checkout()


@pytest.mark.slow
def test_without_a_compiler_the_look_up_works_by_the_reference(pure: Path) -> None:
    """-S keeps the editable installation of this environment from being imported instead."""
    with zipfile.ZipFile(wheel_in(pure)) as file:
        file.extractall(pure / "installed")
    code = f"""
import sys
sys.path[:] = [{str(pure / "installed")!r}, *sys.path[1:], {sysconfig.get_path("purelib")!r}]
import torch
from kernels import cpu, ops
from kernels.reference import lut3d
assert cpu.__file__.startswith({str(pure)!r}), cpu.__file__
picture = torch.arange(2 * 17 * 3).reshape(2, 17, 3).to(torch.uint8)
lut = torch.rand(3, 5, 5, 5, generator=torch.Generator().manual_seed(1))
assert torch.equal(ops.lut3d_apply(picture, lut), lut3d.lut3d_apply(picture, lut))
print(cpu.why_missing())
"""
    assert "no C++20 compiler worked" in output_of(sys.executable, "-S", "-c", code)


@pytest.mark.slow
def test_whoever_requires_the_kernels_is_told_that_they_do_not_build(tmp_path: Path) -> None:
    done = pip_wheel(tmp_path, tmp_path / "objects", REQUIRE_KERNELS="1", **NO_COMPILER)
    assert done.returncode != 0
    assert "/nonexistent" in done.stdout + done.stderr
