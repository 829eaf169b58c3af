"""The engine on a processor: tiles without seams, alpha without fringes, and going on when memory or numbers fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from kernels.reference.lut3d import identity_lut
from models import catalog
from models.lut3d import REDUCE, SEEN_SIDE, seen, shrink
from tests.workers.enlarging import CLASSICAL, PRECISIONS, WHOLE, Counting, apart, enlarge, hole, noise, picture, quiet
from workers.engine import lookups, memory
from workers.engine.engine import Engine
from workers.errors import ParameterError, UnknownModel
from workers.operations.sizes import SizeAsked, target_size
from workers.pictures.picture import Picture

pytestmark = pytest.mark.usefixtures("one_thread")

SCALES = ("1.5", "2", "3.7", "8")
PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


# Tiles


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("model", [*CLASSICAL, "conv"])
def test_tiled_equals_whole(model: str, scale: str, conv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STRIP_SAMPLES", 20_000)
    source = picture(noise(kind=np.uint16))
    whole = enlarge(Engine(device="cpu", tile=WHOLE), source, model, scale).pixels
    for tile in ("32", "19"):
        tiled = enlarge(Engine(device="cpu", tile=tile), source, model, scale).pixels
        assert apart(whole, tiled) <= 1  # of 65535: 1.5e-5


@pytest.mark.parametrize(
    ("model", "scale"), [("liif", "1.7"), *(("lmliif", scale) for scale in ("1.5", "2", "2.7", "3.7", "8"))]
)
def test_liif_tiled_equals_whole(model: str, scale: str) -> None:
    source = picture(noise(40, 50))
    whole = enlarge(Engine(device="cpu", precision="fp32", tile=WHOLE), source, model, scale).pixels
    tiled = enlarge(Engine(device="cpu", precision="fp32", tile="29"), source, model, scale).pixels
    assert apart(whole, tiled) <= 1


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scale", ["1.5", "2", "2.7", "3.7", "8"])
def test_bands_of_any_height_and_columns_equal_the_whole(
    scale: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that memory allows, of a height that leaves an odd last one; the frame of every window is the picture's.

    Of noise without any limit, which no network has learnt, float32 may round a sample in fifty thousand the other way:
    its sums are added up in an order that depends on the size of a window.
    """
    coarse = Image.fromarray(noise(17, 14)).resize((53, 67), Image.Resampling.BICUBIC)
    compare_bands(picture(np.asarray(coarse)), scale, precision, monkeypatch, most=0.0)
    compare_bands(picture(noise(67, 53)), scale, precision, monkeypatch, most=2e-5 if precision == "fp32" else 0.0)


def compare_bands(source: Picture, scale: str, precision: str, monkeypatch: pytest.MonkeyPatch, most: float) -> None:
    whole = enlarge(Engine(device="cpu", precision=precision), source, "lmliif", scale).pixels
    for name, value in (("CPU_TILE_S", 1.5e-3), ("CPU_BUDGET_BYTES", 11 * 1024**2)):
        observe = Counting()
        with monkeypatch.context() as limited:
            limited.setattr(memory, name, value)
            tiled = enlarge(Engine(device="cpu", precision=precision, observe=observe), source, "lmliif", scale).pixels
        assert observe.seen["tiles"] > 1
        assert apart(whole, tiled) <= 1
        assert (whole != tiled).mean() <= most
    slow = Engine(device="cpu", precision=precision, observe=(observe := Counting()))
    slow.use_speeds({"lmliif": 1e9})
    tiled = enlarge(slow, source, "lmliif", scale).pixels
    assert observe.seen["tiles"] > 1
    assert apart(whole, tiled) <= 1
    assert (whole != tiled).mean() <= most


@pytest.mark.parametrize("model", [*CLASSICAL, "liif", "liif-real", "lmliif"])
def test_a_flat_picture_stays_flat_without_steps_at_tile_borders(model: str) -> None:
    flat = np.full((45, 38, 3), 119, np.uint8)
    found = enlarge(Engine(device="cpu", tile="32"), picture(flat), model, "1.5" if "liif" in model else "3.7").pixels
    colour = found[0, 0]
    assert (found == colour).all()
    if model in CLASSICAL:
        assert (colour == 119).all()


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (2, 3), (8, 8), (20_000, 3)])
@pytest.mark.parametrize("model", [*CLASSICAL, "conv", "lmliif"])
def test_the_thinnest_pictures_work(model: str, size: tuple[int, int], conv: str) -> None:
    found = enlarge(Engine(device="cpu"), picture(noise(*size)), model, "1.5")
    assert found.pixels.shape[:2] == target_size(*size, SizeAsked(scale="1.5"))


def test_both_axes_may_have_their_own_scale() -> None:
    source = noise(20, 30)
    found = Engine(device="cpu", tile="16").upscale(picture(source), model="nearest", height=60, width=30, tick=quiet)
    assert (found.pixels == source.repeat(3, axis=0)).all()


