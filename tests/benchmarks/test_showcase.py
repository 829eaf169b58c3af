"""The picture of the README: what its columns send and show, and that they are pasted where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.showcase import COLUMNS, GAP, HEAD, HEIGHT, WIDTH, Column, crops, enlarged, noisy, paste, small
from tests.living import photo

PHOTO = Image.fromarray(photo(512, 768))


def test_every_crop_lies_in_a_kodak_picture_and_each_operation_is_shown() -> None:
    assert [column.command[0] for column in COLUMNS] == ["enhance", "restore", "upscale"]
    for column in COLUMNS:
        assert 0 <= column.left <= 768 - WIDTH and 0 <= column.top <= 512 - HEIGHT


def test_before_is_what_was_sent_and_after_is_what_the_command_made(tmp_path: Path) -> None:
    column = Column(("upscale", "--scale", "4", "--model", "nearest"), "a", 100, 60, "x4", make=small, show=enlarged)
    before, after = crops(column, PHOTO, tmp_path)
    box = (100, 60, 100 + WIDTH, 60 + HEIGHT)
    nearest = small(PHOTO).resize(PHOTO.size, Image.Resampling.NEAREST).crop(box)
    assert np.array_equal(np.asarray(after), np.asarray(nearest))
    assert np.array_equal(np.asarray(before), np.asarray(enlarged(small(PHOTO)).crop(box)))
    with pytest.raises(RuntimeError, match="lutra upscale --scale 99 failed"):
        crops(Column(("upscale", "--scale", "99"), "b", 0, 0, ""), PHOTO, tmp_path)


def test_noise_has_the_strength_that_is_told() -> None:
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    assert np.asarray(noisy(grey), np.float64).std() == pytest.approx(25, rel=0.02)


def test_crops_stand_in_their_places_with_names_above() -> None:
    red, blue = Image.new("RGB", (WIDTH, HEIGHT), "red"), Image.new("RGB", (WIDTH, HEIGHT), "blue")
    sheet = paste({"one": (red, blue), "two": (blue, red)}, {"one": ("a", "b"), "two": ("c", "d")})
    assert sheet.size == (2 * WIDTH + GAP, 2 * (HEIGHT + HEAD))
    assert sheet.getpixel((WIDTH + GAP, HEAD)) == (0, 0, 255)
    assert sheet.getpixel((0, 2 * HEAD + HEIGHT)) == (0, 0, 255)
    above = np.asarray(sheet)[:HEAD, :WIDTH]
    assert above.min() < 100 < 250 < above.max()
