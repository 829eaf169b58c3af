"""The engine on a processor: tiles without seams, alpha without fringes, and going on when memory or numbers fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from kernels.reference.lut3d import identity_lut
from models import catalog
from models.cards import CARDS, Card
from models.classical import KERNELS, Resampler
from models.contract import Upscaler, View
from workers.engine import lookups, memory, transparency
from workers.engine.engine import Engine, choose_device
from workers.engine.passes import NullObserver
from workers.errors import InternalError, JobCancelled, OutOfMemory, ParameterError, UnknownModel
from workers.operations.sizes import SizeAsked, target_size
from workers.pictures.picture import Picture

CLASSICAL = ("nearest", "bilinear", "bicubic", "lanczos", "fourier")
SCALES = ("1.5", "2", "3.7", "8")
WHOLE = "99999"
PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class ConvNet(nn.Module):
    """Random and small, in the manner of EDSR: residual blocks on the input grid, then a blend that knows its phase."""

    HALO = 6  # head, two blocks of two, and the blend's next feature is within the two pixels around a sample

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)) for _ in range(2)
        )
        self.tail = nn.Conv2d(9, 3, 1)
        self.blend = Resampler(KERNELS["bilinear"])
        self.requires_grad_(False)

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        feat = self.head(windows)
        for block in self.blocks:
            feat = feat + block(feat)
        return [self._tile(feat[n : n + 1], view) for n, view in enumerate(views)]

    def _tile(self, feat: Tensor, view: View) -> Tensor:
        (blended,) = self.blend(feat, [view])
        phase = torch.outer(view.rows.positions()[1], view.cols.positions()[1])
        return torch.sigmoid(self.tail(torch.cat([blended, phase[None]])[None])[0])


class Counting(NullObserver):
    """Observes into numbers."""

    def __init__(self) -> None:
        self.models: set[str] = set()
        self.seen = {"tiles": 0, "oom": 0, "nonfinite": 0}
        self.batches: list[int] = []

    def tiles(self, model: str, count: int) -> None:
        self.models.add(model)
        self.seen["tiles"] += count

    def batch(self, model: str, size: int) -> None:
        self.batches.append(size)

    def oom_retry(self, model: str) -> None:
        self.seen["oom"] += 1

    def nonfinite_retry(self, model: str) -> None:
        self.seen["nonfinite"] += 1


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Adds a model to the house for one test; returns its name."""

    def add(build: Callable[[], Upscaler], halo: int = ConvNet.HALO, name: str = "conv") -> str:
        card = Card(name, "upscale", name, "", 1, "", max_scale=8, halo=halo)
        monkeypatch.setitem(CARDS, name, card)
        monkeypatch.setitem(catalog.NETWORKS, name, lambda config: build())
        return name

    return add


@pytest.fixture
def conv(serve: Callable[..., str]) -> str:
    return serve(ConvNet)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices lose more by threads than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def quiet(done: int, total: int) -> None:
    pass


def picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(pixels, alpha, None, None, "png", False)


def noise(height: int = 61, width: int = 83, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    top = np.iinfo(kind).max
    return np.random.default_rng(7).integers(0, top, (height, width, channels), dtype=kind, endpoint=True)


def enlarge(engine: Engine, source: Picture, model: str, scale: str = "2") -> Picture:
    height, width = target_size(source.pixels.shape[0], source.pixels.shape[1], SizeAsked(scale=scale))
    return engine.upscale(source, model=model, height=height, width=width, tick=quiet)


def apart(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return int(np.abs(a.astype(int) - b.astype(int)).max())


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


@pytest.mark.parametrize("model", [*CLASSICAL, "liif", "liif-real", "lmliif"])
def test_a_flat_picture_stays_flat_without_steps_at_tile_borders(model: str) -> None:
    flat = np.full((45, 38, 3), 119, np.uint8)
    found = enlarge(Engine(device="cpu", tile="32"), picture(flat), model, "1.5" if "liif" in model else "3.7").pixels
    colour = found[0, 0]
    assert (found == colour).all()
    if model in CLASSICAL:
        assert (colour == 119).all()


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (2, 3)])
@pytest.mark.parametrize("model", [*CLASSICAL, "conv"])
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


