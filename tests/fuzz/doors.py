"""The doors that strangers' bytes come to: what an input is made of, what it is put into, and which answers are right.

A door's `knock` takes one input and raises nothing but its `refusals`; whatever else happens is a finding.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING

from models.cube import CubeError
from tests.fuzz import corpus
from tests.fuzz.mutations import mutated
from tests.fuzz.shapes import SHAPES, reshaped
from workers.errors import LutraError, OutOfMemory, ParameterError, PictureError

if TYPE_CHECKING:
    from workers.operations.operation import Installation
    from workers.pictures.decoder import SharedMemory

MAX_PIXELS = 1_000_000
FORMATS = ("jpeg", "png", "webp", "avif", "tiff", "gif", "bmp", "heic")


@dataclass(frozen=True)
class Door:
    """`share`: of all inputs, how many come here, in comparison, cheap doors oftener; 0: only where it is named.

    `extra_bytes`: memory that one input may take here beyond what the process takes by itself.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    knock: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    share: int
    tokens: Sequence[bytes] = ()
    shape: str = ""
    limit_s: float = 1.0
    extra_bytes: int = 128 * 1024**2

    def input(self, seeds: Sequence[bytes], seed: int, number: int) -> bytes:
        """The input of this number, made of `seeds`: always the same bytes for the same seed."""
        rng = Random(f"{self.name} {seed} {number}")
        data, other = rng.choice(seeds), rng.choice(seeds)
        shape = SHAPES.get(self.shape or corpus.shape_of(data))
        if shape is not None and rng.random() < 0.6:
            return reshaped(shape, data, other, rng)
        return mutated(data, rng, self.tokens, other)


def _draw(data: bytes, *choices: object) -> object:
    """One of the choices, the same for the same bytes."""
    return choices[zlib.crc32(data) % len(choices)]


# ---- pictures ----------------------------------------------------------------------------------------------------


@cache
def _memory() -> SharedMemory:
    """Where the decoder's process puts pixels, those of each picture over those of the one before."""
    from workers.pictures.decoder import SharedMemory

    return SharedMemory()


def _picture(data: bytes) -> None:
    """What a worker does with a file: decode it, and write what came of it with its profile and EXIF."""
    from workers.pictures import imageio

    header = imageio.probe(data)
    colour = _draw(data, "keep", "srgb")
    picture = imageio.decode(data, colour=colour, max_pixels=MAX_PIXELS, room=_memory().of)  # type: ignore[arg-type]
    height, width, channels = picture.pixels.shape
    assert (height, width) == (header.height, header.width) and channels in (1, 3), picture.pixels.shape
    assert picture.pixels.flags.c_contiguous and picture.pixels.dtype.name == f"uint{header.bit_depth}", header
    if picture.alpha is not None:
        assert header.has_alpha and picture.alpha.shape == (height, width), header
    if height * width <= 40_000:
        fits = [name for name in ("jpeg", "png", "tiff", "webp") if max(height, width) <= imageio.MAX_SIDE[name]]
        format_out = str(_draw(data[::-1], *fits))
        imageio.encode(picture, format_out, metadata=_draw(data, "keep", "keep", "strip"))  # type: ignore[arg-type]


def _header(data: bytes) -> None:
    """What the gateway does: it reads the header, in its own process."""
    from workers.pictures import imageio

    header = imageio.probe(data)
    assert header.width > 0 and header.height > 0


def _exif(data: bytes) -> None:
    from workers.pictures.codecs import exif

    assert 1 <= exif.orientation(data) <= 8
    try:
        cleaned = exif.clean(data)
    except ValueError:
        return
    if cleaned:
        exif.with_values(cleaned, {exif.COLOUR_SPACE: 1, exif.PIXEL_WIDTH: 70_000, exif.PIXEL_HEIGHT: 9})
        _tiff_with(cleaned)


