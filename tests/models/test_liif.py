from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import liif
from models.contract import Axis, View
from models.liif import Liif, LiifConfig

SMALL = LiifConfig(width=8, blocks=2, hidden=16, layers=2)
UNUSED_MEAN_SHIFT = 24  # two 1x1 convolutions that published checkpoints hold and the published code never calls


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def make(config: LiifConfig) -> Liif:
    """A network whose last layer is not zero, so that it says something."""
    torch.manual_seed(0)
    network = Liif(config).eval().requires_grad_(False)
    torch.nn.init.normal_(network.imnet.last.weight, 0, 0.05)
    return network


def whole(size: tuple[int, int], out_size: tuple[int, int]) -> View:
    return View(Axis(0, out_size[0], out_size[0], size[0], 0), Axis(0, out_size[1], out_size[1], size[1], 0))


def query_reference(network: Liif, picture: Tensor, out_size: tuple[int, int]) -> Tensor:
    """The published formulation: picture (N, 3, h, w) in [0, 1] -> (N, 3, *out_size), unclamped.

    Features are unfolded 3x3; each coordinate in [-1, 1] asks the nearest feature of four points half a pixel away; the
    four answers are weighted by the areas of the opposite corners. Slow, and large in memory. No bilinear base.
    """
    n, _, h, w = picture.shape
    feat = F.unfold(network.encoder((picture - 0.5) / 0.5), 3, padding=1).view(n, -1, h, w)
    centres = pixel_centres(h, w).to(picture).permute(2, 0, 1).expand(n, 2, h, w)
    coord = pixel_centres(*out_size).to(picture).reshape(1, -1, 2).expand(n, -1, 2)
    cell = torch.tensor([2 / out_size[0] * h, 2 / out_size[1] * w]).to(picture).expand_as(coord)

    predictions, areas = [], []
    for dy in (-1, 1):
        for dx in (-1, 1):
            shift = torch.tensor([dy / h, dx / w]).to(coord) + 1e-6
            asked = (coord + shift).clamp(-1 + 1e-6, 1 - 1e-6).flip(-1).unsqueeze(1)
            here = F.grid_sample(feat, asked, mode="nearest", align_corners=False)[:, :, 0].transpose(1, 2)
            place = F.grid_sample(centres, asked, mode="nearest", align_corners=False)[:, :, 0].transpose(1, 2)
            rel = (coord - place) * torch.tensor([h, w]).to(coord)
            predictions.append(network.imnet(torch.cat([here, rel, cell], -1)))
            areas.append(rel.prod(-1).abs() + 1e-9)

    total = torch.stack(areas).sum(0)
    pairs = zip(predictions, reversed(areas), strict=True)
    prediction = sum(prediction * (area / total)[..., None] for prediction, area in pairs)
    assert isinstance(prediction, Tensor)
    return (prediction * 0.5 + 0.5).transpose(1, 2).reshape(n, 3, *out_size)


def pixel_centres(height: int, width: int) -> Tensor:
    """(height, width, 2): y and x of each pixel's centre when the picture spans [-1, 1]."""
    y, x = ((2 * torch.arange(side) + 1) / side - 1 for side in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)


def test_parameters_are_as_many_as_the_paper_counts() -> None:
    network = Liif()
    assert sum(p.numel() for p in network.parameters()) + UNUSED_MEAN_SHIFT == 1_567_323
    assert sum(p.numel() for p in network.encoder.parameters()) + UNUSED_MEAN_SHIFT == 1_220_440
    assert sum(p.numel() for p in network.imnet.parameters()) == 346_883


@torch.no_grad()
@pytest.mark.parametrize("config", [LiifConfig(), SMALL])
def test_the_factorised_form_equals_the_published_one(config: LiifConfig) -> None:
    network, picture = make(config), draw(2, 3, 13, 17)
    wanted = query_reference(network, picture, (29, 41))
    view = whole((13, 17), (29, 41))
    for k, got in enumerate(network(picture, [view, view])):
        assert (got - wanted[k]).abs().max() < 1e-6


@torch.no_grad()
def test_the_base_is_the_bilinear_blend() -> None:
    plain, based = make(SMALL), make(LiifConfig(**{**SMALL.__dict__, "bilinear_base": True}))
    based.load_state_dict(plain.state_dict())
    picture, view = draw(1, 3, 13, 17), whole((13, 17), (29, 41))
    base = F.interpolate(picture, (29, 41), mode="bilinear")[0]
    assert ((based(picture, [view])[0] - base) - (plain(picture, [view])[0] - 0.5)).abs().max() < 1e-6


