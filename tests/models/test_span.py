"""SPAN: the formula of the paper, the scales between its factors, tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import convert
from models.cards import BY_NAME
from models.contract import Axis, View
from models.span import MEAN, Span, SpanConfig
from models.weights import WeightsError
from tests.models.drawn_span import plain


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def whole(size: tuple[int, int], out_size: tuple[int, int]) -> View:
    return View(Axis(0, out_size[0], out_size[0], size[0], 0), Axis(0, out_size[1], out_size[1], size[1], 0))


def network(scales: tuple[int, ...] = (2, 4), channels: int = 8) -> Span:
    found = convert.span_weights([plain(channels, scale) for scale in scales])
    made = Span(SpanConfig(channels, scales))
    made.load_state_dict(found.state_dict)
    return made.eval().requires_grad_(False)


def test_parameters_are_as_many_as_the_published_files_have() -> None:
    assert sum(p.numel() for p in Span(SpanConfig(48, (2,))).parameters()) == 410_700
    assert sum(p.numel() for p in Span(SpanConfig(48, (4,))).parameters()) == 426_288
    assert sum(value.numel() for key, value in plain(48, 4).items() if key != "mean") == 426_288


def test_a_broken_safetensors_file_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "span.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ???")
    with pytest.raises(WeightsError, match=r"span\.safetensors is not a sound safetensors file"):
        convert.detect_kind([path])


@torch.no_grad()
def test_it_is_the_formula_of_the_paper() -> None:
    made, x = network((4,)), draw(1, 3, 11, 9)
    state = plain(8, 4)

    def of(name: str, y: Tensor) -> Tensor:
        return F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], padding="same")

    head = of("conv_1", (x - torch.tensor(MEAN)[:, None, None]) * 255)
    y, kept = head, [head]
    for i in range(1, 7):
        inner = F.silu(of(f"block_{i}.c1_r", y))
        out = of(f"block_{i}.c3_r", F.silu(of(f"block_{i}.c2_r", inner)))
        y = (out + y) * (1 / (1 + torch.exp(-out)) - 0.5)
        kept += [y] if i == 1 else []
    feat = of("conv_cat", torch.cat([head, of("conv_2", y), kept[1], inner], 1))
    wanted = F.pixel_shuffle(of("upsampler", feat), 4)
    assert (made(x, [whole((11, 9), (44, 36))])[0] - wanted[0]).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_the_next_larger_factor_makes_what_lies_between() -> None:
    made = network()
    factors = {scale: made.for_view(whole((10, 10), (round(10 * scale), 10))).scale for scale in (1, 2, 2.1, 4, 8)}
    assert factors == {1: 2, 2: 2, 2.1: 4, 4: 4, 8: 4}
    views = [whole((9, 8), size) for size in ((18, 16), (27, 24), (36, 32))]
    pictures = draw(3, 3, 9, 8)
    for k, got in enumerate(made(pictures, views)):
        alone = made(pictures[k : k + 1], [views[k]])[0]
        assert (got - alone).abs().max() < 1e-4 * alone.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.5, 2, 3, 4, 6])
def test_tiles_with_their_halo_equal_the_whole(scale: float) -> None:
    halo = BY_NAME["span"].halo
    size = (2 * halo + 12, 2 * halo + 15)
    out = (round(size[0] * scale), round(size[1] * scale))
    made, picture = network(channels=4), draw(1, 3, *size)
    wanted = made(picture, [whole(size, out)])[0]
    rows, cols = Axis(out[0] // 2, 7, out[0], size[0], 0), Axis(out[1] // 2, 9, out[1], size[1], 0)
    top, left = (int(axis.positions()[0][0]) - halo for axis in (rows, cols))
    bottom, right = (int(axis.positions()[0][-1]) + 2 + halo for axis in (rows, cols))
    placed = View(Axis(rows.start, 7, out[0], size[0], top), Axis(cols.start, 9, out[1], size[1], left))
    tile = made(picture[:, :, top:bottom, left:right], [placed])[0]
    same = wanted[:, rows.start : rows.start + 7, cols.start : cols.start + 9]
    assert (tile - same).abs().max() < 1e-4 * same.abs().max()
