"""Cards of what takes damage off a picture."""

from __future__ import annotations

from models.cards.card import Card
from models.cards.sources import PHOTOS
from models.cards.upscale import LIIF

AIRNET = Card(
    name="airnet",
    task="restore",
    title="AirNet: noise, rain and haze by one network",
    paper="Li et al., All-In-One Image Restoration for Unknown Corruption, CVPR 2022",
    parameters=1_009_296,  # of ours, what serving needs; as published 6,329,609, and 8,930,313 with what training needs
    licence="Apache-2.0",
    tiling="blended",
    halo=128,
    reduced="bf16",
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
)

AIRNET_U = Card(
    name="airnet-u",
    task="restore",
    title="AirNet's plan with a U of NAF blocks: noise, rain, haze and JPEG blocks, with a wide view",
    paper=f"{AIRNET.paper}; Chen et al., Simple Baselines for Image Restoration, ECCV 2022, arXiv 2204.04676",
    parameters=3_184_120,
    licence="Apache-2.0",
    halo=144,
    multiple=16,
    reduced="bf16",
    kinds=("noise", "rain", "haze", "jpeg"),
    file="airnet-u.safetensors",
    sha256="b84c0453160638bb33f996a7d7ec9e02aa87b6ebf8d4c0b3fadc344ad70c168a",
    weights_licence=AIRNET.weights_licence,
    trained_on=AIRNET.trained_on,
    good_at=(
        "rain streaks; noise and grain, grey or in colour, at low and middle strength; haze over all of a picture",
        "pictures that came in sound: where it is not sure that something is wrong, a pixel stays as it is, to the bit",
    ),
    bad_at=(
        "strong noise, of which coloured blotches stay: `airnet` takes more off, and harms flat greys and patterns",
        "haze in small pictures, or where it is not sure of it: it is left unless it alone is asked for",
        "pale sand, dust and sunsets, which it may take for haze",
        "blocks of strong JPEGs; blur of more than a pixel, scratches, and what rain or haze hides altogether",
    ),
    cpu_s_per_mp=0.9,  # 1.15 CPU seconds on one core, times the halo's share of windows of 1000 pixels, by two cores
)

ALL = (AIRNET, AIRNET_U)