def hole(size: int = 48) -> np.ndarray:
    alpha = np.full((size, size), 255, np.uint8)
    cv2.circle(alpha, (size // 2, size // 2), size // 4, 0, -1)
    return alpha


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


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_constant_alpha_stays_exactly_constant(level: int) -> None:
    found = enlarge(Engine(device="cpu"), picture(noise(20, 20), np.full((20, 20), level, np.uint8)), "bicubic", "3.7")
    assert found.alpha is not None
    assert (found.alpha == level).all()


def test_a_mask_keeps_its_holes_its_solids_and_its_sharpness() -> None:
    found = enlarge(Engine(device="cpu"), picture(noise(48, 48), hole()), "bicubic", "8").alpha
    assert found is not None
    soft = (found > 0) & (found < 255)
    assert soft.mean() < 0.02  # an outline about one pixel wide, not eight
    assert abs((found == 0).mean() - (hole() == 0).mean()) < 0.02
    assert found[192, 192] == 0
    assert found[0, 0] == 255


def test_soft_alpha_follows_the_cubic_without_leaving_its_range() -> None:
    ramp = np.linspace(0, 255, 40).astype(np.uint8)[None].repeat(8, 0)
    found = enlarge(Engine(device="cpu"), picture(noise(8, 40), ramp), "bilinear", "3.7").alpha
    assert found is not None
    assert (np.diff(found[10].astype(int)) >= 0).all()
    expected = cv2.resize(ramp.astype(np.float32), (148, 30), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - expected).max() <= 3


def test_sixteen_bit_alpha_stays_sixteen_bits() -> None:
    alpha = noise(20, 20, 1, np.uint16)[..., 0]
    found = enlarge(Engine(device="cpu"), picture(noise(20, 20, 3, np.uint16), alpha), "bilinear").alpha
    assert found is not None
    assert found.dtype == np.uint16
    assert found.shape == (40, 40)


def test_colour_bleeds_from_the_nearest_visible_pixel_across_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(200, 40)
    alpha = np.zeros((200, 40), np.uint8)
    alpha[[30, 170]] = 3
    once = transparency.bleed(pixels, alpha)
    assert (once[0:31] == pixels[30]).all()
    assert (once[30] == pixels[30]).all()
    assert (once[30 + transparency.REACH + 1 : 170 - transparency.REACH] == once[98, 0]).all()
    monkeypatch.setattr(transparency, "BAND_ROWS", 16)
    assert (transparency.bleed(pixels, alpha) == once).all()


def test_a_picture_without_holes_or_without_anything_visible_is_not_copied() -> None:
    pixels = noise(5, 5)
    for alpha in (np.full((5, 5), 9, np.uint8), np.zeros((5, 5), np.uint8)):
        assert transparency.bleed(pixels, alpha) is pixels


# Stopping and failing


def test_a_tick_that_raises_stops_the_work_between_tiles(serve: Callable[..., str]) -> None:
    calls = []

    class Watched(ConvNet):
        def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
            calls.append(len(views))
            return super().forward(windows, views)

    def cancel(done: int, total: int) -> None:
        if done >= 2:
            raise JobCancelled("the job was cancelled")

    engine = Engine(device="cpu", tile="32")
    with pytest.raises(JobCancelled):
        engine.upscale(picture(noise()), model=serve(Watched), height=122, width=166, tick=cancel)
    assert len(calls) == 2


def test_progress_starts_at_zero_never_falls_and_ends_complete() -> None:
    ticks: list[tuple[int, int]] = []
    Engine(device="cpu", tile="32").upscale(
        picture(noise(48, 48), hole()), model="fourier", height=96, width=96, tick=lambda *at: ticks.append(at)
    )
    assert ticks[0][0] == 0
    assert ticks[-1][0] == ticks[-1][1]
    assert all(b[0] / b[1] >= a[0] / a[1] for a, b in pairwise(ticks))


def test_the_observer_hears_of_models_alone() -> None:
    observe = Counting()
    enlarge(Engine(device="cpu", tile="32", observe=observe), picture(noise(48, 48), hole()), "bicubic")
    assert observe.models == {"bicubic"}
    assert observe.seen["tiles"] == 4


def starved(limit: int, error: Callable[[str], Exception]) -> Callable[[], Upscaler]:
    """A real network on a device with room for `limit` window pixels."""

    class Starved(ConvNet):
        def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
            if windows.shape[0] * windows.shape[2] * windows.shape[3] > limit:
                raise error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes")
            return super().forward(windows, views)

    return Starved


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError])
def test_out_of_memory_goes_on_with_smaller_tiles(error: type[Exception], serve: Callable[..., str], conv: str) -> None:
    source = picture(noise())
    expected = enlarge(Engine(device="cpu", tile=WHOLE), source, conv, "3.7").pixels
    observe, ticks = Counting(), []
    engine = Engine(device="cpu", tile="64", observe=observe)
    name = serve(starved(40 * 40, error), name="starved")
    height, width = target_size(61, 83, SizeAsked(scale="3.7"))
    found = engine.upscale(source, model=name, height=height, width=width, tick=lambda *at: ticks.append(at))
    assert apart(found.pixels, expected) <= 1
    assert observe.seen["oom"] >= 1
    assert ticks[-1][0] == ticks[-1][1]
    assert all(b[0] / b[1] >= a[0] / a[1] for a, b in pairwise(ticks))
    first = observe.seen["oom"]
    enlarge(engine, source, name, "3.7")
    assert observe.seen["oom"] == first, "the second picture starts with the tiles that fitted"


