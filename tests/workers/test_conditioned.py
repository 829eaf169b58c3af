"""A restorer under the condition of one picture: its tiles equal the whole, and a strength goes towards the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.contract import Axis, ConditionedRestorer, View
from tests.living import photo
from tests.models.brought import bring_airnet_u, drawn_airnet_u
from tests.workers.enlarging import Counting
from workers.engine.conditioned import AtOneScale, at_one_scale, part
from workers.engine.engine import Engine
from workers.engine.passes import Executor
from workers.pictures.picture import Picture

NAME = "airnet-u"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    bring_airnet_u(folder)
    return folder


def quiet(done: int, total: int) -> None:
    """Nobody follows the progress."""


def restored(
    weights: Path, pixels: np.ndarray, tile: str = "auto", alpha: np.ndarray | None = None, **asked: Any
) -> Picture:
    engine = Engine(device="cpu", precision="fp32", tile=tile, weights_dir=weights)
    return engine.restore(Picture(pixels, alpha, None, None, "png", False), model=NAME, tick=quiet, **asked)


@pytest.mark.parametrize("size", [(200, 333), (400, 161), (97, 500)])
def test_tiled_equals_whole_to_rounding(weights: Path, size: tuple[int, int]) -> None:
    """Sixteen bits, so that less than a level of eight would show."""
    pixels = photo(*size).astype(np.uint16) * 257
    whole, tiled = (restored(weights, pixels, tile).pixels.astype(int) for tile in ("1024", "96"))
    assert np.abs(whole - pixels).max() > 1000
    assert np.abs(whole - tiled).max() <= 1


def test_tiles_of_a_slow_machine_equal_the_whole_to_rounding(weights: Path) -> None:
    """The least there are, which two halos are wide."""
    pixels = photo(300, 620).astype(np.uint16) * 257
    engine = Engine(device="cpu", precision="fp32", weights_dir=weights, observe=(observe := Counting()))
    engine.use_speeds({NAME: 1e9})
    tiled = engine.restore(Picture(pixels, None, None, None, "png", False), model=NAME, tick=quiet).pixels
    assert observe.seen["tiles"] > 3
    assert np.abs(restored(weights, pixels, "1024").pixels.astype(int) - tiled).max() <= 1


def test_the_look_is_at_the_whole_picture_and_not_at_its_tiles(weights: Path) -> None:
    pixels = photo(200, 333)
    one, other = (restored(weights, pixels, tile).found for tile in ("1024", "96"))
    assert one == other
    assert one != restored(weights, pixels[:100]).found


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_strength_goes_from_the_picture_itself_to_the_model(weights: Path, kind: type) -> None:
    pixels: np.ndarray = (photo(60, 70).astype(kind)) * (np.iinfo(kind).max // 255)
    nothing = restored(weights, pixels, strength=0)
    assert nothing.pixels is pixels
    assert nothing.found is None
    little, half, full = (restored(weights, pixels, strength=s).pixels.astype(float) for s in (1e-9, 0.5, 1))
    assert np.array_equal(little, pixels), "the way there and back changes no level"
    assert np.abs(half - (pixels + full) / 2).max() <= 1


def test_only_one_kind_is_another_picture(weights: Path) -> None:
    pixels = photo(60, 70)
    every, noise, haze = (restored(weights, pixels, only=kind) for kind in (None, "noise", "haze"))
    assert every.found == noise.found
    assert not np.array_equal(noise.pixels, haze.pixels)
    assert not np.array_equal(noise.pixels, every.pixels)


def test_grey_stays_grey_and_alpha_as_it_is(weights: Path) -> None:
    grey = photo(40, 50)[..., :1].copy()
    assert restored(weights, grey).pixels.shape == (40, 50, 1)
    neutral = restored(weights, np.repeat(grey, 3, 2)).pixels
    assert (neutral == neutral[..., :1]).all()
    alpha = np.arange(2000, dtype=np.uint16).reshape(40, 50).astype(np.uint8)
    kept = restored(weights, photo(40, 50), alpha=alpha).alpha
    assert kept is not None and np.array_equal(kept, alpha)


def test_a_window_holds_its_tile_where_its_origin_says() -> None:
    assert part(Axis(40, 7, 100, 100, -16)) == slice(56, 63)
    assert part(Axis(40, 7, 100, 100, 32)) == slice(8, 15)


def test_values_that_are_no_numbers_are_repeated_in_full_precision_under_the_same_condition() -> None:
    network = drawn_airnet_u().served()
    condition = torch.randn(1, 16)
    executor: Executor[ConditionedRestorer] = Executor(NAME, network, torch.device("cpu"), lambda: network)
    plain = at_one_scale(executor, condition, 0.5)
    assert plain.full_precision is not None
    windows = torch.rand(1, 3, 32, 32)
    axis = Axis(4, 9, 32, 32, 0)
    with torch.inference_mode():
        ours, again = (model(windows, [View(axis, axis)])[0] for model in (plain.model, plain.full_precision()))
        whole = network(windows, condition).clamp(0, 1)[0]
    assert torch.equal(ours, again)
    assert torch.allclose(ours, (windows[0] + whole)[:, 4:13, 4:13] / 2, atol=1e-6)
    assert isinstance(plain.model, AtOneScale)
    alone: Executor[ConditionedRestorer] = Executor(NAME, network, torch.device("cpu"))
    assert at_one_scale(alone, condition, 1.0).full_precision is None
