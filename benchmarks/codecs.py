"""Picture input and output beside the libraries that one would pick instead, on a photo-like picture.

    python -m benchmarks.codecs [--megapixels 12] [--rounds 7] [--only png]

Each round runs every competitor once, in turn, so that a busy machine slows all alike; printed are the median, the
spread (quartiles) and the ratio to the first line of the group. One thread where the library lets one say so.
The picture is drawn from a seed: soft colour, texture at half resolution, sensor noise.

With --rounds 5 on 2026-11-20 (2 x AMD EPYC, Pillow 13, load 4 to 6, so look at ratios): PNG encode 259 ms against
Pillow's default 2882 (11.2 times, same size) and OpenCV's 257 (5 % larger); PNG decode 0.64 and JPEG decode 0.96 of
Pillow's time; TIFF deflate 0.49; AVIF at speed 8 0.21 for 4 % more bytes; ICC to sRGB 0.51. At 16 bits ICC takes 7
times as long as LittleCMS's default, which is wrong by up to 20/255 at the edge of the gamut.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import cv2
import imagecodecs
import numpy as np
import PIL
import simplejpeg
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from benchmarks.machine import processor
from workers.pictures import imageio
from workers.pictures.codecs import icc
from workers.pictures.imageio import Picture

Array = NDArray[Any]
Work = Callable[[], Any]
LIMIT = 10**9
OPENCV_JPEG = [
    *(cv2.IMWRITE_JPEG_QUALITY, 92),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


def photo(megapixels: float) -> Array:
    rng = np.random.default_rng(0)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    values = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    texture = rng.normal(0, 8, (height // 2, width // 2, 3)).astype(np.float32)
    noisy = values.astype(np.float32) + cv2.resize(texture, (width, height)) + rng.normal(0, 2, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def saved(pixels: Array, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Array:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def bgr(pixels: Array) -> Array:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


def opencv(data: bytes) -> Array:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV does not read this")
    return bgr(pixels)


def tiff(pixels: Array, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, photometric="rgb", **options)
    return out.getvalue()


def ours(data: bytes, colour: Any = "keep") -> Array:
    return imageio.decode(data, colour=colour, max_pixels=LIMIT).pixels


def write(pixels: Array, kind: str, profile: bytes | None = None, quality: int | None = None) -> bytes:
    return imageio.encode(Picture(pixels, None, profile, None, "png", False), kind, quality=quality)


def groups(pixels: Array) -> dict[str, dict[str, Work]]:
    deep = pixels.astype(np.uint16) * 257 + np.random.default_rng(1).integers(0, 257, pixels.shape).astype(np.uint16)
    jpeg, png, png16, webp, avif = (
        write(p, k) for p, k in ((pixels, "jpeg"), (pixels, "png"), (deep, "png"), (pixels, "webp"), (pixels, "avif"))
    )
    flat, flat16 = write(pixels, "tiff"), write(deep, "tiff")
    wide = bytes(imagecodecs.cms_profile("adobergb"))
    return {
        "jpeg decode": {
            "lutra": partial(ours, jpeg),
            "simplejpeg alone": partial(simplejpeg.decode_jpeg, jpeg),
            "OpenCV": partial(opencv, jpeg),
            "Pillow to numpy": partial(opened, jpeg),
        },
        "jpeg encode q92 4:4:4": {
            "lutra": partial(write, pixels, "jpeg"),
            "simplejpeg alone": partial(simplejpeg.encode_jpeg, pixels, 92),
            "OpenCV": lambda: cv2.imencode(".jpg", bgr(pixels), OPENCV_JPEG)[1],
            "Pillow": partial(saved, pixels, "JPEG", quality=92, subsampling=0),
        },
        "png decode": {
            "lutra": partial(ours, png),
            "imagecodecs alone": partial(imagecodecs.png_decode, png),
            "OpenCV": partial(opencv, png),
            "Pillow to numpy": partial(opened, png),
        },
        "png encode": {
            "lutra": partial(write, pixels, "png"),
            "OpenCV default": lambda: cv2.imencode(".png", bgr(pixels))[1],
            "imagecodecs default": partial(imagecodecs.png_encode, pixels),
            "Pillow level 1": partial(saved, pixels, "PNG", compress_level=1),
            "Pillow default": partial(saved, pixels, "PNG"),
        },
        "png 16-bit decode": {"lutra": partial(ours, png16), "OpenCV": partial(opencv, png16)},
        "png 16-bit encode": {
            "lutra": partial(write, deep, "png"),
            "OpenCV default": lambda: cv2.imencode(".png", bgr(deep))[1],
            "imagecodecs default": partial(imagecodecs.png_encode, deep),
        },
        "tiff decode": {
            "lutra": partial(ours, flat),
            "Pillow to numpy": partial(opened, flat),
            "tifffile": lambda: tifffile.imread(io.BytesIO(flat)),
        },
        "tiff encode, deflate": {
            "lutra": partial(write, pixels, "tiff"),
            "tifffile": partial(tiff, pixels, compression="zlib", predictor=True),
            "Pillow": partial(saved, pixels, "TIFF", compression="tiff_adobe_deflate"),
        },
        "tiff 16-bit decode": {"lutra": partial(ours, flat16), "OpenCV": partial(opencv, flat16)},
        "tiff 16-bit encode, deflate": {
            "lutra": partial(write, deep, "tiff"),
            "tifffile": partial(tiff, deep, compression="zlib", predictor=True),
        },
        "webp decode": {"lutra": partial(ours, webp), "Pillow to numpy": partial(opened, webp)},
        "webp encode q90": {
            "lutra": partial(write, pixels, "webp"),
            "OpenCV": lambda: cv2.imencode(".webp", bgr(pixels), [cv2.IMWRITE_WEBP_QUALITY, 90])[1],
            "Pillow": partial(saved, pixels, "WEBP", quality=90),
        },
        "avif decode": {"lutra": partial(ours, avif), "Pillow to numpy": partial(opened, avif)},
        "avif encode q80 4:4:4": {
            "lutra (speed 8)": partial(write, pixels, "avif"),
            "Pillow default speed 6": partial(saved, pixels, "AVIF", quality=80, subsampling="4:4:4"),
        },
        "icc to sRGB": {
            "lutra": partial(icc.to_srgb, pixels, wide),
            "Pillow": partial(pillow_to_srgb, pixels, wide),
        },
        "icc to sRGB, 16 bits": {
            "lutra (exact)": partial(icc.to_srgb, deep, wide),
            "LittleCMS with its cube (wrong by up to 20/255)": lambda: imagecodecs.cms_transform(
                deep, wide, icc.srgb_profile(), colorspace="rgb", outcolorspace="rgb"
            ),
        },
    }


def pillow_to_srgb(pixels: Array, profile: bytes) -> Array:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))


def small(pixels: Array) -> dict[str, dict[str, Work]]:
    """What one small request costs: read the header, decode, encode."""

    def trip(data: bytes, kind: str) -> bytes:
        imageio.probe(data)
        return imageio.encode(imageio.decode(data, max_pixels=LIMIT), kind)

    def pillow(data: bytes, kind: str, **options: Any) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            return saved(np.asarray(image), kind, **options)

    cut = np.ascontiguousarray(pixels[:512, :512])
    jpeg, png = write(cut, "jpeg"), write(cut, "png")
    return {
        "512x512 jpeg, there and back": {
            "lutra": partial(trip, jpeg, "jpeg"),
            "Pillow": partial(pillow, jpeg, "JPEG", quality=92, subsampling=0),
        },
        "512x512 png, there and back": {"lutra": partial(trip, png, "png"), "Pillow": partial(pillow, png, "PNG")},
    }


def measure(competitors: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for work in competitors.values():  # warm up
        work()
    for _ in range(rounds):
        for name, work in competitors.items():
            start = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - start) * 1000)
    return times


def report(title: str, competitors: dict[str, Work], rounds: int) -> None:
    print(f"\n{title}\n{'':42}{'ms':>10}{'quartiles':>20}{'ratio':>8}{'bytes':>13}")
    times = measure(competitors, rounds)
    base = float(np.median(next(iter(times.values()))))
    for name, values in times.items():
        low, middle, high = np.percentile(values, (25, 50, 75))
        made = competitors[name]()
        size = f"{len(made):,}" if isinstance(made, bytes | bytearray) or np.ndim(made) == 1 else ""
        spread = f"{low:.1f} to {high:.1f}"
        print(f"{name:42}{middle:10.1f}{spread:>20}{middle / base:8.2f}{size:>13}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="groups whose name contains this")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    pixels = photo(asked.megapixels)
    height, width, _ = pixels.shape
    print(f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, load {os.getloadavg()[0]:.1f}, Pillow {PIL.__version__}")
    print(f"{width}x{height}, {asked.rounds} rounds, interleaved; ratio > 1: slower than the first line")
    for title, competitors in (small(pixels) | groups(pixels)).items():
        if asked.only in title:
            report(title, competitors, asked.rounds)


if __name__ == "__main__":
    main()
