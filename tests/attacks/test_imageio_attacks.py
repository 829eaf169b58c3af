"""Every hostile file gets its right problem, quickly, in little memory, without a word on the terminal."""

from __future__ import annotations

import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.attacks import files
from workers.errors import CorruptPicture, NotAPicture, PictureError, TooManyPixels
from workers.pictures.codecs import avif
from workers.pictures.imageio import decode, probe

LIMIT = 50_000_000


@pytest.mark.parametrize("name", sorted(files.hostile()))
def test_a_hostile_file_gets_its_problem_and_nothing_is_printed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, codes = files.hostile()[name]
    start = time.process_time()
    with pytest.raises(PictureError) as caught:
        decode(data, max_pixels=LIMIT)
    assert time.process_time() - start < 2
    assert caught.value.code in codes
    assert caught.value.message and "/" not in caught.value.message and "Traceback" not in caught.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(files.hostile()))
def test_the_header_of_a_hostile_file_never_says_more_than_its_problem(name: str) -> None:
    data, codes = files.hostile()[name]
    try:
        header = probe(data)
    except PictureError as error:
        assert error.code in codes
    else:
        assert header.width > 0 and header.height > 0


@pytest.mark.parametrize("name", sorted(files.elongated()))
def test_a_picture_of_one_long_side_costs_what_its_pixels_cost(name: str) -> None:
    data = files.elongated()[name]
    start = time.process_time()
    header, made = probe(data), decode(data, max_pixels=LIMIT)
    assert time.process_time() - start < 2
    assert made.pixels.shape[:2] == (header.height, header.width)


@pytest.mark.parametrize("name", sorted(files.good()))
def test_good_files_print_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    decode(files.good()[name], max_pixels=LIMIT)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(files.good()))
def test_the_header_of_a_good_file_says_what_is_decoded(name: str) -> None:
    header, made = probe(files.good()[name]), decode(files.good()[name], max_pixels=LIMIT)
    assert (header.height, header.width) == made.pixels.shape[:2]
    assert made.pixels.dtype == f"uint{header.bit_depth}" and header.lossy == made.lossy
    assert header.has_alpha or made.alpha is None


@pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg", "cmyk jpeg"])
def test_a_jpeg_cut_anywhere_is_an_error(kind: str) -> None:
    data = files.whole_files()[kind]
    assert decode(data, max_pixels=LIMIT)
    for size in range(3, len(data), 37):
        with pytest.raises(CorruptPicture):
            decode(data[:size], max_pixels=LIMIT)
    for size in range(len(data) - 8, len(data)):
        with pytest.raises(CorruptPicture):
            decode(data[:size], max_pixels=LIMIT)


@pytest.mark.parametrize(
    "kind", ["png", "16-bit png", "interlaced png", "webp", "lossless webp", "tiff", "bmp", "avif"]
)
def test_other_files_cut_anywhere_are_errors(kind: str) -> None:
    data = files.whole_files()[kind]
    for size in range(0, len(data), max(1, len(data) // 60)):
        with pytest.raises((CorruptPicture, NotAPicture)):
            decode(data[:size], max_pixels=LIMIT)
    with pytest.raises(CorruptPicture):
        decode(data[:-1], max_pixels=LIMIT)


@pytest.mark.parametrize("kind", sorted(files.whole_files()))
def test_random_damage_gives_a_whole_picture_or_a_problem(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = files.whole_files()[kind]
    rng = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            damaged[int(rng.integers(0, min(len(data), 4096)))] = int(rng.integers(0, 256))
        try:
            header = probe(bytes(damaged))
            made = decode(bytes(damaged), max_pixels=1_000_000)
        except PictureError:
            continue
        assert made.pixels.shape[:2] == (header.height, header.width)


def test_all_hostile_files_together_fit_in_little_memory() -> None:
    """A fresh process: what numpy and the codecs take by themselves, and 300 MB for the files and for all decoding."""
    code = (
        "import resource\n"
        "import cv2, imagecodecs, imagecodecs.imagecodecs, simplejpeg, tifffile\n"
        "from tests.attacks import files\n"
        "from workers.errors import PictureError\n"
        "from workers.pictures.imageio import decode\n"
        "made = [h.data for h in files.hostile().values()] + list(files.good().values())\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for data in made:\n"
        "    try: decode(data, max_pixels=50_000_000)\n"
        "    except PictureError: pass\n"
        "grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024\n"
        "assert grown < 300, grown\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_size_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(TooManyPixels):
        decode(files.hostile()["png bomb of 30000x30000"].data, max_pixels=LIMIT)
    assert probe(files.hostile()["png bomb of 30000x30000"].data).pixels == 900_000_000


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def meta_of(item: bytes, table: bytes) -> bytes:
    infe = box(b"infe", struct.pack(">IHH4s", 2 << 24, 1, 0, b"av01") + b"\0")
    iinf = box(b"iinf", struct.pack(">IH", 0, 1) + infe)
    return box(b"meta", bytes(4) + iinf + box(b"iloc", table)) + box(b"mdat", item)


def sequence_header(side: int) -> bytes:
    """A reduced still picture header (AV1 5.5.1) of side x side pixels, in an open bitstream unit with a size."""
    bits = "0001100000" + f"{15:04b}" * 2 + f"{side - 1:016b}" * 2
    payload = int(bits.ljust(64, "0"), 2).to_bytes(8, "big")
    return bytes((1 << 3 | 2, len(payload))) + payload


@pytest.mark.parametrize(("side", "fits"), [(100, True), (1000, True), (16384, False), (65536, False)])
def test_the_size_inside_an_avif_is_found(side: int, fits: bool) -> None:
    item = b"\x12\0" + sequence_header(side)
    start = len(meta_of(item, bytes(22))) - len(item)
    table = struct.pack(">I2BH3HII", 0, 0x44, 0, 1, 1, 0, 1, start, len(item))
    data = meta_of(item, table)
    assert data[start:] == item
    if fits:
        avif.refuse_lie(data, 100 * 100)
    else:
        with pytest.raises(CorruptPicture, match="larger"):
            avif.refuse_lie(data, 100 * 100)


def test_an_avif_whose_items_all_claim_the_whole_file_is_refused_at_once() -> None:
    table = struct.pack(">I2BH", 0, 0, 0, 1000) + struct.pack(">3H", 1, 0, 65535) * 1000
    with pytest.raises(CorruptPicture, match="share"):
        avif.refuse_lie(meta_of(bytes(10**6), table), 100)