def test_a_picture_of_that_size_already_comes_back_unchanged() -> None:
    source = picture(noise(9, 9))
    assert Engine(device="cpu").upscale(source, model="lanczos", height=9, width=9, tick=quiet) is source


def test_a_size_below_the_picture_s_own_is_refused() -> None:
    with pytest.raises(ParameterError, match="only enlarges"):
        Engine(device="cpu").upscale(picture(noise(9, 9)), model="bicubic", height=18, width=8, tick=quiet)


@pytest.mark.parametrize("model", PILLOW)
@pytest.mark.parametrize("scale", ["2", "3.7"])
def test_inside_the_frame_a_resampler_equals_pillow_to_one_level(model: str, scale: str) -> None:
    source = noise() // 2 + 64  # room for overshoot, which Pillow clamps between its two passes
    found = enlarge(Engine(device="cpu", tile="32"), picture(source), model, scale).pixels
    expected = np.asarray(Image.fromarray(source).resize((found.shape[1], found.shape[0]), PILLOW[model]))
    border = 12  # at the frame we mirror, Pillow drops the taps outside
    inside = (slice(border, -border), slice(border, -border))
    assert apart(found[inside], expected[inside]) <= 1


# Depth and channels


@pytest.mark.parametrize("model", CLASSICAL)
def test_sixteen_bits_stay_sixteen_bits(model: str) -> None:
    ramp = np.linspace(10_000, 11_000, 64).astype(np.uint16)[None, :, None].repeat(4, 0).repeat(3, 2)
    found = enlarge(Engine(device="cpu"), picture(ramp), model, "8").pixels
    assert found.dtype == np.uint16
    assert len(np.unique(found)) >= (64 if model == "nearest" else 400)


def test_sixteen_bits_are_computed_in_full_precision_unless_asked_otherwise() -> None:
    assert Engine(device="cpu")._dtype("liif", np.dtype(np.uint16)) == torch.float32
    assert Engine(device="cpu", precision="bf16")._dtype("liif", np.dtype(np.uint16)) == torch.bfloat16


@pytest.mark.parametrize("model", [*CLASSICAL, "conv"])
def test_grey_stays_grey(model: str, conv: str) -> None:
    grey = noise(channels=1)
    engine = Engine(device="cpu", tile="32")
    found = enlarge(engine, picture(grey), model).pixels
    assert found.shape == (122, 166, 1)
    if model in CLASSICAL:
        in_colour = enlarge(engine, picture(grey.repeat(3, 2)), model).pixels
        assert apart(found, in_colour[..., :1]) == 0


# Alpha


@pytest.mark.parametrize("model", [*CLASSICAL, "conv"])
@pytest.mark.parametrize("under", [(0, 0, 0), (0, 255, 0)])
def test_no_colour_from_under_a_hole_reaches_what_is_visible(
    model: str, under: tuple[int, int, int], conv: str
) -> None:
    alpha = hole()
    pixels = np.full((48, 48, 3), 200, np.uint8)
    engine = Engine(device="cpu", tile="32")
    clean = enlarge(engine, picture(pixels.copy(), alpha), model, "3.7")
    pixels[alpha == 0] = under
    found = enlarge(engine, picture(pixels, alpha), model, "3.7")
    assert found.alpha is not None
    visible = found.alpha > 0
    assert apart(found.pixels[visible], clean.pixels[visible]) == 0


# Stopping and failing


def test_the_observer_hears_of_models_alone() -> None:
    observe = Counting()
    enlarge(Engine(device="cpu", tile="32", observe=observe), picture(noise(48, 48), hole()), "bicubic")
    assert observe.models == {"bicubic"}
    assert observe.seen["tiles"] == 4


# Enhance


def test_strength_nought_changes_nothing_in_any_depth_or_number_of_channels() -> None:
    engine = Engine(device="cpu")
    for source in (noise(), noise(kind=np.uint16), noise(channels=1), noise(channels=1, kind=np.uint16)):
        found = engine.enhance(picture(source), strength=0.0, tick=quiet).pixels
        assert apart(found, source) <= (0 if source.dtype == np.uint8 else 1)


def test_strength_is_a_lerp_of_the_table_to_the_identity() -> None:
    engine, source = Engine(device="cpu"), picture(noise())
    full = engine.fused_table(source, model="lut3d", strength=1.0)
    half = engine.fused_table(source, model="lut3d", strength=0.5)
    assert full.shape == (3, 33, 33, 33)
    assert torch.allclose(half, (full + identity_lut(33)) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_goes_through_a_table_as_the_luma_of_its_colour(kind: type) -> None:
    table = identity_lut(33) ** torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1, 1)
    engine, grey = Engine(device="cpu"), noise(channels=1, kind=kind)
    found = engine.apply_table(picture(grey), table, tick=quiet).pixels
    colour = engine.apply_table(picture(grey.repeat(3, 2)), table, tick=quiet).pixels
    assert found.shape == grey.shape
    assert np.abs(found[..., 0] - colour @ np.array([0.299, 0.587, 0.114])).max() <= 1.01


