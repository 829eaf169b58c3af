"""From the `.cu` files in `kernels/csrc` to kernels that run: compile with NVRTC, keep the result on disk, launch.

A compiled file is kept under the hash of all that went into it (source, headers, options, compiler, architecture), so
it is never stale and a second start compiles nothing. Where the folder cannot be written, each process compiles anew.
What is specific to one kernel stands in `kernels.cuda.lut3d` and its neighbours. Source: the cuda-core 1.2
documentation (Program, ObjectCode, launch).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import io
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE_FOLDER = Path(__file__).resolve().parent.parent / "csrc"
SOURCES = tuple(f"{op}/{op}.cu" for op in ("lut3d", "lut3d_float", "eclut", "deform", "modulated_mlp", "resample"))
STANDARD = "c++17"
DIGEST_BYTES = hashlib.sha256().digest_size

WHITE = " \n\0"  # what a C library's message may end with

Argument = Tensor | int

_lock, _import_lock = threading.Lock(), threading.Lock()
_loaded: dict[tuple[str, str], Any] = {}  # (source, architecture) -> cuda.core.ObjectCode
_kernels: dict[tuple[str, str, str], Any] = {}  # (source, architecture, kernel) -> cuda.core.Kernel


# What is missing


def why_missing() -> str:
    """One sentence for `lutra doctor` and the readiness page; empty when the kernels can run."""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    return _why_not_for(architecture(torch.device("cuda", torch.cuda.current_device())))


@functools.cache
def _why_not_for(arch: str) -> str:
    try:
        compiler_version()
    except ImportError as error:
        return f"cuda-core with its bindings is not installed ({error})"
    except RuntimeError as error:  # the pathfinder of cuda-core found no such library
        return f"NVRTC was not found ({_first_line(error)})"
    for source in SOURCES:
        try:
            cubin(source, arch)
        except RuntimeError as error:
            return f"the CUDA kernels do not compile: {' '.join(str(error).split())[:400]}"
    return ""


def _first_line(error: BaseException) -> str:
    return str(error).strip(WHITE).partition("\n")[0]


# Compile


@functools.cache
def architecture(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


@functools.cache
def compiler_version() -> str:
    """NVRTC's version. Raises ImportError without the bindings, RuntimeError where the library cannot be loaded."""
    nvrtc = importlib.import_module("cuda.bindings.nvrtc")
    status, *version = nvrtc.nvrtcVersion()
    if int(status) != 0:
        raise RuntimeError(f"nvrtcVersion answered {status}")
    return ".".join(str(part) for part in version)


def compile_source(source: str, arch: str) -> tuple[bytes, str]:
    """One `.cu` file -> its machine code for `arch` and the assembler's report. Raises RuntimeError with the log."""
    core = _core()
    options = core.ProgramOptions(
        name=source, arch=arch, std=STANDARD, include_path=str(SOURCE_FOLDER), ptxas_options=["-v"]
    )
    log = io.StringIO()
    try:
        program = core.Program((SOURCE_FOLDER / source).read_text(), "c++", options)
        code = program.compile("cubin", logs=log)
    except Exception as error:  # cuda.core keeps its class of errors to itself
        raise RuntimeError(f"{source} for {arch}: {str(error).strip(WHITE)}") from error
    return bytes(code.code), log.getvalue()


def read_with_headers(source: str) -> bytes:
    """The text of a source and of every header of ours that it includes."""
    texts: dict[str, bytes] = {}
    waiting = [source]
    while waiting:
        name = waiting.pop()
        if name in texts:
            continue
        texts[name] = (SOURCE_FOLDER / name).read_bytes()
        waiting += re.findall(r'^#include "([^"]+)"', texts[name].decode(), re.MULTILINE)
    return b"".join(name.encode() + b"\0" + texts[name] for name in sorted(texts))


# Keep


def cubin(source: str, arch: str) -> bytes:
    """Machine code, from the folder of kept files or compiled and kept there."""
    kept = cache_folder() / f"{_fingerprint(source, arch)}.cubin"
    code = _read_kept(kept)
    if code is None:
        code, _ = compile_source(source, arch)
        _keep(kept, code)
    return code


def cache_folder() -> Path:
    """LUTRA_CACHE_DIR, else the user's cache folder as the XDG specification has it."""
    own = os.environ.get("LUTRA_CACHE_DIR")
    if own:
        return Path(own) / "cuda"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "lutra" / "cuda"


def _fingerprint(source: str, arch: str) -> str:
    what = f"{source} {arch} {STANDARD} {compiler_version()}\0".encode()
    return f"{Path(source).stem}-{arch}-{hashlib.sha256(what + read_with_headers(source)).hexdigest()[:32]}"


def _read_kept(path: Path) -> bytes | None:
    """What `_keep` wrote; None where it is not there, not readable or not whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def _keep(path: Path, code: bytes) -> None:
    """Appears whole or not at all; a folder that cannot be written costs the next start its compilation, no more."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    except OSError:
        return
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)


# Launch


class CurrentStream:
    """Torch's current stream of a device, as cuda.core takes streams of others."""

    def __init__(self, device: torch.device) -> None:
        self.address = torch.cuda.current_stream(device).cuda_stream

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self.address)


def launch(
    source: str, kernel: str, grid: Sequence[int], threads: int, *arguments: Argument, device: torch.device
) -> None:
    """Queues a kernel on torch's current stream of `device`. Raises RuntimeError.

    A tensor is passed as its address, an integer as 64 bits, of which a kernel's `int` takes the low 32.
    """
    values = [argument.data_ptr() if isinstance(argument, Tensor) else argument for argument in arguments]
    with torch.cuda.device(device):
        make_current(device)
        function = _kernel(source, kernel, architecture(device))
        stream, config = CurrentStream(device), _config(tuple(grid), threads)
        try:
            _core().launch(stream, config, function, *(ctypes.c_int64(value) for value in values))
        except Exception as error:  # cuda.core keeps its class of errors to itself
            raise RuntimeError(f"CUDA kernel {kernel} could not be launched: {error}") from error


@functools.cache
def _core() -> Any:
    with _import_lock:  # the package takes another's place while it is imported: a second thread would see half of it
        return importlib.import_module("cuda.core")


@functools.lru_cache(maxsize=256)
def _config(grid: tuple[int, ...], threads: int) -> Any:
    return _core().LaunchConfig(grid=grid, block=threads)


def make_current(device: torch.device) -> Any:
    """The device's primary context, which is torch's, for this thread; a fresh thread has none. -> cuda.core.Device"""
    handle = _core().Device(device.index)
    handle.set_current()
    return handle


def _kernel(source: str, kernel: str, arch: str) -> Any:
    loaded = _kernels.get((source, arch, kernel))
    if loaded is not None:
        return loaded
    with _lock:
        if (source, arch) not in _loaded:
            _loaded[source, arch] = _core().ObjectCode.from_cubin(cubin(source, arch), name=source)
        try:
            _kernels[source, arch, kernel] = _loaded[source, arch].get_kernel(kernel)
        except Exception as error:  # as above
            raise RuntimeError(f"CUDA kernel {kernel} could not be loaded: {error}") from error
        return _kernels[source, arch, kernel]
