"""What inputs are made of: small files of each format with all kinds of metadata, and those of `tests.attacks`.

Small ones come first and are chosen oftener: a picture of 600 pixels goes through the same code as one of a million.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from tests.attacks import files, profiles
from tests.attacks.files import chunk, exif_block, grey, photo, png_of, rgb, rgba, saved, short, tiff_of
from workers.errors import NotAPicture
from workers.pictures import imageio

MOST_BYTES = 24 * 1024  # of a file that inputs are made of
SIZE = (19, 27)


def _tokens(text: str) -> tuple[bytes, ...]:
    """Words with spaces between; in them Python's escapes."""
    return tuple(word.encode().decode("unicode_escape").encode("latin-1") for word in text.split())


TOKENS = {
    "jpeg": _tokens(
        r"\xff\xc0 \xff\xc2 \xff\xc4 \xff\xda \xff\xdb \xff\xdd \xff\xd9 \xff\xd8 \xff\xd0 "
        r"\xff\xee\0\x0eAdobe\0d\0\0\0\0\x02 \xff\xe2 ICC_PROFILE\0\x01\x01 Exif\0\0II*\0"
    ),
    "png": _tokens(r"IHDR PLTE tRNS IDAT IEND eXIf iCCP cICP gAMA cHRM sRGB acTL fdAT fcTL"),
    "webp": _tokens(r"VP8\x20 VP8L VP8X ALPH ANIM ANMF ICCP EXIF XMP\x20 \x9d\x01*"),
    "avif": _tokens(
        r"ftyp avif avis meta iloc iinf infe iprp ipco ipma ispe colr nclx prof auxC irot imir grid idat mdat av01 "
        r"clap pixi iref"
    ),
    "tiff": _tokens(r"II*\0 MM\0* \x11\x01\x04\0 \x1c\x01\x03\0 \x02\x01\x03\0 [\x01\x07\0"),
    "gif": _tokens(r"GIF87a GIF89a !\xf9\x04 !\xff\x0bNETSCAPE2.0 !\xfe ,\0\0\0\0 ;"),
    "bmp": _tokens(r"BM (\0\0\0 |\0\0\0 \x0c\0\0\0 \x01\0\x18\0 \0\0 \0\x01 \0\x02"),
}
TOKENS["heic"] = (*TOKENS["avif"], *_tokens("heic hvc1 hvcC mif1"))
ALL_TOKENS = tuple(token for tokens in TOKENS.values() for token in tokens)
ICC_TOKENS = _tokens(
    r"acsp mntr prtr RGB\x20 GRAY CMYK Lab\x20 XYZ\x20 A2B0 D2B0 rTRC curv para mft1 mft2 mAB\x20 mpet matf "
    r"clut cvst curf parf samf"
)
CUBE_TOKENS = _tokens(
    r"LUT_1D_SIZE\x202\n LUT_3D_SIZE\x202\n DOMAIN_MIN\x200\x200\x200\n DOMAIN_MAX\x201\x201\x201\n TITLE\x20 "
    r"\x22 # LUT_3D_INPUT_RANGE\x200\x201\n LUT_1D_INPUT_RANGE\x200\x201\n \n \r\n \r \xef\xbb\xbf \0 \x20 "
    r"\x09 nan inf 1e30 -1e30 1e-45 1_0 0x1 0\x200\x200\n 1\x201\x201\n \x85"
)
FORM_TOKENS = _tokens(
    r"--b --b-- \r\n \r\n\r\n -- name=\x22file\x22 name=\x22lut\x22 filename= \x22 \x5c ; "
    r"Content-Disposition:\x20form-data _charset_ filename*=UTF-8''a boundary=b = \n \x20"
)
HEADER_TOKENS = (
    *_tokens(
        r"Prefer:\x20 Accept:\x20 Range:\x20bytes= respond-async wait= ;q= image/* */* , Forwarded:\x20for= "
        r"X-Forwarded-For:\x20 Host:\x20 Origin:\x20 Idempotency-Key:\x20 \x22 \x5c W/ ::ffff:1.2.3.4 [::1]:80 "
        r"fe80::1%eth0 nan inf 1e999 -1 \xb2 \n"
    ),
    b"9" * 400,
)
QUERY_TOKENS = (
    *_tokens(
        r"& = scale= width= height= max_pixels= fit=fill model=auto effort=fast strength= format= quality= "
        r"metadata=strip lossless=true 1/3 nan inf 1e400 -0 %00 %C2%B2 + . / /0 7/2 0x10 1_000 %D9%A3"
    ),
    b"9" * 5000,
)


