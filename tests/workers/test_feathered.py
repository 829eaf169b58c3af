"""Restoring on a processor: overlapping tiles blended without steps, all kinds of pictures, failing and going on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import catalog
from models.airnet import Airnet
from models.cards import CARDS, Card
from tests.living import photo
from tests.models.brought import SMALL_AIRNET, bring_airnet, drawn_airnet
from workers.engine import feathered
from workers.engine.engine import Engine
from workers.engine.feathered import ALIGN, FEATHER, FRAME, cut_axis
from workers.engine.memory import restorer_halo
from workers.engine.passes import NullObserver
from workers.errors import InternalError, JobCancelled, OutOfMemory, UnknownModel
from workers.pictures.picture import Picture

pytestmark = pytest.mark.usefixtures("one_thread")

HALO = 40  # on the cards of the models made here: more than a feather and what they see


class Near(nn.Module):
    """Random and small: sees three pixels to every side, not the same along both axes."""

    bytes_per_pixel = 100
    reach = 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.convs = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(6, 3, (3, 5), padding=(1, 2))
        )
        self.requires_grad_(False)

    def forward(self, windows: Tensor) -> Tensor:
        changed: Tensor = windows + 0.5 * self.convs(windows)
        return changed


class Far(Near):
    """Says the mean of all it sees: each tile something else."""

    def forward(self, windows: Tensor) -> Tensor:
        return windows.mean((2, 3), keepdim=True).expand_as(windows)


class Counting(NullObserver):
    def __init__(self) -> None:
        self.seen = {"tiles": 0, "oom": 0, "nonfinite": 0}

    def tiles(self, model: str, count: int) -> None:
        self.seen["tiles"] += count

    def oom_retry(self, model: str) -> None:
        self.seen["oom"] += 1

    def nonfinite_retry(self, model: str) -> None:
        self.seen["nonfinite"] += 1


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Adds a restorer to the house for one test; returns its name."""

    def add(build: Callable[[], nn.Module], name: str = "near") -> str:
        monkeypatch.setitem(CARDS, name, Card(name, "restore", name, "", 1, "", tiling="blended", halo=HALO))
        monkeypatch.setitem(catalog.NETWORKS, name, lambda config: build())
        return name

    return add


@pytest.fixture
def near(serve: Callable[..., str]) -> str:
    return serve(Near)


def quiet(done: int, total: int) -> None:
    pass


