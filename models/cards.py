"""The plain facts about every model that is served; importable without torch. What builds them is `models.catalog`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from models.header import WeightsError, open_header
from models.scores import Measured, read

Size = tuple[int, int]


@dataclass(frozen=True)
class Card:
    """Facts of one model.

    `task` is the endpoint. `halo` counts input pixels around a tile that make tiled equal whole; None: the model must
    see the whole picture. `blends_with`: the model towards whose weights a `strength` below 1 goes. `file` is the
    weight file below `models/weights` (None: nothing learnt). `cpu_s_per_mp` is the measured cost on two CPU cores,
    seconds per megapixel of output (of input for `enhance`; of `work_pixels`), the estimate before a worker has
    measured its own. `fixed_scales`: the only ones that it computes; others are resized from the next of them.
    `by_name_only`: never taken unless asked for. `unshuffle`: how often the network folds the picture's sides.
    `good_at` and `bad_at` are sentences for users.
    """

    name: str
    task: str
    title: str
    paper: str
    parameters: int
    licence: str
    min_scale: float = 1.0
    max_scale: float = 1.0
    fixed_scales: tuple[int, ...] = ()
    by_name_only: bool = False
    halo: int | None = 0
    channels: int = 3
    blends_with: str | None = None
    file: str | None = None
    sha256: str | None = None
    weights_licence: str | None = None
    trained_on: tuple[str, ...] = ()
    distilled_from: str | None = None
    good_at: tuple[str, ...] = ()
    bad_at: tuple[str, ...] = ()
    cpu_s_per_mp: float = 0.05
    unshuffle: int = 1
    measured: Measured = field(default_factory=Measured)

    def work_pixels(self, size: Size, wanted: Size) -> int:
        """The pixels that are computed for a result of (height, width) `wanted`; `cpu_s_per_mp` counts these.

        Of a fixed scale those of the next that both sides can be resized down from.
        """
        sides = list(zip(size, wanted, strict=True))
        enough = [scale for scale in self.fixed_scales if all(out <= scale * side for side, out in sides)]
        scale = min(enough, default=max(self.fixed_scales, default=0))
        return max(wanted[0] * wanted[1], scale**2 * size[0] * size[1])


PHOTOS = (
    "BSDS500 train and test, 332 (licence not stated)",
    "CID22, 97 (CC BY-SA 4.0)",
    "GB82, 19 (CC0 1.0)",
    "CLIC 2025, 23 (Unsplash License)",
)

LUT3D = Card(
    name="lut3d",
    task="enhance",
    title="Image-adaptive 3D LUT",
    paper="Zeng et al., Learning Image-Adaptive 3D Lookup Tables, TPAMI 2022 (online 2020), arXiv 2009.14468",
    parameters=593_516,
    licence="Apache-2.0",
    halo=None,
    file="lut3d.safetensors",
    sha256="74188e31c4c47fa88d067f9cf2eb2c2a5175f207bc67cd9bcdf386a78888ab53",
    weights_licence="Apache-2.0; its teacher and 16 pairs come from MIT-Adobe FiveK, a data set for research",
    trained_on=(*PHOTOS, "FiveK, 16 pairs (expert C)"),
    distilled_from="published sRGB paired checkpoint of Zeng et al. (Apache-2.0, trained on FiveK, expert C)",
    good_at=("flat, grey or underexposed photos: exposure, contrast and colour as one retoucher would set them",),
    bad_at=(
        "pictures that are finished already: it adds contrast once more, and may deepen shadows; `strength` tempers it",
        "anything local: one table for the whole picture cannot light a face and leave the sky",
    ),
    cpu_s_per_mp=0.034,
    measured=read("lut3d"),
)

LIIF = Card(
    name="liif",
    task="upscale",
    title="LIIF with the EDSR-baseline encoder",
    paper="Chen, Liu, Wang, Learning Continuous Image Representation, CVPR 2021, arXiv 2012.09161",
    parameters=1_567_299,  # of ours; 1,567,323 as published, of which 24 are a mean shift that is never applied
    licence="Apache-2.0",
    max_scale=8.0,
    halo=36,
    file="liif.safetensors",
    sha256="b4361a4251d93ea27c8a77098769eb6bef3774fc0445d299f8adefb1569ac05d",
    weights_licence="Apache-2.0, as far as the pictures under trained_on, some without a stated licence, allow",
    trained_on=PHOTOS,
    good_at=(
        "clean pictures without loss: renders, scans, PNG exports, downsized originals; any scale, also fractions",
    ),
    bad_at=(
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
        "inventing detail: beyond x4 it is a sharper interpolation",
    ),
    cpu_s_per_mp=4.0,  # 3.2 at x4, 4.6 at x2, in bfloat16 by `workers.engine.engine`
    measured=read("liif"),
)

LIIF_REAL = Card(
    name="liif-real",
    task="upscale",
    title="LIIF for real photos",
    paper=LIIF.paper,
    parameters=LIIF.parameters,
    licence="Apache-2.0",
    max_scale=8.0,
    halo=36,
    file="liif-real.safetensors",
    sha256="db3241ed6646a6273a57bb4f7d4a23e53fd52b49c05a22c800e7eeab1ae94e00",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("photos from cameras and the web: JPEG and WebP of quality 30 to 95, a little noise, a little blur",),
    bad_at=(
        "clean pictures: softer than `liif`, for it takes the finest grain for noise",
        "JPEGs below quality 30, strong noise, and blur of more than a pixel",
    ),
    cpu_s_per_mp=LIIF.cpu_s_per_mp,
    measured=read("liif-real"),
)

LIIF_RDN = Card(
    name="liif-rdn",
    task="upscale",
    title="LIIF with the RDN encoder",
    paper=LIIF.paper,
    parameters=22_320_835,
    licence="Apache-2.0",
    max_scale=8.0,
    halo=133,
    file="liif-rdn.safetensors",  # no weights of ours: the published file, converted, serves it
    good_at=("clean pictures, where a quarter of a decibel (paper, x4) is worth more than twice the time of `liif`",),
    bad_at=("JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",),
    cpu_s_per_mp=8.4,  # 2.1 times `liif` at x4 in bfloat16, 3.6 times in float32, in one run
    measured=read("liif-rdn"),
)

LMLIIF = Card(
    name="lmliif",
    task="upscale",
    title="LM-LIIF on the encoder of SPAN",
    paper="He and Jin, Latent Modulated Function for Continuous Image Representation, CVPR 2024, arXiv 2404.16451",
    parameters=541_203,
    licence="Apache-2.0",
    max_scale=8.0,
    halo=21,
    file="lmliif.safetensors",
    sha256="75ddef4f6c2cc079429f1ca281bb894823ef11cc1a3ed113561ed2cf8e5c1655",
    weights_licence=LIIF.weights_licence
    + "; its encoder began as SPAN of its authors (Apache-2.0), trained on DIV2K and Flickr2K, for research",
    trained_on=PHOTOS,
    distilled_from="its encoder from SPAN of 48 channels, x4; at x2 and x4 taught by SPAN of 52 channels (Wan et al.)",
    good_at=(
        "clean pictures without loss: renders, scans, PNG exports, downsized originals; any scale, also fractions",
        "text and line drawings, which were among what it learnt from",
    ),
    bad_at=(
        *LIIF.bad_at,
        "grey patterns of single pixels, halftones for instance: it may darken them by 66 levels, tint them by 8",
    ),
    cpu_s_per_mp=0.8,  # 0.25 of `liif` at x2, 0.14 at x4, in bfloat16, in one run
    measured=read("lmliif"),
)

SPAN = Card(
    name="span",
    task="upscale",
    title="SPAN, x2 and x4",
    paper="Wan et al., Swift Parameter-free Attention Network for Efficient Super-Resolution, CVPR Workshops 2024",
    parameters=836_988,  # 410,700 for x2 and 426,288 for x4, of 48 channels
    licence="Apache-2.0",
    max_scale=4.0,
    fixed_scales=(2, 4),
    by_name_only=True,
    halo=24,  # 21 of the network, 3 of the resize that makes other scales of the next factor's
    file="span.safetensors",  # no weights of ours: the published files, converted, serve it
    good_at=("clean pictures at x2 and x4: near the best decibels for its cost",),
    bad_at=(
        "scales between: it makes the next factor first and shrinks that",
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
    ),
    cpu_s_per_mp=0.6,  # 0.63 at x2, 0.15 at x4, in float32
    measured=read("span"),
)

SRRESNET = Card(
    name="srresnet",
    task="upscale",
    title="SRResNet, x4",
    paper="Ledig et al., Photo-Realistic Single Image Super-Resolution Using a GAN, CVPR 2017, arXiv 1609.04802",
    parameters=1_545_238,  # of ours, without batch norms; 1,547,350 as published
    licence="Apache-2.0",
    max_scale=4.0,
    fixed_scales=(4,),
    halo=43,  # 40 of the network, 3 of the resize that makes other scales of x4
    file="srresnet.safetensors",
    sha256="47ce995abffc752005b594ab2b751fcb40323efe2d276adc7be1a212f760de31",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("clean pictures up to x4: the pixels nearest to the original",),
    bad_at=(
        "scales below x4 where time is short: it makes x4 first and shrinks that, at the cost of x4",
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
    ),
    cpu_s_per_mp=0.72,  # 0.18 of `liif` at x4 in bfloat16, in one run
    measured=read("srresnet"),
)

SRGAN = Card(
    name="srgan",
    task="upscale",
    title="SRGAN, x4",
    paper=SRRESNET.paper,
    parameters=SRRESNET.parameters,
    licence="Apache-2.0",
    max_scale=4.0,
    fixed_scales=SRRESNET.fixed_scales,
    by_name_only=True,
    halo=SRRESNET.halo,
    blends_with=SRRESNET.name,
    file="srgan.safetensors",
    sha256="c1a69d5bf762a97f68beff77278eb3f3062c055fd969872165dc58a281020fec",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("clean pictures at x4 that shall look crisp: it draws grain and texture where detail was lost",),
    bad_at=(
        "evidence: its detail is likely, not true; `strength` 0 to 1 goes from the pixels of `srresnet` to it",
        "faces and letters of a few pixels; JPEG blocks, grain and noise, which it takes for texture",
        "what the paper's content loss teaches: it was trained without VGG19, by wavelet statistics instead",
    ),
    cpu_s_per_mp=SRRESNET.cpu_s_per_mp,
    measured=read("srgan"),
)

ECLUT = Card(
    name="eclut",
    task="upscale",
    title="EC-LUT, tables for x2, x3 and x4",
    paper="Yin and Shen, EC-LUT, AAAI 2024",
    parameters=67_461,  # 19,172 + 22,097 + 26,192 of the networks that the tables are made of
    licence="Apache-2.0",
    max_scale=8.0,
    fixed_scales=(2, 3, 4),
    halo=5,  # 2 of the tables, 3 of the resize that makes other scales of the next table's
    file="eclut.safetensors",
    sha256="4216dd4b79a06918e66a6d00eb8df36fd659b5e41e5ab26635273a333d6aac9f",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("clean pictures where time is short: sharper than bicubic, and at x2, x3 and x4 as fast",),
    bad_at=(
        "fine texture and slanted edges: a table sees two pixels around each; beyond x4 it is x4, resized",
        "16-bit pictures: no table holds their levels, so the networks compute them, as slow as `liif`",
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
    ),
    cpu_s_per_mp=0.05,  # 0.007 at x4, 0.014 at x2, 0.05 at x1.5, which is resized
    measured=read("eclut"),
)

AIRNET = Card(
    name="airnet",
    task="restore",
    title="AirNet: noise, rain and haze by one network",
    paper="Li et al., All-In-One Image Restoration for Unknown Corruption, CVPR 2022",
    parameters=1_009_296,  # of ours, what serving needs; as published 6,329,609, and 8,930,313 with what training needs
    licence="Apache-2.0",
    halo=128,  # it sees further: tiles are blended
    file="airnet.safetensors",
    sha256="19d5d13826c2b45794fa89bc0b6694e55b43966f22b6733b4dec4e09bbb323de",
    weights_licence=LIIF.weights_licence,
    trained_on=(*PHOTOS, "RESIDE, 24 indoor pairs of haze (licence not stated)", "Deep Detail Network, 3 of rain"),
    good_at=("colour photos with noise or rain streaks, without being told which; clean photos stay as they are",),
    bad_at=(
        "grey pictures, and grain that is the same in all three colours: it hardly touches such noise",
        "haze: it takes a little, for it sees too little of a picture to tell a pale wall or sky from haze",
        "large areas of one mid grey, which darken in blotches; drawings with hard edges, which it softens",
        "JPEG blocks: hardly better than the input",
        "two of these at once; blur and scratches, which it was not taught; rain that hides what is behind it",
    ),
    unshuffle=2,
    cpu_s_per_mp=2.0,  # 12 megapixels in tiles: 48 CPU seconds, in bfloat16 by `workers.engine.engine`
    measured=read("airnet"),
)

NEAREST = Card(
    name="nearest",
    task="upscale",
    title="Nearest pixel",
    paper="each sample is the pixel it lies in",
    parameters=0,
    licence="Apache-2.0",
    max_scale=64.0,
    halo=0,
    measured=read("nearest"),
)

BILINEAR = Card(
    name="bilinear",
    task="upscale",
    title="Bilinear interpolation",
    paper="triangle kernel over the two nearest pixels of each axis",
    parameters=0,
    licence="Apache-2.0",
    max_scale=64.0,
    halo=0,
    measured=read("bilinear"),
)

BICUBIC = Card(
    name="bicubic",
    task="upscale",
    title="Bicubic interpolation, a = -1/2",
    paper="Keys, Cubic convolution interpolation for digital image processing, IEEE TASSP 29(6), 1981",
    parameters=0,
    licence="Apache-2.0",
    max_scale=64.0,
    halo=1,
    measured=read("bicubic"),
)

LANCZOS = Card(
    name="lanczos",
    task="upscale",
    title="Lanczos interpolation, a = 3",
    paper="Duchon, Lanczos filtering in one and two dimensions, J. Appl. Meteorology 18, 1979",
    parameters=0,
    licence="Apache-2.0",
    max_scale=64.0,
    halo=2,
    measured=read("lanczos"),
)

FOURIER = Card(
    name="fourier",
    task="upscale",
    title="Fourier interpolation, mirrored at the frame",
    paper="Martucci, Image resizing in the discrete cosine transform domain, ICIP 1995",
    parameters=0,
    licence="Apache-2.0",
    max_scale=64.0,
    halo=None,
    measured=read("fourier"),
)

# Stands for the table that a request to /enhance brings along: a name for records and metrics, and no model.
OWN_LUT = Card(
    name="lut",
    task="enhance",
    title="The user's own table",
    paper="Adobe, Cube LUT Specification 1.0, 2013",
    parameters=0,
    licence="",
    cpu_s_per_mp=0.02,  # 0.015 with curves before the table, 0.003 to 0.01 otherwise
)

ALL = (
    LUT3D,
    AIRNET,
    ECLUT,
    LIIF,
    LIIF_REAL,
    LIIF_RDN,
    LMLIIF,
    SPAN,
    SRRESNET,
    SRGAN,
    NEAREST,
    BILINEAR,
    BICUBIC,
    LANCZOS,
    FOURIER,
)
BY_NAME: dict[str, Card] = {card.name: card for card in (*ALL, OWN_LUT)}
CARDS: dict[str, Card] = {card.name: card for card in ALL if card.file is None or card.sha256 is not None}


def available(weights_dir: Path | None = None) -> dict[str, Card]:
    """Cards of all that can serve: CARDS, and those whose file lies in the folder of the user's own weights."""
    brought = [as_brought(card, weights_dir) for card in ALL if weights_dir and is_brought(card, weights_dir)]
    return CARDS | {card.name: card for card in brought}


def as_brought(card: Card, weights_dir: Path) -> Card:
    """The card with the size of the network in a user's file, and the cost that follows: so much a parameter and pixel.

    A file that cannot be read leaves the card as it is; who loads it says why.
    """
    try:
        header = open_header(users_file(card, weights_dir))
    except (OSError, WeightsError):
        return card
    folds = header.config.get("unshuffle")
    folds = folds if isinstance(folds, int) and folds > 0 else card.unshuffle
    work = header.parameters / max(1, card.parameters) * (card.unshuffle / folds) ** 2
    return replace(card, parameters=header.parameters, cpu_s_per_mp=card.cpu_s_per_mp * work)


def is_brought(card: Card, weights_dir: Path | None) -> bool:
    """Whether the user has weights of his own for this model."""
    return card.file is not None and weights_dir is not None and users_file(card, weights_dir).is_file()


def users_file(card: Card, weights_dir: Path) -> Path:
    return weights_dir / f"{card.name}.safetensors"
