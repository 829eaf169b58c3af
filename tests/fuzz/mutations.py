"""Bytes changed at random and repeatably: bits, bytes, numbers, ranges, tokens, ends, halves of two files.

Everything is drawn from the `random.Random` handed in. The changes are those of AFL (Zalewski, 2013): what finds faults
in parsers is seldom noise, and mostly a plausible file with one implausible number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

MOST_GROWN = 1 << 16  # bytes by which an input may outgrow what it was made of
_NUMBERS: tuple[int, ...] = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    255,
    256,
    257,
    512,
    1000,
    1023,
    1024,
    4095,
)
_NUMBERS += (4096, 16383, 16384, 32767, 32768, 65534, 65535, 65536, 10**6, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 2)
_NUMBERS += (2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)

Change = Callable[[bytearray, Random], None]


def mutated(data: bytes, rng: Random, tokens: Sequence[bytes] = (), other: bytes = b"") -> bytes:
    """`data` after one to about ten changes. `tokens`: words of the format; `other`: a second file to splice with."""
    if other and rng.random() < 0.05:
        data = data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]
    made = bytearray(data)
    while True:
        if tokens and rng.random() < 0.2:
            _put_token(made, rng, tokens)
        else:
            rng.choices(_CHANGES, _WEIGHTS)[0](made, rng)
        if rng.random() < 0.4:
            return bytes(made[: len(data) + MOST_GROWN])


def number(rng: Random, size: int) -> bytes:
    """A number in `size` bytes that is likely to lie at an edge, in either order of bytes."""
    value: int = rng.choice(_NUMBERS) + rng.choice((0, 0, 0, -1, 1))
    return (value % (1 << 8 * size)).to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _place(data: bytearray, rng: Random, size: int = 1) -> int:
    """Where to change `size` bytes: heads are short and say much, so they are hit as often as all the rest."""
    room = max(0, len(data) - size)
    return rng.randint(0, min(room, 128)) if rng.random() < 0.4 else rng.randint(0, room)


def _range(data: bytearray, rng: Random) -> slice:
    at = _place(data, rng)
    return slice(at, at + min(len(data), 1 << rng.randint(0, 10)))


def _flip_bit(data: bytearray, rng: Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randint(0, 7)


def _set_byte(data: bytearray, rng: Random) -> None:
    if data:
        data[_place(data, rng)] = rng.choice((0, 255, rng.randint(0, 255)))


def _step_byte(data: bytearray, rng: Random) -> None:
    if data:
        at = _place(data, rng)
        data[at] = (data[at] + rng.choice((-16, -2, -1, 1, 2, 16))) % 256


def _put_number(data: bytearray, rng: Random) -> None:
    size = rng.choice((1, 2, 2, 4, 4, 4, 8))
    at = _place(data, rng, size)
    data[at : at + size] = number(rng, size)


def _step_number(data: bytearray, rng: Random) -> None:
    size, order = rng.choice((2, 4)), rng.choice(("<", ">"))
    if len(data) >= size:
        code, at = f"{order}{'H' if size == 2 else 'I'}", _place(data, rng, size)
        value = struct.unpack_from(code, data, at)[0]
        struct.pack_into(code, data, at, (value + rng.choice((-256, -2, -1, 1, 2, 256))) % 256**size)


def _delete(data: bytearray, rng: Random) -> None:
    del data[_range(data, rng)]


def _repeat(data: bytearray, rng: Random) -> None:
    part = _range(data, rng)
    times = rng.choice((1, 1, 1, 2, 30))
    data[part.start : part.start] = data[part] * times


def _move(data: bytearray, rng: Random) -> None:
    part = bytes(data[_range(data, rng)])
    at = _place(data, rng)
    data[at : at + len(part)] = part


def _insert(data: bytearray, rng: Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(1 << rng.randint(0, 6))


def _blank(data: bytearray, rng: Random) -> None:
    part = _range(data, rng)
    data[part] = bytes((rng.choice((0, 255, 32)),)) * len(data[part])


def _cut(data: bytearray, rng: Random) -> None:
    del data[rng.randint(0, len(data)) :]


def _put_token(data: bytearray, rng: Random, tokens: Sequence[bytes]) -> None:
    token, at = rng.choice(tokens), _place(data, rng)
    data[at : at + rng.choice((0, len(token)))] = token


_WEIGHTED: tuple[tuple[Change, int], ...] = (
    (_flip_bit, 6),
    (_set_byte, 4),
    (_step_byte, 3),
    (_put_number, 6),
    (_step_number, 3),
    (_delete, 2),
    (_repeat, 2),
    (_move, 1),
    (_insert, 1),
    (_blank, 1),
    (_cut, 1),
)
_CHANGES = [change for change, _ in _WEIGHTED]
_WEIGHTS = [weight for _, weight in _WEIGHTED]