def picture(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(pixels, alpha, b"profile", b"facts", "png", False)


def noise(height: int = 61, width: int = 83, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    top = np.iinfo(kind).max
    return np.random.default_rng(7).integers(top // 4, top, (height, width, channels), dtype=kind)


def mend(pixels: np.ndarray, model: str, *, tile: str = "auto", strength: float = 1.0) -> np.ndarray:
    engine = Engine(device="cpu", tile=tile)
    return engine.restore(picture(pixels), model=model, strength=strength, tick=quiet).pixels


def apart(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return int(np.abs(a.astype(int) - b.astype(int)).max())


# Spans


@pytest.mark.parametrize("size", [1, 7, 96, 175, 177, 400, 1000, 4099])
@pytest.mark.parametrize("begin", [0, 288])
def test_the_weights_of_all_spans_add_up_to_one(size: int, begin: int) -> None:
    size += begin
    spans = cut_axis(size, 96, HALO, begin)
    total = np.zeros(size, np.float32)
    for span in spans:
        total[span.start : span.stop] += span.weights()
        assert span.origin % ALIGN == 0
        assert span.origin <= span.start and span.stop <= span.origin + span.length
    assert np.abs(total[begin + FEATHER :] - 1).max(initial=0) < 1e-6
    if begin == 0:
        assert np.abs(total - 1).max() < 1e-6
        assert max(span.length for span in spans) <= 96 + 2 * (HALO + FRAME) + ALIGN


def test_a_window_shows_the_halo_where_there_is_picture_and_the_frame_where_there_is_none() -> None:
    first, middle, last = cut_axis(540, 180, HALO)
    assert (first.origin, middle.origin, last.origin) == (-FRAME, 180 - HALO, 360 - HALO)
    assert middle.origin + middle.length == 360 + HALO
    assert last.origin + last.length == 540 + FRAME


# Tiles


@pytest.mark.parametrize("size", [(300, 470), (470, 300), (97, 640)])
def test_tiled_equals_whole_for_a_network_that_sees_less_than_the_halo(near: str, size: tuple[int, int]) -> None:
    source = noise(*size, kind=np.uint16)
    whole = mend(source, near, tile="4000")
    for tile in ("96", "128"):
        assert apart(mend(source, near, tile=tile), whole) <= 1  # of 65535


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (1, 1), (1, 90), (90, 1), (2, 3)])
def test_the_whole_is_the_network_on_a_mirrored_frame(near: str, size: tuple[int, int]) -> None:
    source = noise(*size)
    rows, cols = (np.pad(np.arange(side), FRAME, mode="symmetric") for side in size)
    framed = torch.from_numpy(source[np.ix_(rows, cols)]).permute(2, 0, 1)[None].float() / 255
    said = Near()(framed)[0, :, FRAME:-FRAME, FRAME:-FRAME].permute(1, 2, 0).numpy()
    expected = np.floor(said.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    assert apart(mend(source, near), expected) <= 1
    assert (mend(source, near) == expected).mean() > 0.99


def test_what_a_network_sees_beyond_its_halo_makes_slopes_and_no_steps(serve: Callable[..., str]) -> None:
    source = np.repeat(np.linspace(0, 65535, 700).astype(np.uint16)[None, :, None], 300, 0).repeat(3, 2)
    found = mend(source, serve(Far), tile="96").astype(int)
    between_tiles = abs(found[150, -1, 0] - found[150, 0, 0]) / len(cut_axis(700, 96, HALO))
    assert between_tiles > 5000
    steps = max(np.abs(np.diff(found[..., 0], axis=axis)).max() for axis in (0, 1))
    assert steps <= 1.2 * between_tiles / FEATHER


def test_our_network_tiled_stays_near_the_whole(tmp_path: Path) -> None:
    bring_airnet(tmp_path)
    source = photo(420, 500)
    whole, tiled = (
        Engine(device="cpu", precision="fp32", tile=tile, weights_dir=tmp_path)
        .restore(picture(source), model="airnet", tick=quiet)
        .pixels
        for tile in ("4000", "96")
    )
    assert apart(whole, tiled) <= 1
    assert apart(whole, source) > 10


def test_the_halo_is_what_the_network_sees_and_some_more_but_never_beyond_the_card_s(serve: Callable[..., str]) -> None:
    class Deep(Near):
        reach = 200

    engine = Engine(device="cpu")
    for build, halo in ((Near, 36), (Deep, HALO)):
        served = engine._served(serve(build, name=build.__name__), torch.float32)
        assert restorer_halo(served.card, served.model) == halo
    assert Airnet().served().reach == 109  # 5 groups of 5 blocks of 4, a convolution each, 4 more
    assert drawn_airnet().reach == 2 * (5 + 4)


def test_a_flat_picture_stays_flat(near: str) -> None:
    found = mend(np.full((300, 400, 3), 90, np.uint8), near, tile="96")
    assert (found == found[0, 0]).all()


# Kinds of pictures


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_strength_is_a_lerp_to_the_picture(near: str, kind: type) -> None:
    source = noise(kind=kind)
    full, half = mend(source, near).astype(int), mend(source, near, strength=0.5).astype(int)
    assert ((full == 0) | (full == np.iinfo(kind).max)).any(), "of what is shown, not of what lies beyond"
    assert np.abs(half - (full + source) / 2).max() <= 1
    assert np.abs(full - source).max() > 5
    assert (mend(source, near, strength=1e-9) == source).all()


def test_strength_nought_is_the_picture_itself(near: str) -> None:
    source, ticks = picture(noise()), []
    found = Engine(device="cpu").restore(source, model=near, strength=0.0, tick=lambda *at: ticks.append(at))
    assert found is source
    assert ticks == [(1, 1)]


def test_sixteen_bits_keep_their_levels(near: str) -> None:
    ramp = np.linspace(20_000, 21_000, 64).astype(np.uint16)[None, :, None].repeat(8, 0).repeat(3, 2)
    found = mend(ramp, near)
    assert found.dtype == np.uint16
    assert len(np.unique(found)) > 60


def test_sixteen_bits_are_computed_in_full_precision_unless_asked_otherwise(tmp_path: Path) -> None:
    bring_airnet(tmp_path)
    assert Engine(device="cpu", weights_dir=tmp_path)._dtype("airnet", np.dtype(np.uint16)) == torch.float32
    asked = Engine(device="cpu", weights_dir=tmp_path, precision="bf16")
    assert asked._dtype("airnet", np.dtype(np.uint16)) == torch.bfloat16


def test_grey_stays_grey_and_is_the_mean_of_what_colour_would_be(near: str) -> None:
    grey = noise(channels=1) // 2 + 50  # what leaves the range is clamped sooner in colour
    found = mend(grey, near)
    assert found.shape == grey.shape
    in_colour = mend(grey.repeat(3, 2), near).astype(float).mean(2)
    assert np.abs(found[..., 0] - in_colour).max() < 2


def test_profile_facts_and_alpha_stay_and_hidden_colour_has_no_say(near: str) -> None:
    pixels, alpha = noise(), np.full((61, 83), 255, np.uint8)
    alpha[20:40, 30:50] = 0
    clean = Engine(device="cpu").restore(picture(pixels.copy(), alpha), model=near, tick=quiet)
    pixels[alpha == 0] = (0, 255, 0)
    found = Engine(device="cpu").restore(picture(pixels, alpha), model=near, tick=quiet)
    assert (found.icc, found.exif, found.alpha is alpha) == (b"profile", b"facts", True)
    assert apart(found.pixels[alpha > 0], clean.pixels[alpha > 0]) == 0


# Stopping and failing


def test_a_tick_that_raises_stops_the_work_between_tiles(near: str) -> None:
    observe = Counting()

    def cancel(done: int, total: int) -> None:
        assert total == 4 * 7
        if done >= 2:
            raise JobCancelled("the job was cancelled")

    with pytest.raises(JobCancelled):
        Engine(device="cpu", tile="96", observe=observe).restore(picture(noise(350, 620)), model=near, tick=cancel)
    assert observe.seen["tiles"] == 2


def starved(limit: int, error: type[Exception] = RuntimeError) -> Callable[[], nn.Module]:
    """A network on a device with room for `limit` window pixels."""

    class Starved(Near):
        def forward(self, windows: Tensor) -> Tensor:
            if windows.shape[2] * windows.shape[3] > limit:
                raise error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes")
            return super().forward(windows)

    return Starved


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("room", [190, 270])
def test_out_of_memory_goes_on_with_smaller_tiles(
    error: type[Exception], room: int, serve: Callable[..., str], near: str
) -> None:
    source = noise(530, 700, kind=np.uint16)
    expected = mend(source, near, tile="4000")
    observe, ticks = Counting(), []
    engine = Engine(device="cpu", tile="400", observe=observe)
    name = serve(starved(room * room, error), name="starved")
    found = engine.restore(picture(source), model=name, tick=lambda *at: ticks.append(at))
    assert apart(found.pixels, expected) <= 1
    assert observe.seen["oom"] >= 1
    assert ticks[0][0] == 0 and ticks[-1][0] == ticks[-1][1]
    assert all(b[0] / b[1] >= a[0] / a[1] for a, b in pairwise(ticks))
    first = observe.seen["oom"]
    engine.restore(picture(source), model=name, tick=quiet)
    assert observe.seen["oom"] == first, "the second picture starts with the tiles that fitted"


def test_out_of_memory_in_the_midst_keeps_the_rows_that_are_told(serve: Callable[..., str], near: str) -> None:
    class Shrinking(Near):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, windows: Tensor) -> Tensor:
            self.calls += 1
            if self.calls in (6, 9):  # in the second row, and in the first of the smaller ones
                raise MemoryError
            return super().forward(windows)

    source = noise(900, 700, kind=np.uint16)
    network = Shrinking()
    found = mend(source, serve(lambda: network, name="shrinking"), tile="400")
    assert apart(found, mend(source, near, tile="4000")) <= 1


def test_memory_that_never_suffices_ends_in_one_useful_sentence(serve: Callable[..., str]) -> None:
    name = serve(starved(0), name="starved")
    with pytest.raises(OutOfMemory, match="starved ran out of memory on cpu even in tiles of 96 pixels") as failed:
        mend(noise(), name)
    assert failed.value.retryable


def test_other_errors_of_a_model_are_not_taken_for_lack_of_memory(serve: Callable[..., str]) -> None:
    class Broken(Near):
        def forward(self, windows: Tensor) -> Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        mend(noise(), serve(Broken))


class Overflowing(Near):
    def forward(self, windows: Tensor) -> Tensor:
        made = super().forward(windows)
        made[0, 1, windows.shape[2] // 2, windows.shape[3] // 2] = torch.nan
        return made


def in_half(engine: Engine, monkeypatch: pytest.MonkeyPatch, *, full: nn.Module, half: nn.Module) -> None:
    """Serves `half` as the model's reduced and `full` as its float32 twin."""
    monkeypatch.setattr(engine, "_dtype", lambda *_: torch.bfloat16)
    twins = {torch.bfloat16: half, torch.float32: full}
    monkeypatch.setattr(catalog, "load", lambda name, *, dtype, **_: twins[dtype])


def test_a_tile_that_overflows_in_half_precision_is_repeated_in_full(
    near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = Counting()
    engine = Engine(device="cpu", tile="96", observe=observe)
    in_half(engine, monkeypatch, full=Near(), half=Overflowing())
    found = engine.restore(picture(noise(200, 300)), model=near, tick=quiet).pixels
    assert apart(found, mend(noise(200, 300), near, tile="96")) == 0
    assert observe.seen["nonfinite"] == observe.seen["tiles"] == 8


def test_memory_that_ends_in_the_repetition_makes_tiles_smaller_too(near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    observe = Counting()
    engine = Engine(device="cpu", tile="400", observe=observe)
    in_half(engine, monkeypatch, full=starved(190 * 190)(), half=Overflowing())
    found = engine.restore(picture(noise(530, 700)), model=near, tick=quiet).pixels
    assert apart(found, mend(noise(530, 700), near, tile="4000")) <= 1
    assert observe.seen["oom"] >= 1


def test_values_that_are_no_numbers_in_full_precision_are_an_error(near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(device="cpu")
    in_half(engine, monkeypatch, full=Overflowing(), half=Overflowing())
    with pytest.raises(InternalError, match="not numbers"):
        engine.restore(picture(noise()), model=near, tick=quiet)


def test_without_weights_the_model_is_unknown_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CARDS, "airnet", raising=False)
    with pytest.raises(UnknownModel, match="airnet"):
        Engine(device="cpu").restore(picture(noise()), model="airnet", tick=quiet)


def test_memory_is_planned_by_what_the_network_says_it_takes(tmp_path: Path) -> None:
    tile = {}
    for width in (8, 256):
        bring_airnet(tmp_path / str(width), dataclasses.replace(SMALL_AIRNET, width=width, unshuffle=1))
        engine = Engine(device="cpu", weights_dir=tmp_path / str(width))
        served = engine._served("airnet", torch.float32)
        tile[width] = engine._sizes.restorer_tile(served.card, served.model)
    assert tile[8] == 640
    assert feathered.SMALLEST_TILE <= tile[256] < 640


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_gpu_gives_what_the_processor_gives(precision: str, tmp_path: Path) -> None:
    bring_airnet(tmp_path)
    on_cpu, on_gpu = (
        Engine(device=device, precision=kind, tile="96", weights_dir=tmp_path)
        .restore(picture(photo(300, 400)), model="airnet", tick=quiet)
        .pixels
        for device, kind in (("cpu", "fp32"), ("cuda", precision))
    )
    assert apart(on_cpu, on_gpu) <= (1 if precision == "fp32" else 4)
