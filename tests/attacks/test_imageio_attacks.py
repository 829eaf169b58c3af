"""Every hostile file gets its right problem, quickly, in little memory, without a word on the terminal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.attacks import files
from workers.errors import CorruptPicture, NotAPicture, PictureError, TooManyPixels
from workers.imageio import decode, probe

LIMIT = 50_000_000


@pytest.mark.parametrize("name", sorted(files.hostile()))
def test_a_hostile_file_gets_its_problem_and_nothing_is_printed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, codes = files.hostile()[name]
    with pytest.raises(PictureError) as caught:
        decode(data, max_pixels=LIMIT)
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


@pytest.mark.parametrize("name", sorted(files.good()))
def test_good_files_print_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    decode(files.good()[name], max_pixels=LIMIT)
    assert capfd.readouterr() == ("", "")


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
        "from workers.imageio import decode\n"
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
