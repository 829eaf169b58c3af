"""Sizes of what a browser cannot show, read from the file's own header, are those that the service sees."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image

from tests.browser.driving import Sight
from tests.living import as_file, photo
from workers.pictures import imageio

pytestmark = pytest.mark.browser

PICTURE = Image.fromarray(photo(48, 64))
TURNED = Image.Exif()
TURNED[274] = 6  # a quarter turn
SIZE_OF = """async ([data, format]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  return (await import("./web/headers.js")).sizeOf(new Blob([bytes]), format);
}"""


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind, **options)
    return file.getvalue()


def big_endian() -> bytes:
    """A TIFF of Motorola's order, of which the header alone is asked for."""
    entries = [(256, 4, 64), (257, 3, 48 << 16), (258, 3, 8 << 16), (259, 3, 1 << 16), (262, 3, 1 << 16)]
    entries += [(273, 4, 200), (277, 3, 1 << 16), (278, 4, 48), (279, 4, 48 * 64)]
    directory = struct.pack(">H", len(entries)) + b"".join(
        struct.pack(">HHII", tag, kind, 1, at) for tag, kind, at in entries
    )
    return (b"MM\0*" + struct.pack(">I", 8) + directory).ljust(200, b"\0") + bytes(48 * 64)


def heic() -> bytes:
    pytest.importorskip("pillow_heif", reason="pillow-heif is not installed").register_heif_opener()
    return saved("HEIF")


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "little-endian": ("tiff", lambda: as_file(photo(48, 64), "TIFF")),
    "big-endian": ("tiff", big_endian),
    "turned": ("tiff", lambda: saved("TIFF", tiffinfo={274: 6})),
    "heif": ("heic", lambda: saved("AVIF")),  # the same boxes
    "turned heif": ("heic", lambda: saved("AVIF", exif=TURNED)),
    "heic": ("heic", heic),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_header_tells_the_size_that_the_service_sees(sight: Sight, kind: str) -> None:
    kind_of_file, make = FILES[kind]
    data = make()
    header = imageio.probe(data)
    told = sight.page.evaluate(SIZE_OF, [base64.b64encode(data).decode(), kind_of_file])
    assert told == [header.width, header.height] == ([48, 64] if kind.startswith("turned") else [64, 48])


@pytest.mark.parametrize("kind", ["little-endian", "heif"])
def test_a_header_that_ends_early_tells_no_size_and_nothing_breaks(sight: Sight, kind: str) -> None:
    kind_of_file, make = FILES[kind]
    data = make()
    for length in (0, 3, 9, 20, 60):
        told = sight.page.evaluate(SIZE_OF, [base64.b64encode(data[:length]).decode(), kind_of_file])
        assert told in ([0, 0], [64, 48])
