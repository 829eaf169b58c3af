"""What one would pick instead of our kernels, each called as its documentation says, with its set-up done beforehand.

A peer that is not installed is named in `missing`, never fatal. Pictures are (H, W, 3) uint8, tables (3, D, D, D) as
everywhere in this project.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from benchmarks.rounds import Contender

Array = NDArray[Any]
FFMPEG_FRAMES = 4


def missing() -> list[str]:
    """The peers that this machine lacks, with what would bring them."""
    absent = []
    if find_spec("PyOpenColorIO") is None:
        absent.append("OpenColorIO (pip install opencolorio)")
    if ffmpeg_program() is None:
        absent.append("ffmpeg (a package of the system, or pip install imageio-ffmpeg)")
    return absent


def look_up_peers(pixels: Array, lut: Tensor, folder: Path) -> list[Contender]:
    """Every installed peer with the threads it can use; ffmpeg reads its frame and its table from `folder`."""
    return [
        *(copy(pixels, threads) for threads in (1, 2)),
        *opencolorio(pixels, lut),
        *ffmpeg(pixels, lut, folder),
        pillow_look_up(pixels, lut),
    ]


# ---- The limit ---------------------------------------------------------------------------------------------------


def copy(pixels: Array, threads: int) -> Contender:
    """The same bytes read and written, into memory that is there already."""
    out = np.empty_like(pixels)
    bands = list(zip(np.array_split(pixels, threads), np.array_split(out, threads), strict=True))
    pool = ThreadPoolExecutor(threads)

    def work() -> Array:
        if threads == 1:
            np.copyto(out, pixels)
        else:
            list(pool.map(lambda band: np.copyto(band[1], band[0]), bands))
        return out

    return Contender("copy of the same bytes", work, threads, role="limit")


# ---- Look-up -----------------------------------------------------------------------------------------------------


def pillow_look_up(pixels: Array, lut: Tensor) -> Contender:
    table = ImageFilter.Color3DLUT(lut.shape[-1], lut.permute(1, 2, 3, 0).reshape(-1).numpy())
    image = Image.fromarray(pixels)
    return Contender("Pillow Color3DLUT", lambda: image.filter(table), is_trilinear=True)


def opencolorio(pixels: Array, lut: Tensor) -> list[Contender]:
    """It has no threads of its own and holds Python's lock while it works: one thread."""
    if find_spec("PyOpenColorIO") is None:
        return []
    ocio = import_module("PyOpenColorIO")
    table = ocio.Lut3DTransform(lut.shape[-1])
    table.setData(lut.permute(3, 2, 1, 0).reshape(-1).numpy())  # blue fastest
    depth = ocio.BIT_DEPTH_UINT8
    height, width, _ = pixels.shape

    def contender(name: str, interpolation: Any) -> Contender:
        table.setInterpolation(interpolation)
        processor = ocio.Config.CreateRaw().getProcessor(table)
        cpu = processor.getOptimizedCPUProcessor(depth, depth, ocio.OPTIMIZATION_DEFAULT)
        out = np.empty_like(pixels)
        source, target = (
            ocio.PackedImageDesc(array, width, height, 3, depth, 1, 3, 3 * width) for array in (pixels, out)
        )

        def work() -> Array:
            cpu.apply(source, target)
            return out

        return Contender(f"OpenColorIO {name}", work, is_trilinear=name == "trilinear")

    return [contender("tetrahedral", ocio.INTERP_TETRAHEDRAL), contender("trilinear", ocio.INTERP_LINEAR)]


def ffmpeg_program() -> str | None:
    found = shutil.which("ffmpeg")
    if found is None and find_spec("imageio_ffmpeg") is not None:
        found = import_module("imageio_ffmpeg").get_ffmpeg_exe()
    return found


def ffmpeg_version() -> str:
    program = ffmpeg_program()
    if program is None:
        return ""
    told = subprocess.run([program, "-version"], check=True, capture_output=True, text=True).stdout
    return " ".join(told.split()[:3:2])  # ffmpeg version 5.1.9-... Copyright


def ffmpeg(pixels: Array, lut: Tensor, folder: Path) -> list[Contender]:
    """Its filter alone: what `FFMPEG_FRAMES` more frames cost, each the same frame handed on by reference.

    The filter takes rgb24 as it is, so nothing is converted; the null output takes frames without copying them.
    """
    program = ffmpeg_program()
    if program is None:
        return []
    pixels.tofile(folder / "frame.rgb")
    write_cube(lut, folder / "table.cube")
    height, width, _ = pixels.shape
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "frame.rgb"]

    def run(interpolation: str, threads: int, frames: int, target: list[str]) -> bytes:
        look_up = f"loop=loop={frames - 1}:size=1:start=0,lut3d=file=table.cube:interp={interpolation}"
        limits = ["-threads", str(threads), "-filter_threads", str(threads)]
        command = [program, "-nostdin", "-loglevel", "error", *limits, *source, "-vf", look_up, *target]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout

    def contender(interpolation: str, threads: int) -> Contender:
        def seconds(frames: int) -> float:
            start = time.perf_counter()
            run(interpolation, threads, frames, ["-f", "null", "-"])
            return time.perf_counter() - start

        def clock() -> float:
            first = seconds(1)
            return (seconds(1 + FFMPEG_FRAMES) - first) / FFMPEG_FRAMES * 1000

        def work() -> Array:
            data = run(interpolation, threads, 1, ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            return np.frombuffer(data, np.uint8).reshape(pixels.shape)

        name = f"ffmpeg lut3d {interpolation}"
        return Contender(name, work, threads, clock=clock, is_trilinear=interpolation == "trilinear")

    return [contender(name, threads) for name in ("trilinear", "tetrahedral") for threads in (1, 2)]


def write_cube(lut: Tensor, file: Path) -> None:
    colours = lut.permute(1, 2, 3, 0).reshape(-1, 3).tolist()
    lines = [f"LUT_3D_SIZE {lut.shape[-1]}", *(f"{r:.9f} {g:.9f} {b:.9f}" for r, g, b in colours)]
    file.write_text("\n".join(lines) + "\n")


# ---- Upscaling ---------------------------------------------------------------------------------------------------


def upscale_peers(pixels: Array, scale: int) -> list[Contender]:
    image = Image.fromarray(pixels)
    size = (image.width * scale, image.height * scale)
    pillow = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    opencv = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}

    def of_pillow(name: str) -> Contender:
        return Contender(f"Pillow {name}", lambda: image.resize(size, pillow[name]))

    def of_opencv(name: str, threads: int) -> Contender:
        return Contender(f"OpenCV {name}", lambda: cv2.resize(pixels, size, interpolation=opencv[name]), threads)

    return [
        *(of_opencv(name, threads) for name in opencv for threads in (1, 2)),
        *(of_pillow(name) for name in pillow),
    ]
