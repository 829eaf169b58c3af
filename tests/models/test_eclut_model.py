"""EC-LUT's networks, their tables, and pictures through both.

A table's entry is the network's value rounded to steps of UNIT levels, so each of the thirty-six values that meet in a
large pixel is off by at most UNIT / 2, and so is their mean; rounding that to a level adds half a level. Errors spread
evenly have variances of UNIT^2 / 12, a thirty-sixth of it for the mean, and 1 / 12.
"""

from __future__ import annotations

import dataclasses
import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import ops
from kernels.reference.eclut import UNIT, collapse
from models import catalog, weights
from models.cards import ECLUT
from models.contract import Axis, View
from models.eclut import Eclut, EclutConfig
from models.train import __main__ as command
from models.train.recipes.eclut import BUDGETS, Recipe
from workers.engine import tiles

PARAMETERS = {2: 19_172, 3: 22_097, 4: 26_192}
ALL_PAIRS = torch.cartesian_prod(torch.arange(256.0), torch.arange(256.0))
MOST, MEAN = UNIT / 2 + 0.5, math.sqrt((UNIT**2 / 36 + 1) / 12)
SIZES = [(1, 1), (1, 7), (2, 2), (9, 14)]


def make(scale: int = 3, step: str = "lr", amplitude: float = 0.15) -> Eclut:
    """A network that says something of every size, `amplitude` of the full range."""
    torch.manual_seed(scale)
    network = Eclut(EclutConfig(scales=(scale,), step=step, width=16))
    last = network.network(scale).conv6
    nn.init.normal_(last.weight, 0, amplitude)
    assert last.bias is not None
    nn.init.normal_(last.bias, 0, amplitude / 4)
    return network.eval().requires_grad_(False)


def draw(*shape: int) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.uint8)


def whole(size: tuple[int, int], out_size: tuple[int, int]) -> View:
    return View(Axis(0, out_size[0], out_size[0], size[0], 0), Axis(0, out_size[1], out_size[1], size[1], 0))


def to_codes(levels: Tensor) -> Tensor:
    return (levels + 0.5).floor().clamp(0, 255).to(torch.uint8)


def by_kernel(network: Eclut, picture: Tensor, scale: int) -> Tensor:
    """(C, h, w) uint8 -> (C, r h, r w)."""
    channels = [
        ops.eclut(one[..., None].repeat(1, 1, 3), network.table(scale), scale, network.config.step) for one in picture
    ]
    return torch.stack([one[..., 0] for one in channels])


@pytest.mark.parametrize("scale", PARAMETERS)
def test_networks_have_the_parameters_and_names_that_are_published(scale: int) -> None:
    network = Eclut().network(scale)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[scale]
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    inner = {f"conv{k}.weight": (64, 64, 1, 1) for k in range(2, 6)} | {f"conv{k}.bias": (64,) for k in range(1, 6)}
    ends = {"conv1.weight": (64, 1, 2, 1), "conv6.weight": (9 * scale**2, 64, 1, 1), "conv6.bias": (9 * scale**2,)}
    assert shapes == inner | ends
    assert all((value == 0).all() for key, value in network.state_dict().items() if key.endswith("bias"))


def test_the_card_counts_the_parameters_of_all_three() -> None:
    assert sum(p.numel() for p in Eclut().parameters()) == sum(PARAMETERS.values()) == ECLUT.parameters
    assert set(Eclut().state_dict()) == {f"x{s}.conv{k}.{p}" for s in (2, 3, 4) for k in range(1, 7) for p in WB}


WB = ("weight", "bias")


