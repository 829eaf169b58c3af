"""The colours that an AVIF or HEIC declares in a `colr` box of type `nclx`, as an ICC profile.

Where there is none, an AVIF's coded picture may say the same in its sequence header. A profile in the file goes before
both. Source: ISO/IEC 14496-12:2022 sections 8.11 and 12.1.5; ISO/IEC 23008-12:2022 sections 6.5.5 and 9.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from workers.pictures.codecs import avif, cicp
from workers.pictures.codecs.avif import Box, boxes, inside


def profile(data: bytes, kind: str, *, is_grey: bool) -> bytes | None:
    """None where nothing is declared, or sRGB."""
    colours = _declared(data)
    if colours is None and kind == "avif":
        colours = avif.colours(data)
    return cicp.profile(*colours, is_grey=is_grey) if colours else None


def _declared(data: bytes) -> tuple[int, int] | None:
    """Colour primaries and transfer characteristics of the primary item, by H.273."""
    meta = inside(data, [Box(b"", 0, len(data))], b"meta")
    properties = inside(data, meta, b"iprp", 4)
    all_of_them = [box for holder in inside(data, properties, b"ipco") for box in boxes(data, holder.start, holder.end)]
    for index in _of_primary_item(data, meta, properties) or range(1, len(all_of_them) + 1):
        if not 1 <= index <= len(all_of_them):
            continue
        name, start, end = all_of_them[index - 1]
        if name == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8:
            primaries, transfer = (int.from_bytes(data[start + at : start + at + 2], "big") for at in (4, 6))
            return primaries, transfer
    return None


def _of_primary_item(data: bytes, meta: list[Box], properties: list[Box]) -> list[int]:
    """Indices, from 1 on, of the primary item's properties; empty where the tables have none."""
    for box in inside(data, meta, b"pitm", 4):
        wide = 4 if data[box.start] else 2
        primary = int.from_bytes(data[box.start + 4 : box.start + 4 + wide], "big")
        for table in inside(data, properties, b"ipma"):
            for item, indices in _associations(data, table):
                if item == primary:
                    return indices
    return []


def _associations(data: bytes, table: Box) -> Iterator[tuple[int, list[int]]]:
    version, long_index = data[table.start], data[table.start + 3] & 1
    at, wide, step = table.start + 8, 4 if version else 2, 2 if long_index else 1
    for _ in range(int.from_bytes(data[table.start + 4 : table.start + 8], "big")):
        if at + wide >= table.end:
            return
        item, count = int.from_bytes(data[at : at + wide], "big"), data[at + wide]
        at += wide + 1
        mask = 0x7FFF if long_index else 0x7F
        yield item, [int.from_bytes(data[at + i * step : at + (i + 1) * step], "big") & mask for i in range(count)]
        at += count * step
