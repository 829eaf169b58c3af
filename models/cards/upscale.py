"""Cards of what enlarges: networks, tables and filters."""

from __future__ import annotations

from models.cards.card import Card
from models.cards.sources import PHOTOS

FILTER_TILE = 128  # a resampler's matrices are cheapest small
FILTER_BYTES = 64  # float32, a few copies

LIIF = Card(
    name="liif",
    task="upscale",
    title="LIIF with the EDSR-baseline encoder",
    paper="Chen, Liu, Wang, Learning Continuous Image Representation, CVPR 2021, arXiv 2012.09161",
    parameters=1_567_299,  # of ours; 1,567,323 as published, of which 24 are a mean shift that is never applied
    licence="Apache-2.0",
    max_scale=8.0,
    halo=36,
    reduced="bf16",
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
        "grey patterns of single pixels (checkers, columns, dithers): it tints them by up to 109 levels of 255 and "
        "moves their mean by up to 57",
    ),
    cpu_s_per_mp=4.0,  # 3.2 at x4, 4.6 at x2, in bfloat16 by `workers.engine.engine`
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
    reduced="bf16",
    file="liif-real.safetensors",
    sha256="db3241ed6646a6273a57bb4f7d4a23e53fd52b49c05a22c800e7eeab1ae94e00",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("photos from cameras and the web: JPEG and WebP of quality 30 to 95, a little noise, a little blur",),
    bad_at=(
        "clean pictures: softer than `liif`, for it takes the finest grain for noise",
        "JPEGs below quality 30, strong noise, and blur of more than a pixel",
        "grey patterns of single pixels (checkers, columns, dithers): it tints them by up to 28 levels of 255 and "
        "moves their mean by up to 31",
    ),
    cpu_s_per_mp=LIIF.cpu_s_per_mp,
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
    reduced="bf16",
    file="liif-rdn.safetensors",  # no weights of ours: the published file, converted, serves it
    good_at=("clean pictures, where a quarter of a decibel (paper, x4) is worth more than twice the time of `liif`",),
    bad_at=("JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",),
    cpu_s_per_mp=8.4,  # 2.1 times `liif` at x4 in bfloat16, 3.6 times in float32, in one run
)

LMLIIF = Card(
    name="lmliif",
    task="upscale",
    title="LM-LIIF on the encoder of SPAN",
    paper="He and Jin, Latent Modulated Function for Continuous Image Representation, CVPR 2024, arXiv 2404.16451",
    parameters=512_899,
    licence="Apache-2.0",
    max_scale=8.0,
    halo=26,  # 1 + 6 * 3 + 1 of the features, 1 of the layer that enlarges, 3 to project back, 2 of the resize
    frame=1,  # its base learnt to end with the picture: 0.02 dB of Set5 more than with four or more
    reduced="bf16",
    file="lmliif.safetensors",
    sha256="b2c10e6998c3521eec546a47fa975e840afc566b96f14b388daf0bdbc17c5874",
    weights_licence=f"{LIIF.weights_licence}; its encoder began as SPAN of its authors (Apache-2.0), trained on DIV2K "
    "and Flickr2K, for research",
    trained_on=PHOTOS,
    distilled_from="its encoder from SPAN of 48 channels, x4; at x2 and x4 taught by SPAN of 52 channels (Wan et al.)",
    good_at=(
        "clean pictures without loss: renders, scans, PNG exports, downsized originals; any scale, also fractions",
        "text, line drawings and grey patterns of single pixels: it tints them by up to 2 levels of 255 and moves "
        "their mean by up to 13",
    ),
    bad_at=(
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
        "inventing detail: beyond x4 it is a sharper interpolation",
    ),
    cpu_s_per_mp=0.8,  # 0.25 of `liif` at x2, 0.14 at x4, in bfloat16, in one run
)