def test_bands_of_a_table_make_one_picture_and_ticks_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    table = identity_lut(33).flip(0)
    source, ticks = picture(noise()), []
    whole = Engine(device="cpu").apply_table(source, table, tick=quiet).pixels
    monkeypatch.setattr(lookups, "TABLE_BAND_PIXELS", 1000)
    found = Engine(device="cpu").apply_table(source, table, tick=lambda *at: ticks.append(at)).pixels
    assert apart(found, whole) == 0
    assert ticks[-1] == (6, 6)


def test_enhance_leaves_alpha_alone_and_looks_at_visible_colour_only() -> None:
    engine, alpha = Engine(device="cpu"), hole()
    pixels = noise(48, 48)
    found = engine.enhance(picture(pixels, alpha), tick=quiet)
    assert found.alpha is alpha
    other = pixels.copy()
    other[alpha == 0] = 255
    tables = [engine.fused_table(picture(p, alpha), model="lut3d", strength=1.0) for p in (pixels, other)]
    assert torch.equal(*tables)


@pytest.mark.parametrize(
    "size", [(1000, 700), (481, 3000), (2000, 500), (480, 480), (256, 256), (90, 4000), (1, 1), (2, 3)]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_predictor_sees_the_area_reduction_it_was_trained_on(
    size: tuple[int, int], channels: int, dtype: type[np.unsignedinteger[Any]]
) -> None:
    pixels = noise(*size, channels).astype(dtype) * (np.iinfo(dtype).max // 255)
    whole = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / np.iinfo(dtype).max
    reduced = shrink(whole, REDUCE)
    expected = torch.nn.functional.interpolate(reduced, (SEEN_SIDE, SEEN_SIDE), mode="bilinear", align_corners=False)
    assert (seen(torch.from_numpy(pixels)) - expected[0]).abs().max() < 1e-5
    engine = Engine(device="cpu")
    network = engine._served("lut3d", torch.float32).model
    table = engine.fused_table(picture(pixels), model="lut3d", strength=1.0)
    with torch.inference_mode():
        is_told = channels == 3 and min(size) > 2  # the norms of a flat picture are of what rounding leaves
        assert not is_told or (table - network.lut(whole)).abs().max() < 1e-4


# Loading and telling


def test_models_load_once_and_the_facts_are_json() -> None:
    engine = Engine(device="cpu", threads=1)
    engine.load("bicubic")
    engine.load("bicubic")
    engine.load("liif")
    assert engine.loaded() == ["bicubic", "liif"]
    facts = json.loads(json.dumps(engine.facts()))
    assert facts["device"] == "cpu"
    assert facts["threads"] == 1
    assert len(facts["models"]["liif"]["sha256"]) == 64
    assert set(facts["kernels"]) == {"cpu", "cuda"}


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match="bicubic"):
        Engine(device="cpu").load("magic")


def test_the_user_s_own_weights_are_told_by_their_own_hash(tmp_path: Path) -> None:
    ours = catalog.OUR_WEIGHTS / "lut3d.safetensors"
    (tmp_path / "lut3d.safetensors").write_bytes(ours.read_bytes())
    engine = Engine(device="cpu", weights_dir=tmp_path)
    engine.load("lut3d")
    models: dict[str, Any] = engine.facts()["models"]
    assert models["lut3d"]["sha256"] is not None


# Memory, and the other device


PEAK = """
import resource, sys
import numpy as np
from workers.engine.engine import Engine
from workers.pictures.picture import Picture

model, height, width, scale = sys.argv[1], *map(int, sys.argv[2:])
engine = Engine(device="cpu", threads=1)
for h, w in ((64, 64), (height, width)):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = Picture(np.full((h, w, 3), 77, np.uint8), None, None, None, "png", False)
    before += source.pixels.nbytes // 1024
    found = engine.upscale(source, model=model, height=h * scale, width=w * scale, tick=lambda done, total: None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - found.pixels.nbytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [("bicubic", "5000", "10000", "2"), ("fourier", "2500", "1250", "8")])
def test_two_hundred_megapixels_need_their_result_and_little_more(sizes: tuple[str, ...]) -> None:
    ran = subprocess.run([sys.executable, "-c", PEAK, *sizes], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 400 * 1024**2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("model", [*CLASSICAL, "liif"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_gpu_gives_what_the_processor_gives(model: str, precision: str) -> None:
    source = picture(noise(90, 120), cv2.resize(hole(), (120, 90)))
    expected = enlarge(Engine(device="cpu", precision="fp32"), source, model, "3.7")
    found = enlarge(Engine(device="cuda", precision=precision, tile="40"), source, model, "3.7")
    assert apart(found.pixels, expected.pixels) <= (1 if precision == "fp32" else 3)
    assert found.alpha is not None and expected.alpha is not None
    assert apart(found.alpha, expected.alpha) == 0
