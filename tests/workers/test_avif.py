"""What the coded data of an AVIF say themselves: the colours that no box tells."""

from __future__ import annotations

import numpy as np
import pytest

from tests.attacks import files
from tests.workers.declared import P3, exactly
from workers.pictures.codecs import avif, colour_box
from workers.pictures.imageio import decode

LIMIT = 1_000_000


@pytest.mark.parametrize("speed", [0, 10])
def test_without_a_box_the_sequence_header_of_an_avif_counts(speed: int) -> None:
    """What libaom writes there by itself, and other code points put in the place of these bits."""
    data = files.saved(files.rgb(), "AVIF", quality=90, speed=speed)
    told = avif.colours(data)
    assert told is not None
    without = data.replace(b"colrnclx", b"freenclx")
    assert colour_box.profile(without, "avif", is_grey=False) is None  # sRGB
    start = data.index(b"mdat") + 4
    bits = "".join(f"{byte:08b}" for byte in data[start : start + 64])
    at = bits.index(f"{told[0]:08b}{told[1]:08b}")
    bits = bits[:at] + f"{P3:08b}{13:08b}" + bits[at + 16 :]
    wide = without[:start] + int(bits, 2).to_bytes(64, "big") + without[start + 64 :]
    assert avif.colours(wide) == (P3, 13)
    stored = decode(data, max_pixels=LIMIT).pixels
    made = decode(wide, colour="srgb", max_pixels=LIMIT)
    assert np.abs(made.pixels - exactly(stored, P3)).max() < 2.5
