"""All that only a GPU can show, in one command: python -m tests.kernels.gpu_check (which is `make gpu-check`).

The tests marked `cuda`, what the compiler says of the kernels, the benchmark, then every kernel under compute-sanitizer
where that is installed. It needs torch with CUDA, cuda-core, numpy, pillow and pytest; no network.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from kernels import cuda
from kernels.cuda import loader

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "numpy", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "triton", "pytest")
TESTS = ("tests/kernels", "tests/models", "tests/workers/test_engine.py")
TOOLS = ("memcheck", "racecheck", "synccheck")
UNSUPPORTED = ("Device not supported", "not supported on this")


def main() -> int:
    print("\n".join(machine_lines()), flush=True)
    if missing := cuda.why_missing():
        print(f"no GPU check: {missing}")
        return 1
    print(f"driver {driver()}; NVRTC {loader.compiler_version()}", flush=True)
    results = {
        "tests": run("-m", "pytest", "-q", "-m", "cuda", *importable(TESTS)),
        "compiler": run("-m", "pytest", "-q", "-s", "tests/kernels/test_nvrtc.py", "tests/kernels/test_cuda_loader.py"),
        "benchmark": run("-m", "benchmarks.gpu"),
        **{f"compute-sanitizer {tool}": sanitize(tool) for tool in TOOLS},
    }
    print("\n" + "\n".join(f"{name}: {outcome}" for name, outcome in results.items()))
    return int("failed" in results.values())


def machine_lines() -> list[str]:
    lines = [f"Python {platform.python_version()}, CUDA of torch {torch.version.cuda}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    if torch.cuda.is_available():
        lines += [device_line(index) for index in range(torch.cuda.device_count())]
    return lines


def device_line(index: int) -> str:
    properties = torch.cuda.get_device_properties(index)
    memory = f"{properties.total_memory / 2**30:.0f} GiB, {properties.multi_processor_count} multiprocessors"
    return f"device {index}: {properties.name}, {memory}, {loader.architecture(torch.device('cuda', index))}"


def driver() -> str:
    """Its version, and the CUDA that it speaks."""
    listed = Path("/proc/driver/nvidia/version")
    named = listed.read_text().splitlines()[0] if listed.exists() else "of unknown version"
    bindings = importlib.import_module("cuda.bindings.driver")
    _, number = bindings.cuDriverGetVersion()
    return f"{named}, CUDA {number // 1000}.{number % 1000 // 10}"


def importable(paths: tuple[str, ...]) -> list[str]:
    """Those that pytest can collect here: the service's own packages may be missing."""
    return [path for path in paths if run("-m", "pytest", "-q", "--collect-only", path, quiet=True) == "passed"]


def run(*arguments: str, quiet: bool = False) -> str:
    """passed, or failed, of one Python command in the root of the project."""
    if not quiet:
        print(f"\n== python {' '.join(arguments)}", flush=True)
    to = subprocess.DEVNULL if quiet else None
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=to, stderr=to, check=False)
    return "failed" if done.returncode else "passed"


def sanitize(tool: str) -> str:
    """Each allocation its own, so that what lies beside a tensor is not another of torch's."""
    sanitizer = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    if sanitizer is None:
        return "left out, compute-sanitizer is not installed"
    command = [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "tests.kernels.touch_all"]
    print(f"\n== {' '.join(command)}", flush=True)
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    print(output[-3000:], flush=True)
    if done.returncode and any(words in output for words in UNSUPPORTED):
        return "left out, this machine does not let compute-sanitizer at its device"
    return "failed" if done.returncode else "passed"


if __name__ == "__main__":
    sys.exit(main())