def as_published(network: Eclut, picture: Tensor, scale: int) -> Tensor:
    """Convolutions over the picture, PixelShuffle, nine shifted maps: (h, w) in levels -> (r h, r w), not rounded.

    What shifting carries around the frame, two pixels wide, stays in it.
    """
    net, step = network.network(scale), scale if network.config.step == "lr" else 1
    rows, columns = (np.pad(np.arange(side), 2, mode="reflect" if side > 2 else "symmetric") for side in picture.shape)
    frame = picture[torch.from_numpy(rows)][:, torch.from_numpy(columns)]
    total = torch.zeros(scale * len(rows), scale * len(columns))
    for turn in range(4):
        turned = torch.rot90(frame, turn)
        x = F.pad(turned, (0, 0, 0, 1))[None, None] / 255
        for convolution in list(net.children())[:-1]:
            x = F.relu(convolution(x))
        maps = F.pixel_shuffle(255 * network.config.alpha * net.conv6(x), scale)[0]
        maps = maps + turned.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
        shifted = [
            maps[3 * (i + 1) + j + 1].roll((i * step, j * step), (0, 1)) for i, j in product((-1, 0, 1), repeat=2)
        ]
        total += torch.rot90(sum(shifted[1:], shifted[0]), -turn)
    return total[2 * scale : -2 * scale, 2 * scale : -2 * scale] / 36


@pytest.mark.parametrize("scale", PARAMETERS)
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_pairs_asked_once_give_what_convolutions_over_the_picture_give(scale: int, step: str) -> None:
    network, picture = make(scale, step), draw(8, 11)
    wanted = as_published(network, picture.float(), scale)
    for given in (picture, picture.float()):
        assert (network.compute(given[None], scale)[0] - wanted).abs().max() < 1e-3


@pytest.mark.parametrize("scale", PARAMETERS)
@pytest.mark.parametrize("step", ["lr", "hr"])
@pytest.mark.parametrize("size", SIZES)
def test_the_table_in_whole_numbers_is_the_network_with_rounded_entries(
    scale: int, step: str, size: tuple[int, int]
) -> None:
    network, picture = make(scale, step, amplitude=2.0), draw(2, *size)
    held = network.entries(scale, ALL_PAIRS, quantised=True)
    assert held.min() == -128  # entries are clipped too
    assert held.max() == 127
    wanted = to_codes(network.compute(picture, scale, quantised=True))
    assert torch.equal(by_kernel(network, picture, scale), wanted)


@pytest.mark.parametrize("scale", PARAMETERS)
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_the_table_is_the_plain_network_to_within_its_rounding(scale: int, step: str) -> None:
    network, picture = make(scale, step, amplitude=0.06), draw(3, 40, 50)
    assert 6 * MOST < UNIT * network.entries(scale, ALL_PAIRS, quantised=False).abs().max() < 127 * UNIT
    plain = network.compute(picture, scale)
    inside = (plain > 1) & (plain < 254)
    off = (by_kernel(network, picture, scale) - plain)[inside]
    assert off.abs().max() <= MOST
    assert off.square().mean().sqrt() == pytest.approx(MEAN, abs=0.01)


@pytest.mark.parametrize("scale", PARAMETERS)
def test_nine_maps_a_large_pixel_apart_and_their_collapsed_squares_are_one(scale: int) -> None:
    network, picture = make(scale, "hr"), draw(1, 13, 10)
    nine = network.entries(scale, ALL_PAIRS, quantised=True).to(torch.int8)
    assert torch.equal(network.table(scale), collapse(nine, scale))
    table = nine.double().reshape(256, 256, 3, 3, scale, scale)
    total = torch.zeros(17 * scale, 14 * scale, dtype=torch.float64)
    frame = torch.from_numpy(np.pad(picture[0].numpy(), 2, mode="reflect")).long()
    for turn in range(4):
        turned = torch.rot90(frame, turn)
        pixel, below = turned, turned.roll(-1, 0)
        maps = pixel.double()[..., None, None, None, None] + UNIT * table[pixel, below]
        for i, j in product(range(3), repeat=2):
            one = maps[:, :, i, j].transpose(1, 2).reshape(len(turned) * scale, -1)
            total += torch.rot90(one.roll((i - 1, j - 1), (0, 1)), -turn)
    inside = total[2 * scale : -2 * scale, 2 * scale : -2 * scale]
    assert torch.equal(by_kernel(network, picture, scale)[0], to_codes(inside / 36))


