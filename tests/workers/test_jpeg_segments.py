"""The segments of a JPEG: told up to its picture, never without end."""

from __future__ import annotations

import pytest

from tests.attacks import files
from workers.errors import CorruptPicture
from workers.pictures.codecs import jpeg
from workers.pictures.codecs.jpeg_segments import MAX_SEGMENTS, SOS, segments


def saved() -> bytes:
    return files.saved(files.rgb(), "JPEG")


def test_segments_are_told_up_to_the_first_scan() -> None:
    found = list(segments(saved()))
    assert found[0].payload.startswith(b"JFIF")
    assert found[-1].marker == SOS
    assert [one.marker for one in found].count(SOS) == 1


@pytest.mark.parametrize("cut", [2, 20, 100])
def test_one_that_ends_before_its_picture_says_so(cut: int) -> None:
    with pytest.raises(CorruptPicture, match="before its picture begins"):
        jpeg.read_header(saved()[:cut])


def test_segments_without_end_are_given_up() -> None:
    data = saved()
    with pytest.raises(CorruptPicture, match=f"more than {MAX_SEGMENTS} segments"):
        jpeg.read_header(data[:2] + b"\xff\xe5\0\2" * (MAX_SEGMENTS + 1) + data[2:])
