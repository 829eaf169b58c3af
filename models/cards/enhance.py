"""Cards of what changes colour and tone."""

from __future__ import annotations

from models.cards.card import Card
from models.cards.sources import PHOTOS

LUT3D = Card(
    name="lut3d",
    task="enhance",
    title="Image-adaptive 3D LUT",
    paper="Zeng et al., Learning Image-Adaptive 3D Lookup Tables, TPAMI 2022 (online 2020), arXiv 2009.14468",
    parameters=593_516,
    licence="Apache-2.0",
    tiling="whole",
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

ALL = (LUT3D,)
