"""ICC profiles written by hand in bytes: matrix profiles of wide gamuts, grey, and a crude printer.

Version 2 profiles with the tags that LittleCMS needs and no more. Source: ICC.1:2001-04 sections 6.1 to 6.5.
"""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = tuple[tuple[float, float, float], ...]

# Columns are the primaries in XYZ, D50: ROMM RGB (ISO 22028-2), Display P3 and sRGB adapted by Bradford.
PROPHOTO: Matrix = ((0.7976749, 0.1351917, 0.0313534), (0.2880402, 0.7118741, 0.0000857), (0.0, 0.0, 0.8252100))
DISPLAY_P3: Matrix = (
    (0.5151187, 0.2919778, 0.1571035),
    (0.2411892, 0.6922441, 0.0665668),
    (-0.0010505, 0.0418791, 0.7840713),
)
SRGB: Matrix = ((0.4360747, 0.3850649, 0.1430804), (0.2225045, 0.7168786, 0.0606169), (0.0139322, 0.0971045, 0.7141733))
_D50 = (0.9642029, 1.0, 0.8249054)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _gamma(value: float) -> bytes:
    return b"curv" + struct.pack(">IIH2x", 0, 1, round(value * 256))


def _description(text: str) -> bytes:
    name = text.encode() + b"\0"
    return b"desc" + struct.pack(">II", 0, len(name)) + name + bytes(78)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description("made by hand"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(_D50)} | tags
    at = 128 + 4 + 12 * len(tags)
    table, body = [struct.pack(">I", len(tags))], b""
    for tag, value in tags.items():
        table.append(tag + struct.pack(">II", at + len(body), len(value)))
        body += value + bytes(-len(value) % 4)
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, kind, space, connection)
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(68 - len(head), b"\0")
    return (head.ljust(68, b"\0") + _fixed(*_D50)).ljust(128, b"\0") + b"".join(table) + body


def matrix_profile(primaries: Matrix, gamma: float) -> bytes:
    columns = [tuple(row[i] for row in primaries) for i in range(3)]
    tags = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}  # type: ignore[arg-type]
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma)))


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def printer_profile() -> bytes:
    """CMYK to Lab by a table of two nodes an ink: each ink takes away from L, and moves a and b a little."""
    ramp = bytes(range(256))
    nodes = []
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        light = max(0, 255 - 70 * (c + m + y) - 200 * k)
        nodes.append(bytes((light, 128 + 40 * (m - c) * (1 - k), 128 + 40 * (y - (c + m) // 2) * (1 - k))))
    head = b"mft1\0\0\0\0" + struct.pack("4B", 4, 3, 2, 0) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = head + ramp * 4 + b"".join(nodes) + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table})


def to_srgb_exactly(pixels: NDArray[Any], primaries: Matrix, gamma: float) -> NDArray[Any]:
    """The same conversion in float64, result in [0, 1], to compare with."""
    linear = (pixels / np.iinfo(pixels.dtype).max) ** (round(gamma * 256) / 256)
    light = np.clip(linear @ (np.linalg.inv(np.array(SRGB)) @ np.array(primaries)).T, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