def _tiff_with(block: bytes) -> None:
    import numpy as np

    from workers.pictures.codecs import tiff

    tiff.encode(np.zeros((2, 2, 3), np.uint8), None, None, block)


def _profile(data: bytes) -> None:
    import numpy as np

    from workers.pictures.codecs import icc

    channels = int(str(_draw(data, 3, 1, 4)))
    profile = icc.usable(data, channels)
    if profile is None:
        return
    dtype = np.uint16 if data[-1] % 4 == 0 else np.uint8
    pixels = np.arange(6 * channels, dtype=dtype).reshape(2, 3, channels)
    if channels != 4:
        icc.is_srgb(profile)
    made = icc.to_srgb(pixels, profile)
    assert made.shape == (2, 3, 1 if channels == 1 else 3) and made.dtype == dtype, made.shape


# ---- tables, forms, headers, queries -----------------------------------------------------------------------------


def _cube(data: bytes) -> None:
    from models.cube import Cube, read_cube

    cube = read_cube(data)
    assert len(cube.numbers) == 12 * (cube.nodes_1d + cube.nodes_3d**3)
    assert Cube.of(cube.facts(), cube.numbers) == cube


def _table(data: bytes) -> None:
    """A table that the gateway takes goes over a picture in a worker."""
    import numpy as np

    from models.cube import read_cube
    from models.own_lut import look_up

    cube = read_cube(data)
    dtype = np.uint16 if len(data) % 16 == 0 else np.uint8
    band = (np.linspace(0, 1, 24) * np.iinfo(dtype).max).astype(dtype).reshape(2, 4, 3)
    made = look_up(cube, float(str(_draw(data, 1.0, 0.5))))(band)
    assert made.shape == band.shape and made.dtype == dtype


def _form(data: bytes) -> None:
    """The first line is the Content-Type, the rest the body, as `service.upload` takes them apart."""
    from python_multipart.multipart import parse_options_header

    from service.forms import parse_form

    content_type, _, body = data.partition(b"\n")
    _, options = parse_options_header(content_type.decode("latin-1").strip())
    form = parse_form(body, options.get(b"boundary", b""))
    assert sum(map(len, form.parts.values())) <= len(body)


def _headers(data: bytes) -> None:
    """Lines of `name: value`, each read by whoever reads it in the gateway."""
    from starlette.datastructures import Headers

    from service import addresses, events, hosts, idempotency, origins, preferences, proxies, results, upload

    lines = [line.partition(b":")[::2] for line in data.split(b"\n")[:20]]
    headers = Headers(raw=[(name.strip().lower(), value.strip()) for name, value in lines])
    wait = preferences.read_prefer(headers.getlist("prefer"), 30.0)
    assert 0 <= wait.seconds <= preferences.MAX_WAIT_S and wait.applied.isprintable()
    preferences.wants_fresh(headers)
    accept = preferences.listed(headers, "accept")
    events.start_after(headers.get("last-event-id"))
    results._matches(preferences.listed(headers, "if-none-match"), '"0123"')
    for entry in (*proxies.x_forwarded_for(headers), *proxies.forwarded(headers)):
        address = proxies.as_address(entry)
        addresses.neighbourhood(str(address or entry))
    hosts.plain(headers.get("host", ""))
    origins.is_same_host(headers.get("origin", ""), headers.get("host", ""))
    upload.is_altered(data)
    _range_of(headers.get("range"), results.wanted_range)
    idempotency.key_of(headers)
    preferences.choose_format("auto", accept, str(_draw(data, "jpeg", "gif", "heic")))


def _range_of(header: str | None, wanted: Callable[[str | None, int], tuple[int, int] | None]) -> None:
    """A range outside the result is 416, by a ValueError."""
    try:
        found = wanted(header, 1000)
    except ValueError:
        return
    assert found is None or 0 <= found[0] < found[1] <= 1000, found


