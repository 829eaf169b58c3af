"""ICC profiles for colours that a file declares by numbers: the code points of H.273, or chromaticities and a gamma.

AVIF and HEIC do so in a `colr` box of type `nclx`, PNG in its chunks cICP, cHRM and gAMA. With a profile in place of
the numbers, all that is done with profiles is done with these colours. What means sRGB, or cannot be said with a
profile, gives None. The curves of BT.709, BT.601, BT.2020 and HLG are taken as sRGB's, as pictures that declare them
are mostly meant; PQ is cut off at diffuse white, 203 cd/m2. Source: ITU-T H.273 (2021) tables 2 and 3; ITU-R BT.2408;
ICC.1:2010 sections 8 to 10.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

Chromaticities = tuple[float, float, float, float, float, float, float, float]  # x y of white, red, green, blue
Matrix = tuple[tuple[float, ...], ...]

_D65, _C, _E = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3)
SRGB: Chromaticities = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (*_C, 0.670, 0.330, 0.210, 0.710, 0.140, 0.080),
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_NAMES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_LIKE_SRGB = frozenset({1, 2, 6, 11, 12, 13, 14, 15, 18})
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_PQ = 16
_PQ_WHITE, _PQ_STEPS = 203 / 10000, 1024

_D50 = (0.9642029, 1.0, 0.8249054)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def profile(primaries: int, transfer: int, *, is_grey: bool) -> bytes | None:
    """The profile that H.273's ColourPrimaries and TransferCharacteristics mean; None for sRGB and for unknown ones."""
    like_srgb = transfer in _LIKE_SRGB
    if primaries == 2:  # unspecified
        primaries = 1
    if primaries not in _PRIMARIES or (like_srgb and (primaries == 1 or is_grey)):
        return None
    if like_srgb:
        curve = _srgb_curve()
    elif transfer in _GAMMAS:
        curve = _gamma_curve(_GAMMAS[transfer])
    elif transfer == _PQ:
        curve = _pq_curve()
    else:
        return None
    return _profile(_NAMES.get(primaries, f"H.273 {primaries}/{transfer}"), _PRIMARIES[primaries], curve, is_grey)


def of_gamma(chromaticities: Chromaticities | None, gamma: float | None, *, is_grey: bool) -> bytes | None:
    """The profile of PNG's cHRM (None: sRGB's) and gAMA (`gamma`: the exponent that decodes; None: sRGB's curve)."""
    places = chromaticities or SRGB
    same_places = max(abs(a - b) for a, b in zip(places, SRGB, strict=True)) < 0.002
    like_srgb = gamma is None or abs(gamma - 2.2) < 0.02
    if not _is_sane(places) or (gamma is not None and not 0.1 <= gamma <= 10):
        return None
    if like_srgb and (same_places or is_grey):
        return None
    curve = _srgb_curve() if gamma is None or like_srgb else _gamma_curve(gamma)
    return _profile("PNG cHRM, gAMA", places, curve, is_grey)


def _is_sane(places: Chromaticities) -> bool:
    """Whether a matrix can be made of them: within the diagram, and primaries that are not on one line."""
    if not all(-0.2 <= value <= 1.2 for value in places) or min(places[1::2]) == 0 or places[1] <= 0.01:
        return False
    (rx, ry), (gx, gy), (bx, by) = (places[i : i + 2] for i in (2, 4, 6))
    return abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)) > 1e-3


def _times(matrix: Matrix, vector: Iterable[float]) -> tuple[float, ...]:
    values = tuple(vector)
    return tuple(sum(a * b for a, b in zip(row, values, strict=True)) for row in matrix)


def _inverse(m: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = m
    minors = (e * i - f * h, c * h - b * i, b * f - c * e)
    det = a * minors[0] + d * minors[1] + g * minors[2]
    rows = (minors, (f * g - d * i, a * i - c * g, c * d - a * f), (d * h - e * g, b * g - a * h, a * e - b * d))
    return tuple(tuple(value / det for value in row) for row in rows)


def _xyz(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _adaptation(white: tuple[float, float]) -> Matrix:
    """Bradford, from `white` to D50 (ICC.1:2010 annex E)."""
    there, here = _times(_BRADFORD, _xyz(*white)), _times(_BRADFORD, _D50)
    scaled = tuple(tuple(row[j] * here[i] / there[i] for j in range(3)) for i, row in enumerate(_BRADFORD))
    back = _inverse(_BRADFORD)
    return tuple(_times(tuple(zip(*scaled, strict=True)), row) for row in back)


def _columns(places: Chromaticities) -> tuple[Matrix, Matrix]:
    """XYZ of the three primaries at D50, and the adaptation."""
    primaries = [_xyz(*places[i : i + 2]) for i in (2, 4, 6)]
    weights = _times(_inverse(tuple(zip(*primaries, strict=True))), _xyz(*places[:2]))
    chad = _adaptation(places[:2])
    at_d50 = tuple(_times(chad, (v * weight for v in xyz)) for xyz, weight in zip(primaries, weights, strict=True))
    return at_d50, chad


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _srgb_curve() -> bytes:
    return b"para" + struct.pack(">IHH", 0, 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _gamma_curve(gamma: float) -> bytes:
    return b"para" + struct.pack(">IHH", 0, 0, 0) + _fixed(gamma)


def _pq_curve() -> bytes:
    """SMPTE ST 2084, diffuse white at 1 and nothing above it."""
    steps = (min(1.0, _pq(i / (_PQ_STEPS - 1)) / _PQ_WHITE) for i in range(_PQ_STEPS))
    return b"curv" + struct.pack(f">II{_PQ_STEPS}H", 0, _PQ_STEPS, *(round(65535 * light) for light in steps))


def _pq(value: float) -> float:
    """Light of 10,000 cd/m2."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = value ** (1 / m2)
    return float((max(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _text(words: str) -> bytes:
    packed = words.encode("utf-16-be")
    return b"mluc" + struct.pack(">III2s2sII", 0, 1, 12, b"en", b"US", len(packed), 28) + packed


def _profile(name: str, places: Chromaticities, curve: bytes, is_grey: bool) -> bytes | None:
    """A display profile, ICC version 4: matrix and curves, or one curve for grey; None where numbers are absurd."""
    try:
        return _written(name, *_columns(places), curve, is_grey)
    except (ArithmeticError, struct.error):
        return None


def _written(name: str, primaries: Matrix, chad: Matrix, curve: bytes, is_grey: bool) -> bytes:
    tags = {
        b"desc": _text(name),
        b"cprt": _text("CC0"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(*(value for row in chad for value in row)),
    }
    if is_grey:
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags |= {letter + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*column), letter + b"TRC": curve}
    at, table, body, places_of = 132 + 12 * len(tags), b"", b"", dict[bytes, int]()
    for tag, value in tags.items():
        if value not in places_of:
            places_of[value] = at + len(body)
            body += value + bytes(-len(value) % 4)
        table += tag + struct.pack(">II", places_of[value], len(value))
    space = b"GRAY" if is_grey else b"RGB "
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x04200000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")
    head = (head.ljust(68, b"\0") + _fixed(*_D50)).ljust(128, b"\0")
    return head + struct.pack(">I", len(tags)) + table + body
