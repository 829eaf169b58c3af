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
    found: NDArray[Any] = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return found


def _program(steps: int, segments: int) -> bytes:
    """A multi-process tag (ICC.1:2010 section 10.16) of so many equal steps that share their bytes.

    A step is the matrix of no change, or three curves of so many segments that share theirs.
    """
    step = b"matf" + struct.pack(">IHH12f", 0, 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    if segments:
        formula = b"parf" + struct.pack(">IHH4f", 0, 0, 0, 1, 1, 0, 0)
        breaks = struct.pack(f">{segments - 1}f", *(i / segments for i in range(1, segments)))
        curve = b"curf" + struct.pack(">IHH", 0, segments, 0) + breaks + formula * segments
        step = b"cvst" + struct.pack(">IHH", 0, 3, 3) + struct.pack(">II", 36, len(curve)) * 3 + curve
    head = b"mpet" + struct.pack(">IHHI", 0, 3, 3, steps)
    return head + struct.pack(">II", 16 + 8 * steps, len(step)) * steps + step


def program_profile(steps: int, segments: int = 0, *, with_matrix: bool = True) -> bytes:
    """Display P3 of gamma 2.2, and a program for the same; `with_matrix=False`: the program alone."""
    program = _program(steps, segments)
    tags = dict.fromkeys((b"D2B0", b"D2B1", b"D2B2", b"B2D0"), program)
    plain = matrix_profile(DISPLAY_P3, 2.2) if with_matrix else None
    if plain is not None:
        count = struct.unpack_from(">I", plain, 128)[0]
        table = [struct.unpack_from(">4sII", plain, 132 + 12 * i) for i in range(count)]
        tags = {tag: plain[at : at + size] for tag, at, size in table} | tags
    made = _profile(b"mntr", b"RGB ", b"XYZ ", tags)
    return made[:8] + b"\x04\x30\0\0" + made[12:]


def steep_profiles() -> dict[str, bytes]:
    """Profiles that are large, or large once unpacked, in each way that tables allow."""
    curve = b"curv" + struct.pack(">II", 0, 65_530) + bytes(2 * 65_530)
    huge = b"curv" + struct.pack(">II", 0, 3_900_000) + bytes(2 * 3_900_000)
    columns = [tuple(row[i] for row in DISPLAY_P3) for i in range(3)]
    places = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}  # type: ignore[arg-type]
    names = (b"rTRC", b"gTRC", b"bTRC")

    def table(nodes: int, held: int) -> bytes:
        head = b"mft2\0\0\0\0" + struct.pack("4B", 3, 3, nodes, 0) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        ramp = struct.pack(">4096H", *range(0, 65536, 16)) * 3
        return (head + struct.pack(">HH", 4096, 4096) + ramp + bytes(6 * nodes**3) + ramp)[:held]

    return {
        "a program of 100 steps": program_profile(100),
        "a program of 15000 steps": program_profile(15_000),
        "a program of 32767 steps": program_profile(32_767),
        "a program of 1000 steps of 500 segments": program_profile(1000, 500),
        "a program of a curve of 60000 segments": program_profile(1, 60_000),
        "a program and nothing else": program_profile(15_000, with_matrix=False),
        "curves of 65530 values": _profile(b"mntr", b"RGB ", b"XYZ ", places | dict.fromkeys(names, curve)),
        "curves of 3900000 values": _profile(b"mntr", b"RGB ", b"XYZ ", places | {names[0]: huge, names[1]: curve}),
        "a table of 100 nodes a side": _profile(b"mntr", b"RGB ", b"Lab ", {b"A2B0": table(100, 7_000_000)}),
        "a table that claims 255 nodes": _profile(b"mntr", b"RGB ", b"Lab ", {b"A2B0": table(255, 200_000)}),
        "a grey curve of 3900000 values": _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": huge}),
    }