def test_tables_are_made_in_under_two_seconds_on_one_core() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = Eclut()
        began = time.thread_time()
        network.eval()
        assert time.thread_time() - began < 2
    finally:
        torch.set_num_threads(threads)


def test_a_table_is_made_once_and_anew_for_other_weights() -> None:
    network = make()
    first = network.table(3)
    assert network.table(3) is first
    state = {key: value + 0.01 for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    assert not torch.equal(network.table(3), first)
    network.train()
    bias = network.network(3).conv6.bias
    assert bias is not None
    bias.zero_()
    network.eval()
    assert torch.equal(network.table(3), network.transfer(3))
    assert set(network.state_dict()) == {f"x3.conv{k}.{p}" for k in range(1, 7) for p in WB}


def test_half_precision_leaves_the_table_as_it_was() -> None:
    network = make()
    wanted = network.table(3).clone()
    assert torch.equal(network.to(torch.bfloat16).table(3), wanted)


def test_saved_and_loaded_it_makes_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Eclut()
    for scale in network.config.scales:
        nn.init.normal_(network.network(scale).conv6.weight, 0, 0.02)
    network.half().float()
    config = dataclasses.asdict(network.config)
    weights.save(tmp_path / "eclut.safetensors", weights.Weights("eclut", config, network.state_dict(), {}))
    assert (tmp_path / "eclut.safetensors").stat().st_size < 150_000
    found = weights.load(tmp_path / "eclut.safetensors")
    other = catalog.build("eclut", found.config)
    weights.fill(other, found.state_dict, "eclut")
    assert other.config == network.config
    network.eval()
    other.eval()
    assert all(torch.equal(network.table(scale), other.table(scale)) for scale in (2, 3, 4))
    assert weights.dump(weights.Weights("eclut", config, other.state_dict(), {})) == weights.dump(
        weights.Weights("eclut", config, network.state_dict(), {})
    )


@pytest.mark.parametrize(
    ("size", "out_size", "scale"),
    [
        ((10, 10), (20, 20), 2),
        ((10, 10), (10, 10), 2),
        ((10, 10), (21, 20), 3),
        ((10, 10), (12, 30), 3),
        ((10, 10), (31, 20), 4),
        ((10, 10), (80, 80), 4),
    ],
)
def test_the_next_scale_is_taken(size: tuple[int, int], out_size: tuple[int, int], scale: int) -> None:
    assert Eclut().next_scale(whole(size, out_size)) == scale


@pytest.fixture(scope="module")
def family() -> Eclut:
    torch.manual_seed(2)
    network = Eclut(EclutConfig(width=16))
    for scale in network.config.scales:
        nn.init.normal_(network.network(scale).conv6.weight, 0, 0.1)
    return network.eval().requires_grad_(False)


def in_tiles(network: Eclut, picture: np.ndarray, out_size: tuple[int, int], side: int) -> np.ndarray:
    result = np.empty((*out_size, picture.shape[2]), np.float32)
    plan = tiles.plan(picture.shape[:2], out_size, tile=(side, side), halo=ECLUT.halo)
    top = np.iinfo(picture.dtype).max
    for view in plan.views:
        window = np.empty((*plan.window, picture.shape[2]), picture.dtype)
        tiles.cut(picture, view, window)
        x = torch.from_numpy(window.astype(np.float32)).permute(2, 0, 1)[None] / top
        tiles.paste(result, view, network(x, [view])[0].numpy())
    return result


@pytest.mark.parametrize("out_size", [(66, 82), (99, 123), (132, 164), (34, 43), (85, 100), (120, 150), (90, 42)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_equal_the_whole(family: Eclut, out_size: tuple[int, int], kind: type, channels: int) -> None:
    picture: np.ndarray = np.random.default_rng(3).integers(0, np.iinfo(kind).max + 1, (33, 41, channels)).astype(kind)
    wanted = in_tiles(family, picture, out_size, 999)
    assert np.abs(in_tiles(family, picture, out_size, 37) - wanted).max() < 2e-6


def test_grey_is_what_each_colour_is(family: Eclut) -> None:
    picture = draw(3, 12, 15).float() / 255
    colours = family(picture[None], [whole((12, 15), (30, 33))])[0]
    for channel, wanted in zip(picture, colours, strict=True):
        grey = family(channel[None, None], [whole((12, 15), (30, 33))])[0]
        assert torch.allclose(grey[0], wanted, atol=1e-6)


@pytest.mark.parametrize("scale", PARAMETERS)
def test_a_picture_at_a_scale_of_its_own_is_what_the_kernel_says(family: Eclut, scale: int) -> None:
    picture = draw(3, 9, 11)
    (got,) = family(picture[None].float() / 255, [whole((9, 11), (9 * scale, 11 * scale))])
    assert torch.equal(to_codes(got * 255), by_kernel(family, picture, scale))


def test_sixteen_bits_keep_their_finer_levels(family: Eclut) -> None:
    """A slow ramp: in eight bits it has a step every 32 pixels, in sixteen none."""
    ramp = torch.arange(64.0).expand(3, 8, 64) * 8 + 30_000
    (got,) = family(ramp[None] / 65535, [whole((8, 64), (16, 128))])
    wanted = family.compute(ramp / 257, 2) / 255
    assert torch.allclose(got, wanted, atol=1e-6)
    assert len(got[0, 8].mul(65535).round().unique()) > 60


def test_one_step_of_training_lowers_the_loss(data: Path) -> None:
    recipe = Recipe(dataclasses.replace(BUDGETS["cpu"], batch=2, patch=12))
    recipe.open(data)
    torch.manual_seed(0)
    network, batch = recipe.network(), recipe.batch(np.random.default_rng(0))
    optimizer = torch.optim.Adam(network.parameters(), recipe.budget.lr)
    before, parts = recipe.loss(network, batch)
    assert parts.keys() == {"x2 dB", "x3 dB", "x4 dB"}
    torch.autograd.backward(before)
    optimizer.step()
    after, _ = recipe.loss(network, batch)
    assert after < before
    torch.autograd.backward(after)
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


@torch.no_grad()
def test_a_fresh_network_says_its_first_pixel() -> None:
    assert (Eclut().transfer(2) == 0).all()


def test_gradients_pass_the_rounding_and_end_at_the_clipping() -> None:
    network = make(amplitude=2.0).requires_grad_(True)
    bias = network.network(3).conv6.bias
    assert bias is not None
    held, plain = (network.entries(3, ALL_PAIRS[::97], quantised=quantised) for quantised in (True, False))
    inside = (plain >= -128) & (plain <= 127)
    assert 0 < int(inside.sum()) < inside.numel()
    got, wanted = (torch.autograd.grad(values.sum(), bias)[0] for values in (held, plain[inside]))
    assert torch.allclose(got, wanted, rtol=1e-4)


def test_it_is_trained_kept_served_and_measured(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two steps, the file as a user's own weights, a score at every scale."""
    run = ["eclut", "--data", str(data), "--out", str(tmp_path), "--device", "cpu", "--threads", "1", "--batch", "2"]
    patch = ["--set", "budget.patch=12", "--set", "config.width=16"]
    command.main([*run, *patch, "--steps", "1", "--no-scores"])
    command.main([*run, *patch, "--steps", "2", "--no-scores", "--resume"])
    found = weights.load(tmp_path / "eclut.safetensors")
    assert found.facts["steps"] == 2
    assert found.config["scales"] == [2, 3, 4]
    assert catalog.load("eclut", weights_dir=tmp_path).config == EclutConfig(width=16)
    told = ["--weights", str(tmp_path / "eclut.safetensors"), "--sets", "Set5", "--jpeg", "0", "--device", "cpu"]
    command.main(["evaluate", "eclut", "--data", str(data), "--threads", "1", *told])
    printed = capsys.readouterr().out
    assert all(f"| Set5 | x{scale} | **" in printed for scale in (2, 3, 4, 6, 8))
