"""The plain facts about every model that is served; importable without torch. What builds them is `models.catalog`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Card:
    """Facts of one model.

    `task` is the endpoint. `halo` counts input pixels around a tile that make tiled equal whole; None: the model must
    see the whole picture. `file` is the weight file below `models/weights` (None: nothing learnt). `cpu_s_per_mp` is
    the measured cost on two CPU cores, seconds per megapixel of output (of input for `enhance`), the estimate before a
    worker has measured its own. `scores` are {benchmark: value} as measured, `source` says by which command, where and
    when.
    """

    name: str
    task: str
    title: str
    paper: str
    parameters: int
    licence: str
    min_scale: float = 1.0
    max_scale: float = 1.0
    halo: int | None = 0
    channels: int = 3
    file: str | None = None
    sha256: str | None = None
    weights_licence: str | None = None
    trained_on: tuple[str, ...] = ()
    distilled_from: str | None = None
    cpu_s_per_mp: float = 0.05
    scores: dict[str, float] = field(default_factory=dict)
    source: str = ""


DEVICE = "2 cores AMD EPYC (Zen 5, AVX-512), 2026-11-20"
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
    cpu_s_per_mp=0.034,
    scores={
        "kodak24 RGB against teacher": 36.70,
        "fivek9 RGB": 23.61,
        "fivek9 RGB teacher": 22.89,
        "fivek9 RGB input": 21.53,
    },
    source=f"python -m models.train evaluate lut3d --data DIR; {DEVICE}",
)

LIIF = Card(
    name="liif",
    task="upscale",
    title="LIIF with the EDSR-baseline encoder",
    paper="Chen, Liu, Wang, Learning Continuous Image Representation, CVPR 2021, arXiv 2012.09161",
    parameters=1_567_323,  # as published; 24 of them are a mean shift that is never applied, and not in our file
    licence="Apache-2.0",
    max_scale=8.0,
    halo=36,
    file="liif.safetensors",
    sha256="334cec087b5bda2ac5da1ede3aea652527908e714dcb1598f51def24a89b4b27",
    weights_licence="Apache-2.0, as far as the pictures under trained_on, some without a stated licence, allow",
    trained_on=PHOTOS,
    cpu_s_per_mp=4.0,  # 3.2 at x4, 4.6 at x2, in bfloat16 by `workers.engine`
    scores={
        "Set5 x2 Y": 37.18,
        "Set5 x2 RGB": 34.91,
        "Set5 x3 Y": 33.29,
        "Set5 x3 RGB": 31.26,
        "Set5 x4 Y": 31.09,
        "Set5 x4 RGB": 29.12,
        "Set14 x2 Y": 32.85,
        "Set14 x2 RGB": 30.74,
        "Set14 x3 Y": 29.66,
        "Set14 x3 RGB": 27.74,
        "Set14 x4 Y": 27.93,
        "Set14 x4 RGB": 26.10,
        "BSD100 x2 Y": 31.68,
        "BSD100 x2 RGB": 30.32,
        "BSD100 x3 Y": 28.67,
        "BSD100 x3 RGB": 27.31,
        "BSD100 x4 Y": 27.16,
        "BSD100 x4 RGB": 25.81,
        "Set5 x6 Y": 27.94,
        "Set5 x6 RGB": 26.10,
        "Set5 x8 Y": 26.13,
        "Set5 x8 RGB": 24.34,
        "Set14 x6 Y": 25.76,
        "Set14 x6 RGB": 24.02,
        "Set14 x8 Y": 24.38,
        "Set14 x8 RGB": 22.69,
    },
    source=f"python -m models.train evaluate liif --data DIR; {DEVICE}",
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
)

CARDS: dict[str, Card] = {card.name: card for card in (LUT3D, LIIF, NEAREST, BILINEAR, BICUBIC, LANCZOS, FOURIER)}
