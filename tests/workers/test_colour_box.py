"""Which of several `colr` boxes counts, and what no box tells."""

from __future__ import annotations

import struct

import pytest

from tests.attacks.files import photo
from tests.workers.declared import BT2020, P3, SRGB, avif_of
from workers.pictures.codecs import cicp, colour_box
from workers.pictures.imageio import Picture, decode, encode

LIMIT = 1_000_000


@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("primaries", [P3, BT2020])
def test_a_box_is_the_profile_of_its_numbers(primaries: int, is_grey: bool) -> None:
    found = colour_box.profile(avif_of(photo(), primaries, 13), "avif", is_grey=is_grey)
    assert found == cicp.profile(primaries, 13, is_grey=is_grey)
    assert (found is None) == is_grey  # whose tones are sRGB's: primaries say nothing of grey


def test_srgb_needs_no_profile_and_a_box_that_is_none_tells_nothing() -> None:
    assert colour_box.profile(avif_of(photo(), SRGB, 13), "avif", is_grey=False) is None
    data = avif_of(photo(), P3, 13)
    for change in (data.replace(b"colrnclx", b"colrprof"), data.replace(b"colrnclx", b"freenclx")):
        assert colour_box.profile(change, "heic", is_grey=False) is None


def test_the_box_of_another_item_is_not_that_of_the_picture() -> None:
    """An AVIF with alpha holds two items; where the second is called the primary one, nothing tells its colours."""
    values = photo(channels=4)
    data = encode(Picture(values[:, :, :3], values[:, :, 3], None, None, "png", False), "avif", quality=100)
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">HH", P3, 13) + data[at + 4 :]
    assert colour_box.profile(data, "heic", is_grey=False) == cicp.profile(P3, 13, is_grey=False)
    at = data.index(b"pitm") + 8
    assert data[at : at + 2] == b"\0\1"
    assert colour_box.profile(data[:at] + b"\0\2" + data[at + 2 :], "heic", is_grey=False) is None


def test_of_several_boxes_that_of_the_primary_item_counts() -> None:
    """A table of associations that names the second box, and one that cannot be read."""
    data = avif_of(photo(), P3, 13)
    at = data.index(b"ipma")
    broken = data[: at + 8] + struct.pack(">I", 2**31) + data[at + 12 :]
    assert decode(data, max_pixels=LIMIT).icc is not None
    assert colour_box.profile(broken, "avif", is_grey=False) in (None, cicp.profile(P3, 13, is_grey=False))