def shape_of(data: bytes) -> str:
    """The format by which a file comes apart; nothing for what is none."""
    try:
        return imageio.sniff(data)
    except NotAPicture:
        return ""


def _small() -> Iterator[bytes]:
    profile, block = profiles.matrix_profile(profiles.DISPLAY_P3, 2.2), exif_block(6, saved(rgb(4, 4), "JPEG"))
    both = {"icc_profile": profile, "exif": b"Exif\0\0" + block}
    for options in ({}, both, {"progressive": True}, {"subsampling": 2}, {"restart_marker_blocks": 1}):
        yield saved(rgb(*SIZE), "JPEG", **options)
    yield saved(grey(*SIZE), "JPEG", icc_profile=profiles.grey_profile(1.8))
    yield saved(rgb(*SIZE).convert("CMYK"), "JPEG", icc_profile=profiles.printer_profile())
    for kind in ("PNG", "WEBP", "AVIF"):
        yield saved(rgb(*SIZE), kind, **both)
        yield saved(rgba(*SIZE), kind)
    yield saved(rgba(*SIZE), "WEBP", lossless=True)
    yield saved(rgb(*SIZE), "WEBP", save_all=True, append_images=[rgb(*SIZE, seed=7)], duration=9)
    yield from _small_png()
    yield from _small_tiff(profile)
    for kind in ("GIF", "BMP"):
        for mode in ("P", "L", "1", "RGB"):
            yield saved(rgb(*SIZE).convert(mode), kind)
    yield saved(rgb(*SIZE).convert("P"), "GIF", transparency=3, interlace=True)
    yield saved(rgba(*SIZE), "BMP")


def _small_png() -> Iterator[bytes]:
    for channels in (1, 2, 3, 4):
        for dtype in ("uint8", "uint16"):
            yield png_of(photo(*SIZE, channels, dtype))
    yield files.png(files.ihdr(27, 19, interlace=1), files.idat(files.adam7(photo(*SIZE))))
    yield png_of(
        photo(*SIZE), chunk(b"cICP", b"\x09\x10\0\1"), chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"tRNS", bytes(6))
    )
    yield saved(rgb(*SIZE).quantize(16), "PNG", transparency=bytes(range(0, 256, 16)))
    yield saved(grey(*SIZE).convert("1"), "PNG")


def _small_tiff(profile: bytes) -> Iterator[bytes]:
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "raw"):
        yield saved(rgb(*SIZE), "TIFF", compression=compression, icc_profile=profile)
    yield saved(grey(*SIZE).convert("1"), "TIFF", compression="group4")
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK"):
        yield saved(rgba(*SIZE).convert("RGB").convert(mode) if mode != "RGBA" else rgba(*SIZE), "TIFF")
    for channels, photometric in ((1, 0), (1, 1), (3, 2), (3, 8), (4, 5)):
        yield tiff_of(photo(*SIZE, channels, "uint16"), photometric)
        yield tiff_of(photo(*SIZE, channels), photometric)
    yield tiff_of(photo(*SIZE, 4), 2, short(338, 1))


@cache
def all_pictures() -> Sequence[bytes]:
    """Small files of every format, three times, and once those of `tests.attacks` that are not large."""
    theirs = [one.data for one in files.hostile().values()] + list(files.good().values())
    return [*_small()] * 3 + [data for data in theirs if 0 < len(data) <= MOST_BYTES]


@cache
def pictures(kind: str) -> Sequence[bytes]:
    return [data for data in all_pictures() if shape_of(data) == kind]