def _query(data: bytes) -> None:
    """A query for each operation: read, checked, planned for a picture and estimated, all before a worker sees it."""
    from urllib.parse import parse_qsl

    from pydantic import ValidationError

    from workers.operations import OPERATIONS
    from workers.operations.estimate import Asked, estimate_s
    from workers.operations.operation import plan_encoding
    from workers.pictures.imageio import Header

    operation = OPERATIONS[str(_draw(data, "enhance", "restore", "upscale"))]
    try:
        query = operation.query.model_validate(dict(parse_qsl(data.decode("latin-1"))))
    except ValidationError:
        return
    width, height = Random(zlib.crc32(data)).choice(((1, 1), (640, 480), (8000, 6000), (1, 50_000)))
    header = Header("jpeg", width, height, 8, has_alpha=False, is_grey=False, lossy=True)
    operation.check(query, _installation())
    encoding = plan_encoding(query, "png" if query.format == "auto" else query.format, header)
    plan = operation.plan(query, header, encoding, _installation(), None)
    operation.parameters.model_validate(plan.parameters.to_json())
    assert estimate_s(plan, Asked(query, header, _installation(), None)) >= 0


@cache
def _installation() -> Installation:
    from models.cards import CARDS
    from workers.operations.choice import Limits, served_models
    from workers.operations.operation import Installation

    served = served_models((), None)
    speeds = {name: card.cpu_s_per_mp for name, card in {**served, **CARDS}.items()}
    return Installation(served, Limits(8, 200_000_000, 900), speeds)


def _faulty(data: bytes) -> None:
    """What the hunt has to find, one of each kind."""
    match zlib.crc32(data) % 64:
        case 1:
            os.abort()
        case 2:
            while True:
                pass
        case 3:
            bytearray(24 * 1024**2)[::4096] = bytes(6144)
        case 4:
            os.write(2, b"words")
        case 5:
            raise KeyError("nobody's refusal")
        case 6:
            raise OutOfMemory("a refusal that is no right answer")
        case 7:
            raise ParameterError("a right answer")
        case 8:
            end = time.process_time() + 0.5
            while time.process_time() < end:
                pass


# ---- the list ----------------------------------------------------------------------------------------------------


def _picture_door(kind: str, share: int) -> Door:
    return Door(
        kind, lambda: corpus.pictures(kind), _picture, (PictureError,), share, corpus.TOKENS.get(kind, ()), kind
    )


SHARES = {"jpeg": 30, "png": 30, "webp": 20, "avif": 6, "tiff": 30, "gif": 20, "bmp": 20, "heic": 4}
DOORS = {
    door.name: door
    for door in (
        *(_picture_door(kind, share) for kind, share in SHARES.items()),
        Door("header", corpus.all_pictures, _header, (PictureError,), 80, corpus.ALL_TOKENS),
        Door("exif", corpus.exif_blocks, _exif, (), 60, (), "exif"),
        Door("icc", corpus.icc_profiles, _profile, (), 20, corpus.ICC_TOKENS, "icc"),
        Door("cube", corpus.cubes, _cube, (CubeError,), 150, corpus.CUBE_TOKENS),
        Door("table", corpus.cubes, _table, (CubeError,), 10, corpus.CUBE_TOKENS, extra_bytes=256 * 1024**2),
        Door("form", corpus.forms, _form, (LutraError,), 150, corpus.FORM_TOKENS),
        Door("headers", corpus.headers, _headers, (LutraError,), 100, corpus.HEADER_TOKENS),
        Door("faulty", lambda: [bytes(4)], _faulty, (LutraError,), 0, (), "", 0.2, 16 * 1024**2),
        Door("query", corpus.queries, _query, (LutraError,), 60, corpus.QUERY_TOKENS),
    )
    if door.name != "heic" or find_spec("pillow_heif")
}
NEVER = (OutOfMemory,)  # among the refusals, and yet no right answer to so small a picture