def test_out_of_memory_in_a_batch_takes_fewer_tiles_at_once(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = Counting()
    engine = Engine(device="cpu", tile="32", observe=observe)
    plan = memory.TileSizes.plan
    monkeypatch.setattr(memory.TileSizes, "plan", lambda self, *sizes: (plan(self, *sizes)[0], 8))
    enlarge(engine, picture(noise()), serve(starved(2 * 47 * 47, RuntimeError)))
    assert observe.seen["oom"] == 2  # six at once, then three
    assert max(observe.batches) == 2


def test_batches_give_what_single_tiles_give(conv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(device="cpu", tile="24")
    single = enlarge(engine, picture(noise()), conv, "3.7").pixels
    plan = memory.TileSizes.plan
    monkeypatch.setattr(memory.TileSizes, "plan", lambda self, *sizes: (plan(self, *sizes)[0], 5))
    assert apart(enlarge(engine, picture(noise()), conv, "3.7").pixels, single) <= 1


def test_memory_that_never_suffices_ends_in_one_useful_sentence(serve: Callable[..., str]) -> None:
    with pytest.raises(OutOfMemory, match="starved ran out of memory on cpu even in tiles of") as failed:
        enlarge(Engine(device="cpu"), picture(noise()), serve(starved(0, RuntimeError), name="starved"))
    assert failed.value.retryable


def test_other_errors_of_a_model_are_not_taken_for_lack_of_memory(serve: Callable[..., str]) -> None:
    class Broken(ConvNet):
        def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        enlarge(Engine(device="cpu"), picture(noise()), serve(Broken))


class Overflowing(ConvNet):
    """In half precision every third tile overflows, or all do in every precision."""

    def __init__(self, value: float, always: bool) -> None:
        super().__init__()
        self._value = value
        self._always = always
        self._calls = 0

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        made = super().forward(windows, views)
        self._calls += 1
        if self._always or self._calls % 3 == 0:
            made[0][1, 3, 4] = self._value
        return made


def in_half(engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch, *, full: Upscaler, half: Upscaler) -> None:
    """Serves `half` as the model's reduced and `full` as its float32 twin."""
    monkeypatch.setattr(engine, "_dtype", lambda *_: torch.bfloat16)
    twins = {torch.bfloat16: half, torch.float32: full}
    monkeypatch.setattr(catalog, "load", lambda name, *, dtype, **_: twins[dtype])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_tile_that_overflows_in_half_precision_is_repeated_in_full(
    value: float, conv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = enlarge(Engine(device="cpu", tile="32"), picture(noise()), conv).pixels
    observe = Counting()
    engine = Engine(device="cpu", tile="32", observe=observe)
    in_half(engine, conv, monkeypatch, full=ConvNet(), half=Overflowing(value, always=False))
    assert apart(enlarge(engine, picture(noise()), conv).pixels, expected) == 0
    assert observe.seen["nonfinite"] == 2


def test_values_that_are_no_numbers_in_full_precision_are_an_error(conv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(device="cpu")
    bad = Overflowing(float("nan"), always=True)
    in_half(engine, conv, monkeypatch, full=bad, half=bad)
    with pytest.raises(InternalError, match="not numbers"):
        enlarge(engine, picture(noise()), conv)


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


@pytest.mark.parametrize("size", [(1000, 700), (481, 3000), (2000, 500), (480, 480), (90, 4000), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_predictor_sees_the_area_reduction_it_was_trained_on(size: tuple[int, int], channels: int) -> None:
    pixels = noise(*size, channels)
    found = Engine(device="cpu")._reduced(picture(pixels))
    ratio = min(1.0, 480 / min(size))
    out = (round(size[1] * ratio), round(size[0] * ratio))
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    expected = torch.nn.functional.interpolate(whole, (out[1], out[0]), mode="area")[0].permute(1, 2, 0).numpy()
    assert found.shape == (out[1], out[0], 3)
    assert np.abs(found - expected).max() < 1e-5


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


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ParameterError, match="cuda:99"):
        choose_device("cuda:99")
    assert choose_device("cpu") == torch.device("cpu")


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