LMLIIF_REAL = Card(
    name="lmliif-real",
    task="upscale",
    title="LM-LIIF for real photos",
    paper=LMLIIF.paper,
    parameters=LMLIIF.parameters,
    licence="Apache-2.0",
    max_scale=8.0,
    halo=LMLIIF.halo + 8,  # twice 4 of the means over which it projects back
    reduced="bf16",
    file="lmliif-real.safetensors",
    sha256="b07726de5ec1a98403c76421d222c260df3b976e49dfc358a63c8b16cb911b96",
    weights_licence=LMLIIF.weights_licence,
    trained_on=PHOTOS,
    distilled_from=LMLIIF.distilled_from,
    good_at=(
        "photos from cameras and the web where `liif-real` takes too long: it takes a third as much off a JPEG so far",
        "clean pictures among them: within 0.2 dB of `lmliif`",
    ),
    bad_at=(
        "most JPEG blocks, which it keeps; strong noise, and blur of more than a pixel",
        "grey patterns of single pixels: it tints them by up to 1 level of 255 and moves their mean by up to 12",
    ),
    cpu_s_per_mp=LMLIIF.cpu_s_per_mp,
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
    halo=23,  # 1 + 6 * 3 + 1 + 1 of the network, 2 of the resize that makes other scales of the next factor's
    reduced="bf16",
    file="span.safetensors",  # no weights of ours: the published files, converted, serve it
    good_at=("clean pictures at x2 and x4: near the best decibels for its cost",),
    bad_at=(
        "scales between: it makes the next factor first and shrinks that",
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
        "grey patterns of single pixels (checkers, columns, dithers): it tints them by up to 55 levels of 255 and "
        "moves their mean by up to 72; columns, rows and checkers at full contrast come out as nonsense",
    ),
    cpu_s_per_mp=0.6,  # 0.63 at x2, 0.15 at x4, in float32
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
    halo=41,  # 4 + 33 + 1 + 1/2 + 1 of the network, 1 1/2 of the resize that makes other scales of x4
    reduced="bf16",
    file="srresnet.safetensors",
    sha256="47ce995abffc752005b594ab2b751fcb40323efe2d276adc7be1a212f760de31",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("clean pictures up to x4: the pixels nearest to the original",),
    bad_at=(
        "scales below x4 where time is short: it makes x4 first and shrinks that, at the cost of x4",
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
        "grey patterns of single pixels (checkers, columns, dithers): it tints them by up to 6 levels of 255 and "
        "moves their mean by up to 28",
    ),
    cpu_s_per_mp=0.72,  # 0.18 of `liif` at x4 in bfloat16, in one run
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
    reduced="bf16",
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
        "grey patterns of single pixels (checkers, columns, dithers): it tints them by up to 7 levels of 255 and "
        "moves their mean by up to 24",
    ),
    cpu_s_per_mp=SRRESNET.cpu_s_per_mp,
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
    halo=4,  # 2 of the tables, 2 of the resize that makes other scales of the next table's
    file="eclut.safetensors",
    sha256="4216dd4b79a06918e66a6d00eb8df36fd659b5e41e5ab26635273a333d6aac9f",
    weights_licence=LIIF.weights_licence,
    trained_on=PHOTOS,
    good_at=("clean pictures where time is short: sharper than bicubic, and at x2, x3 and x4 as fast",),
    bad_at=(
        "fine texture and slanted edges: a table sees two pixels around each; beyond x4 it is x4, resized",
        "16-bit pictures: no table holds their levels, so the networks compute them, as slow as `liif`",
        "JPEG blocks, film grain and noise: it was trained on clean pictures and sharpens them with the rest",
        "patterns of single pixels: grey ones stay neutral, but it moves their mean by up to 25 levels",
    ),
    cpu_s_per_mp=0.05,  # 0.007 at x4, 0.014 at x2, 0.05 at x1.5, which is resized
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
    tile=FILTER_TILE,
    window_bytes=FILTER_BYTES,
    channels=None,
    keeps_values=True,
    fallback=5,
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
    tile=FILTER_TILE,
    window_bytes=FILTER_BYTES,
    channels=None,
    fallback=3,
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
    tile=FILTER_TILE,
    window_bytes=FILTER_BYTES,
    channels=None,
    fallback=2,
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
    tile=FILTER_TILE,
    window_bytes=FILTER_BYTES,
    channels=None,
    fallback=1,
)

FOURIER = Card(
    name="fourier",
    task="upscale",
    title="Fourier interpolation, mirrored at the frame",
    paper="Martucci, Image resizing in the discrete cosine transform domain, ICIP 1995",
    parameters=0,
    licence="Apache-2.0",
    max_scale=64.0,
    tiling="whole",
    tile=FILTER_TILE,
    window_bytes=FILTER_BYTES,
    channels=None,
    fallback=4,
)

LEARNT = (ECLUT, LIIF, LIIF_REAL, LIIF_RDN, LMLIIF, LMLIIF_REAL, SPAN, SRRESNET, SRGAN)
ALL = (*LEARNT, NEAREST, BILINEAR, BICUBIC, LANCZOS, FOURIER)
