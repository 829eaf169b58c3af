"""Bytes to picture and back: every kind of file against arrays that are known, or against Pillow where it is right."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.attacks import files
from tests.attacks.files import photo
from workers.errors import NotAPicture, ParameterError, TooManyPixels
from workers.pictures import imageio
from workers.pictures.imageio import FORMATS_OUT, Picture, decode, encode, probe

LIMIT = 50_000_000
LOSSLESS = ("png", "tiff")
LOSSY = ("jpeg", "webp", "avif")


def picture(channels: int = 3, dtype: str = "uint8", *, alpha: bool = False, **fields: Any) -> Picture:
    values = photo(48, 64, channels + 1, dtype)
    plane = np.ascontiguousarray(values[:, :, -1]) if alpha else None
    known = {"icc": None, "exif": None, "format": "png", "lossy": False} | fields
    return Picture(np.ascontiguousarray(values[:, :, :-1]), plane, **known)


def again(made: Picture, kind: str, **options: Any) -> Picture:
    return decode(encode(made, kind, **options), max_pixels=LIMIT)


def psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2))))


# --- there and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_lossless_format_gives_back_every_value(kind: str, dtype: str, channels: int, alpha: bool) -> None:
    made = picture(channels, dtype, alpha=alpha)
    back = again(made, kind)
    assert back.pixels.dtype == dtype and back.pixels.flags.c_contiguous
    np.testing.assert_array_equal(back.pixels, made.pixels)
    assert (back.alpha is None) == (made.alpha is None)
    if made.alpha is not None:
        np.testing.assert_array_equal(back.alpha, made.alpha)


@pytest.mark.parametrize("kind", LOSSY)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_lossy_format_gives_back_nearly_the_same(kind: str, channels: int) -> None:
    made = picture(channels)
    back = again(made, kind)
    assert psnr(back.pixels if back.pixels.shape[2] == channels else back.pixels[:, :, :1], made.pixels) > 33


@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_lossy_formats_with_alpha_keep_it(kind: str) -> None:
    made = picture(alpha=True)
    back = again(made, kind)
    assert back.alpha is not None
    assert psnr(back.alpha, made.alpha) > 33


@pytest.mark.parametrize("kind", ["jpeg", "png", "avif", "tiff"])
def test_grey_stays_grey(kind: str) -> None:
    header = probe(encode(picture(1), kind))
    assert header.is_grey
    assert again(picture(1), kind).pixels.shape == (48, 64, 1)


@pytest.mark.parametrize("kind", LOSSY)
def test_quality_changes_the_size(kind: str) -> None:
    assert len(encode(picture(), kind, quality=20)) < len(encode(picture(), kind, quality=95))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_ignore_quality(kind: str) -> None:
    assert encode(picture(), kind, quality=1) == encode(picture(), kind)


@pytest.mark.parametrize("kind", FORMATS_OUT)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_we_write_is_read_by_pillow(kind: str, channels: int) -> None:
    made = picture(channels)
    with Image.open(io.BytesIO(encode(made, kind))) as image:
        assert image.size == (64, 48)
        assert psnr(np.asarray(image.convert("RGB")), np.broadcast_to(made.pixels, (48, 64, 3))) > 33


@pytest.mark.parametrize("kind", LOSSY)
def test_16_bits_are_rounded_to_8_where_the_format_has_no_more(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    right = ((values.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)
    deep = Picture(values, None, None, None, "png", False)
    flat = Picture(right, None, None, None, "png", False)
    assert encode(deep, kind) == encode(flat, kind)


def test_alpha_is_laid_on_white_in_a_jpeg() -> None:
    pixels = np.full((32, 32, 3), 40, np.uint8)
    alpha = np.repeat(np.array([0, 255], np.uint8), 16)[None, :].repeat(32, 0)
    back = again(Picture(pixels, alpha, None, None, "png", False), "jpeg")
    assert back.alpha is None
    assert back.pixels[:, :8].min() >= 253
    assert np.abs(back.pixels[:, 24:].astype(int) - 40).max() <= 2


@pytest.mark.parametrize("name", sorted(files.good()))
def test_what_was_decoded_can_be_encoded(name: str) -> None:
    made = decode(files.good()[name], max_pixels=LIMIT)
    if name.startswith(("1x20000", "20000x1")):
        kinds: tuple[str, ...] = ("jpeg", "png", "tiff")
    else:
        kinds = ("jpeg", "png", "webp", "tiff")
    for kind in kinds:
        back = decode(encode(made, kind), max_pixels=LIMIT)
        assert back.pixels.shape[:2] == made.pixels.shape[:2]
        if kind in LOSSLESS:
            np.testing.assert_array_equal(back.pixels, made.pixels)


@pytest.mark.parametrize("kind", FORMATS_OUT)
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_with_gaps_or_odd_strides_are_written_as_their_values(kind: str, channels: int) -> None:
    values = photo(40, 60, 4)
    views = [values[::2, ::3, :channels], np.flipud(values)[:, :, :channels]] + [values[:, :, 1][:, :, None]] * (
        channels == 1
    )
    for view in views:
        alpha = values[: view.shape[0], : view.shape[1], 3]
        odd = Picture(view, alpha, None, None, "png", False)
        even = Picture(view.copy(order="C"), alpha.copy(), None, None, "png", False)
        even.pixels = even.pixels.reshape(-1).reshape(view.shape)
        assert encode(odd, kind) == encode(even, kind)


# --- what comes in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(files.good()))
def test_odd_but_good_files_decode_as_their_header_says(name: str) -> None:
    data = files.good()[name]
    header = probe(data)
    made = decode(data, max_pixels=LIMIT)
    assert made.pixels.shape == (header.height, header.width, 1 if header.is_grey else 3)
    assert made.pixels.dtype == f"uint{header.bit_depth}"
    assert made.pixels.flags.c_contiguous
    assert (made.alpha is not None) == header.has_alpha
    assert (made.format, made.lossy) == (header.format, header.lossy)
    if made.alpha is not None:
        assert made.alpha.shape == made.pixels.shape[:2] and made.alpha.dtype == made.pixels.dtype


# Pillow reads these wrong or in other colours (16 bits as 8, transparent greys scaled, CMYK, Lab, premultiplied), or
# not at all (HEIC, bombs).
_NOT_BY_PILLOW = ("16-bit", "cmyk", "CMYK", "LAB", "premultiplied", "orientation", "heic", "bomb", "looping exif")


@pytest.mark.parametrize("name", sorted(n for n in files.good() if not any(word in n for word in _NOT_BY_PILLOW)))
def test_8_bit_files_decode_as_pillow_decodes_them(name: str) -> None:
    data = files.good()[name]
    made = decode(data, max_pixels=LIMIT)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGBA"))
    colour = np.broadcast_to(made.pixels, (*made.pixels.shape[:2], 3))
    np.testing.assert_allclose(colour.astype(int), expected[:, :, :3].astype(int), atol=1)
    if made.alpha is not None:
        np.testing.assert_array_equal(made.alpha, expected[:, :, 3])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_every_kind_of_png_gives_its_exact_values(channels: int, dtype: str, interlaced: bool) -> None:
    values = photo(17, 23, channels, dtype)
    data = files.png_of(values)
    if interlaced:
        head = files.ihdr(23, 17, 8 * values.dtype.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 1)
        data = files.png(head, files.idat(files.adam7(values)))
    made = decode(data, max_pixels=LIMIT)
    colours = channels - (channels in (2, 4))
    np.testing.assert_array_equal(made.pixels, values[:, :, :colours])
    if channels in (2, 4):
        np.testing.assert_array_equal(made.alpha, values[:, :, -1])


def test_one_bit_becomes_black_and_white() -> None:
    made = decode(files.good()["1-bit png"], max_pixels=LIMIT)
    assert made.pixels.shape[2] == 1
    assert set(np.unique(made.pixels)) == {0, 255}


def test_a_transparent_colour_of_16_bits_is_found_exactly() -> None:
    values = photo(20, 20, 3, "uint16")
    colour = values[4, 4]
    data = files.png_of(values, files.chunk(b"tRNS", colour.astype(">u2").tobytes()))
    made = decode(data, max_pixels=LIMIT)
    assert made.alpha is not None
    np.testing.assert_array_equal(made.alpha == 0, (values == colour).all(2))


@pytest.mark.parametrize("value", range(1, 9))
def test_each_orientation_comes_out_upright(value: int) -> None:
    turned, upright = files.orientations()[value], files.orientations()[1]
    header, made, right = probe(turned), decode(turned, max_pixels=LIMIT), decode(upright, max_pixels=LIMIT)
    assert (header.height, header.width) == right.pixels.shape[:2]
    assert psnr(made.pixels, right.pixels) > 40
    assert made.pixels.flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_of_a_png_turns_all_planes(channels: int, alpha: bool, value: int) -> None:
    values = photo(5, 7, channels + alpha, "uint16")
    made = decode(files.png_of(values, files.chunk(b"eXIf", files.exif_block(value))), max_pixels=LIMIT)
    turns: dict[int, Any] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }
    np.testing.assert_array_equal(made.pixels, turns[value](values[:, :, :channels]))
    if alpha:
        np.testing.assert_array_equal(made.alpha, turns[value](values[:, :, -1]))


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    made = decode(files.good()[f"animated {kind}"], max_pixels=LIMIT)
    assert psnr(made.pixels, photo(seed=0)) > 20 > psnr(made.pixels, photo(seed=7))


@pytest.mark.parametrize("name", ["animated png", "multi-picture jpeg", "many-page tiff"])
def test_of_many_pictures_the_first_is_taken(name: str) -> None:
    made = decode(files.good()[name], max_pixels=LIMIT)
    assert psnr(made.pixels, photo(seed=0)) > 30


def test_a_cmyk_jpeg_has_the_colours_it_was_made_of() -> None:
    made = decode(files.good()["cmyk jpeg"], max_pixels=LIMIT)
    assert made.pixels.shape == (96, 128, 3)
    assert psnr(made.pixels, photo()) > 30


# --- doors ---------------------------------------------------------------------------------------------------------


def test_the_format_is_told_by_bytes() -> None:
    for kind in FORMATS_OUT:
        assert probe(encode(picture(), kind)).format == kind


def test_other_formats_are_not_pictures_and_the_answer_names_the_known_ones() -> None:
    with pytest.raises(NotAPicture, match="JPEG, PNG, WebP, AVIF, TIFF"):
        probe(b"P6 1 1 255 abc")


def test_too_many_pixels_names_the_limit_before_any_decoding() -> None:
    data = files.png(files.ihdr(5000, 4000), files.idat(b""))
    with pytest.raises(TooManyPixels, match="5000x4000") as caught:
        decode(data, max_pixels=10_000_000)
    assert caught.value.members == {"limit": 10_000_000, "pixels": 20_000_000}


def test_a_picture_at_the_limit_is_read() -> None:
    assert decode(encode(picture(), "png"), max_pixels=48 * 64).pixels.shape == (48, 64, 3)


def test_bad_requests_to_encode_say_what_is_allowed() -> None:
    with pytest.raises(ParameterError, match="jpeg, png, webp, avif, tiff"):
        encode(picture(), "gif")
    with pytest.raises(ParameterError, match="1 to 100"):
        encode(picture(), "jpeg", quality=0)
    wide = Picture(np.zeros((1, 20000, 3), np.uint8), None, None, None, "png", False)
    with pytest.raises(ParameterError, match="16383"):
        encode(wide, "webp")
    assert probe(encode(wide, "jpeg")).width == 20000


def test_each_format_that_comes_in_has_one_that_leaves() -> None:
    assert {kind: imageio.output_format(kind) for kind in ("gif", "bmp", "heic", "jpeg", "tiff")} == {
        "gif": "png",
        "bmp": "png",
        "heic": "jpeg",
        "jpeg": "jpeg",
        "tiff": "tiff",
    }
    assert set(FORMATS_OUT) <= set(imageio.MEDIA_TYPE) and set(FORMATS_OUT) == set(imageio.MAX_SIDE)


def test_the_header_is_read_with_pillow_alone(tmp_path: Any) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(picture(), "jpeg"))
    for kind in ("png", "webp", "avif", "tiff"):
        (tmp_path / f"a.{kind}").write_bytes(encode(picture(), kind))
    code = (
        "import sys, pathlib, workers.pictures.imageio as i\n"
        "assert not {'PIL', 'logging.config'} & set(sys.modules)\n"
        "for p in sorted(pathlib.Path(sys.argv[1]).iterdir()): i.probe(p.read_bytes())\n"
        "heavy = {'numpy', 'cv2', 'torch', 'simplejpeg', 'imagecodecs', 'tifffile'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path)], check=True)


def test_many_threads_read_and_write_at_once() -> None:
    made = [picture(c, d, alpha=a) for c in (1, 3) for d in ("uint8", "uint16") for a in (False, True)]
    jobs = [(m, k) for m in made for k in FORMATS_OUT]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda job: encode(*job), jobs))
        decoded = list(pool.map(lambda data: decode(data, max_pixels=LIMIT), parallel))
    for (m, k), data, back in zip(jobs, parallel, decoded, strict=True):
        assert k == "avif" or data == encode(m, k)
        assert back.pixels.shape[:2] == m.pixels.shape[:2]
