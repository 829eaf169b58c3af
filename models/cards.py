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


LUT3D = Card(
    name="lut3d",
    task="enhance",
    title="Image-adaptive 3D LUT",
    paper="Zeng et al., Learning Image-Adaptive 3D Lookup Tables, TPAMI 2022, arXiv 2009.14468",
    parameters=593_516,
    licence="Apache-2.0",
    halo=None,
    file="lut3d.safetensors",
)

LIIF = Card(
    name="liif",
    task="upscale",
    title="LIIF with the EDSR-baseline encoder",
    paper="Chen, Liu, Wang, Learning Continuous Image Representation, CVPR 2021, arXiv 2012.09161",
    parameters=1_567_299,  # the published count of 1,567,323 holds 24 of a mean shift that it never uses
    licence="Apache-2.0",
    max_scale=8.0,
    halo=36,
    file="liif.safetensors",
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