@cache
def exif_blocks() -> Sequence[bytes]:
    thumbnail = saved(rgb(4, 4), "JPEG")
    tiffs = [data for data in pictures("tiff") if len(data) < 4096]
    return [exif_block(1), exif_block(6, thumbnail), exif_block(8, bytes(200)), files.looping_exif()[:4000], *tiffs]


@cache
def icc_profiles() -> Sequence[bytes]:
    primaries = (profiles.DISPLAY_P3, profiles.PROPHOTO, profiles.SRGB)
    made = [profiles.matrix_profile(one, 2.2) for one in primaries] + [profiles.grey_profile(1.8)]
    made += [profiles.printer_profile()] * 3 + [profiles.program_profile(2), profiles.program_profile(2, 3)]
    return made + [one for one in profiles.steep_profiles().values() if len(one) <= MOST_BYTES]


@cache
def cubes() -> Sequence[bytes]:
    from tests.attacks.test_cube_attacks import GOOD, HOSTILE

    rows = "".join(f"{r} {g} {b}\n" for b in (0, 0.5, 1) for g in (0, 0.5, 1) for r in (0, 0.5, 1))
    made = [
        f'# made by hand\nTITLE "a"\nLUT_3D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n{rows}',
        f"LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 1\nLUT_3D_SIZE 3\nLUT_3D_INPUT_RANGE -0.5 1.5\n0 0 0\n1 1 1\n{rows}",
        "LUT_1D_SIZE 4\n\n0 0 0\n# in between\n.1 .2 .3\n4e-1 5E-1 +0.6\r\n1 1 1\n",
        f"\ufefflut_3d_size 3\r\n{rows}".replace("\n", "\r\n"),
    ]
    theirs = [*(text.encode() for text in GOOD.values()), *HOSTILE.values()]
    return [text.encode() for text in made] * 4 + [data for data in theirs if len(data) <= 4096]


@cache
def forms() -> Sequence[bytes]:
    from tests.service.test_forms import BROKEN, ODD

    heads = (b"multipart/form-data; boundary=b\n", b'multipart/form-data; charset=utf-8; boundary="b"\n')
    bodies = [body for body in (*ODD.values(), *BROKEN.values()) if len(body) <= 8192]
    both = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a;b\\"c.jpg"\r\n\r\nx\r\n--b\r\n'
    both += b"Content-Disposition: form-data; name=lut; filename*=UTF-8''%e2%82%ac\r\n\r\nLUT\r\n--b--\r\n"
    return [head + body for head in heads for body in [*bodies, both, both]]


@cache
def headers() -> Sequence[bytes]:
    lines = (
        b"Prefer: respond-async, wait=10\nPrefer: handling=lenient; x=y\nAccept: image/webp;q=0.8, image/*, */*;q=0",
        b'Range: bytes=0-499\nIf-None-Match: W/"0123", *\nCache-Control: no-cache, max-age=0\nLast-Event-ID: 1700-3',
        b'Forwarded: for="[2001:db8::7]:80";proto=https, for=192.0.2.7\nX-Forwarded-For: 192.0.2.7:80, ::ffff:1.2.3.4',
        b'Host: photos.example.:8000\nOrigin: https://photos.example\nIdempotency-Key: "a\\"b"\nAccept: image/png',
        b"Range: bytes=-5\nHost: [::1]:8000\nIdempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324\nPrefer: wait=100",
    )
    return [*lines, b"\n".join(lines)]


@cache
def queries() -> Sequence[bytes]:
    return (
        b"scale=3.7&model=auto&effort=fast&format=webp&quality=90&lossless=false",
        b"width=1000&height=700&fit=fill&metadata=strip&strength=0.5",
        b"max_pixels=2000000&format=AVIF&lossless=true",
        b"scale=7/2&model=lanczos&format=jpg&quality=1",
        b"strength=0.5&format=cube&metadata=keep",
        b"model=lut3d&strength=1&format=png&quality=100",
        b"strength=.25&format=auto",
    )
