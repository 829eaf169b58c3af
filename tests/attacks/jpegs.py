"""Baseline JPEGs of any sampling factors and components, written by hand; ordinary encoders offer a handful.

All Huffman codes are of 4 (DC) or 8 bits (AC), which is simple and allowed. Source: ITU-T T.81 (1992) annexes A, B, F.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
Factors = tuple[tuple[int, int], ...]

_DC_SYMBOLS = tuple(range(12))
_AC_SYMBOLS = tuple(sorted([0x00, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]))
_DC_CODES = {symbol: f"{code:04b}" for code, symbol in enumerate(_DC_SYMBOLS)}
_AC_CODES = {symbol: f"{code:08b}" for code, symbol in enumerate(_AC_SYMBOLS)}
_STEP = 8  # of quantisation, for all coefficients
_ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))


def _cosines() -> Array:
    k, n = np.mgrid[0:8, 0:8]
    rows: Array = np.cos((2 * n + 1) * k * np.pi / 16) / 2
    rows[0] /= np.sqrt(2)
    return rows


def sampled(plane: Array, factor: tuple[int, int], factors: Factors) -> Array:
    """A full plane at the resolution that its factors leave it."""
    most_h, most_v = max(h for h, _ in factors), max(v for _, v in factors)
    height, width = plane.shape
    size = -(-width * factor[0] // most_h), -(-height * factor[1] // most_v)
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))


def written(planes: Array, factors: Factors, *, interleaved: bool = True, between: bytes = b"") -> bytes:
    """(H, W, C) planes as they are (YCbCr for three) as a JPEG; `between`: bytes behind each scan."""
    height, width, count = planes.shape
    most_h, most_v = max(h for h, _ in factors), max(v for _, v in factors)
    across, down = -(-width // (8 * most_h)), -(-height // (8 * most_v))
    blocks = [
        _blocks(sampled(planes[:, :, i], factors[i], factors), across * h, down * v) for i, (h, v) in enumerate(factors)
    ]
    head = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([_STEP] * 64))
    sizes = b"".join(bytes((i + 1, h << 4 | v, 0)) for i, (h, v) in enumerate(factors))
    head += segment(0xC0, struct.pack(">BHHB", 8, height, width, count) + sizes)
    head += segment(0xC4, b"\0" + bytes((0, 0, 0, len(_DC_SYMBOLS))).ljust(16, b"\0") + bytes(_DC_SYMBOLS))
    head += segment(0xC4, b"\x10" + (bytes(7) + bytes((len(_AC_SYMBOLS),))).ljust(16, b"\0") + bytes(_AC_SYMBOLS))
    if interleaved and count > 1:
        order = [
            (i, y * v + b, x * h + a)
            for y in range(down)
            for x in range(across)
            for i, (h, v) in enumerate(factors)
            for b in range(v)
            for a in range(h)
        ]
        return head + scan_header(*range(count)) + _coded(blocks, order) + between + b"\xff\xd9"
    for i, (h, v) in enumerate(factors):
        rows, columns = sampled(planes[:, :, i], (h, v), factors).shape
        rows, columns = -(-rows // 8), -(-columns // 8)
        order = [(i, y, x) for y in range(rows) for x in range(columns)]
        head += scan_header(i) + _coded(blocks, order) + between
    return head + b"\xff\xd9"


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def scan_header(*components: int) -> bytes:
    chosen = b"".join(bytes((i + 1, 0)) for i in components)
    return segment(0xDA, bytes((len(components),)) + chosen + b"\0\x3f\0")


def _blocks(plane: Array, columns: int, rows: int) -> Array:
    """(rows, columns, 64) quantised coefficients in zigzag order, the last row and column of pixels repeated."""
    missing = (0, rows * 8 - plane.shape[0]), (0, columns * 8 - plane.shape[1])
    levels = np.pad(plane.astype(float), missing, mode="edge") - 128
    cut = levels.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    levels = np.rint(_cosines() @ cut @ _cosines().T / _STEP).astype(int).reshape(rows, columns, 64)
    found: Array = levels[:, :, _ZIGZAG]
    return found


def _coded(blocks: list[Array], order: list[tuple[int, int, int]]) -> bytes:
    last, bits = dict.fromkeys(range(len(blocks)), 0), []
    for i, y, x in order:
        block = [int(value) for value in blocks[i][y, x]]
        bits.append(_value(block[0] - last[i], 0, _DC_CODES))
        last[i], end = block[0], 0
        for at in (k for k in range(1, 64) if block[k]):
            run = at - end - 1
            bits.append(_AC_CODES[0xF0] * (run // 16) + _value(block[at], run % 16, _AC_CODES))
            end = at
        bits.append(_AC_CODES[0] if end < 63 else "")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _value(value: int, run: int, codes: dict[int, str]) -> str:
    size = abs(value).bit_length()
    rest = value if value >= 0 else value + (1 << size) - 1
    return codes[run << 4 | size] + (f"{rest:0{size}b}" if size else "")