@torch.no_grad()
def test_a_fresh_network_with_a_base_is_bilinear_interpolation() -> None:
    picture = draw(1, 3, 9, 8)
    network = Liif(LiifConfig(**{**SMALL.__dict__, "bilinear_base": True}))
    got = network(picture, [whole((9, 8), (20, 31))])[0]
    assert torch.allclose(got, F.interpolate(picture, (20, 31), mode="bilinear")[0], atol=1e-6)


@torch.no_grad()
def test_a_constant_perceptron_gives_a_constant() -> None:
    network = make(SMALL)
    network.imnet.last.weight.zero_()
    network.imnet.last.bias.copy_(torch.tensor([0.2, -0.4, 1.0]))
    got = network(draw(1, 3, 7, 9), [whole((7, 9), (15, 40))])[0]
    assert torch.allclose(got, torch.tensor([0.6, 0.3, 1.0])[:, None, None].expand_as(got), atol=1e-6)


@torch.no_grad()
def test_tiles_with_their_halo_equal_the_whole() -> None:
    network, picture = make(SMALL), draw(1, 3, 40, 44)
    halo = 2 * SMALL.blocks + 4
    out = (93, 150)
    whole_sr = network(picture, [whole((40, 44), out)])[0]
    rows, cols = Axis(40, 20, out[0], 40, 17 - halo), Axis(70, 11, out[1], 44, 20 - halo)
    window = picture[:, :, 17 - halo : 26 + halo, 20 - halo : 24 + halo]
    tile = network(window, [View(rows, cols)])[0]
    assert (tile - whole_sr[:, 40:60, 70:81]).abs().max() < 1e-6


@torch.no_grad()
def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, picture, view = make(SMALL), draw(1, 3, 12, 10), whole((12, 10), (50, 33))
    wanted = network(picture, [view])[0]
    for size in (7, 33, 100):
        monkeypatch.setattr(liif, "BLOCK_QUERIES", size)
        assert (network(picture, [view])[0] - wanted).abs().max() < 1e-6


@torch.no_grad()
def test_windows_of_a_batch_do_not_mix() -> None:
    network, pictures = make(SMALL), draw(3, 3, 12, 10)
    views = [whole((12, 10), size) for size in ((20, 20), (31, 12), (12, 10))]
    for k, got in enumerate(network(pictures, views)):
        assert (got - network(pictures[k : k + 1], [views[k]])[0]).abs().max() < 1e-6


@torch.no_grad()
def test_bfloat16_stays_close_and_answers_in_float32() -> None:
    config = LiifConfig(bilinear_base=True)
    network, picture, view = make(config), draw(1, 3, 12, 10), whole((12, 10), (37, 30))
    wanted = network(picture, [view])[0]
    got = network.to(torch.bfloat16)(picture, [view])[0]
    assert got.dtype == torch.float32
    assert (got - wanted).abs().max() < 0.02 * (wanted - draw(1, 3, 12, 10).mean()).abs().max()


@torch.no_grad()
def test_the_told_scale_can_be_limited() -> None:
    state = make(SMALL).state_dict()
    limited = Liif(LiifConfig(**{**SMALL.__dict__, "cell_scale_limit": 4.0}))
    limited.load_state_dict(state)
    free = make(SMALL)
    view = View(Axis(0, 8, 8, 1, 0), Axis(0, 3, 3, 1, 0))
    first = free.imnet.first
    assert torch.allclose(
        limited.condition(view) - free.condition(view), (2 / 4 - 2 / 8) * first.weight[:, -2], atol=1e-6
    )


@torch.no_grad()
def test_training_samples_are_the_pixels_that_serving_gives() -> None:
    network, picture = make(LiifConfig(**{**SMALL.__dict__, "bilinear_base": True})), draw(2, 3, 13, 11)
    sizes = torch.tensor([[29, 40], [17, 33]])
    rows, cols = torch.tensor([[0, 28, 14], [16, 0, 9]]), torch.tensor([[39, 0, 20], [0, 32, 5]])
    got = network.sample(picture, sizes, rows, cols)
    for k in range(2):
        view = whole((13, 11), (int(sizes[k, 0]), int(sizes[k, 1])))
        wanted = network(picture[k : k + 1], [view])[0][:, rows[k], cols[k]]
        assert (got[k] - wanted).abs().max() < 1e-6


def test_one_step_of_the_optimiser_lowers_the_loss() -> None:
    torch.manual_seed(3)
    network = Liif(LiifConfig(**{**SMALL.__dict__, "bilinear_base": True}))
    optimizer = torch.optim.SGD(network.parameters(), 1e-2)
    picture, wanted = draw(2, 3, 8, 8), draw(2, 3, 20)
    index = torch.arange(20).expand(2, 20)

    def loss() -> Tensor:
        said = network.sample(picture, torch.tensor([[20, 20], [20, 20]]), index, index.flip(1))
        return (said - wanted).square().mean()

    before = loss()
    torch.autograd.backward(before)
    optimizer.step()
    assert loss() < before
