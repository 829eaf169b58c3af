from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels.ops import lut3d, lut3d_apply
from kernels.reference.lut3d import identity_lut
from models import catalog
from models.cube import write_cube
from models.lut3d import SHOULDER, Lut3D, Lut3DConfig, bend_below_one, shrink
from models.train.losses import monotonicity, smoothness


@pytest.fixture
def network() -> Lut3D:
    torch.manual_seed(0)
    network = Lut3D().eval()
    with torch.no_grad():
        network.luts.add_(0.1 * torch.randn(network.luts.shape))
    return network


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_parameters_are_as_many_as_the_paper_counts() -> None:
    network = Lut3D()
    assert sum(p.numel() for p in network.parameters()) == 593_516
    assert sum(p.numel() for p in network.classifier.parameters()) == 270_083


def test_the_start_is_the_published_one() -> None:
    network = Lut3D()
    assert torch.equal(network.luts[0], identity_lut(33))
    assert not network.luts[1:].any()
    assert network.classifier.head.bias is not None
    assert torch.equal(network.classifier.head.bias, torch.ones(3))


@torch.no_grad()
def test_a_batch_of_three_equals_three_singles(network: Lut3D) -> None:
    pictures = draw(3, 3, 60, 90)
    together = network.predict_weights(pictures)
    singles = torch.cat([network.predict_weights(picture[None]) for picture in pictures])
    assert together.shape == (3, 3)
    assert (together - singles).abs().max() < 1e-5
    tables = network.fuse(together)
    blended = lut3d(pictures, tables)
    for k in range(3):
        assert torch.equal(blended[k : k + 1], lut3d(pictures[k : k + 1], tables[k]))


@torch.no_grad()
def test_blending_the_tables_first_equals_blending_three_pictures(network: Lut3D) -> None:
    pictures = draw(2, 3, 40, 30)
    weights = torch.tensor([[1.9, -0.3, -0.9], [0.5, 0.2, 1.1]])
    first = lut3d(pictures, network.fuse(weights))
    three = torch.stack([lut3d(pictures, table) for table in network.luts], 1)
    last = (three * weights[:, :, None, None, None]).sum(1)
    assert (first - last).abs().max() < 2e-6


@torch.no_grad()
def test_strength_goes_from_the_identity_to_what_was_learnt(network: Lut3D) -> None:
    picture = draw(1, 3, 50, 50)
    full, half, none = (network.lut(picture, strength) for strength in (1.0, 0.5, 0.0))
    assert torch.allclose(none, identity_lut(33), atol=1e-6)
    assert torch.allclose(half, (full + none) / 2, atol=1e-6)
    pixels = (picture[0].permute(1, 2, 0) * 255).to(torch.uint8)
    assert torch.equal(lut3d_apply(pixels, none), pixels)


@pytest.mark.parametrize("largest", [1.001, 1.04, 1.2, 3.0])
def test_values_beyond_one_are_bent_and_every_step_stays_a_step(largest: float) -> None:
    table = identity_lut(33) * torch.tensor([largest, 1.0, 0.9]).view(3, 1, 1, 1)
    bent = bend_below_one(table)
    assert torch.equal(bent[1:], table[1:])  # these never exceed 1
    assert torch.equal(bent[table <= SHOULDER], table[table <= SHOULDER])
    ramp = bent[0, 0, 0].double()
    assert ramp[-1] == pytest.approx(1, abs=1e-6)
    assert (ramp.diff() > 1e-5).all()
    assert (ramp.diff() <= table[0, 0, 0].diff() + 1e-6).all()  # it nowhere adds contrast


@torch.no_grad()
def test_a_sky_that_stays_inside_the_range_keeps_its_gradient() -> None:
    left, right = torch.tensor([[0.42, 0.6, 0.84], [0.78, 0.87, 0.96]])
    sky = torch.lerp(left, right, torch.linspace(0, 1, 512)[:, None]).expand(48, 512, 3)
    pixels = (sky * 65535).round().to(torch.uint16)
    network = catalog.load("lut3d", device="cpu")

    picture = sky.permute(2, 0, 1)[None]

    def steps(lut: Tensor) -> Tensor:
        return lut3d_apply(pixels, lut)[24].int().diff(dim=0)

    published, served = steps(network.fuse(network.predict_weights(picture))[0]), steps(network.lut(picture))
    assert (published[:, 2] == 0).sum() > 50  # what bending is for
    assert (served > 0).all()
    assert (served.amax(0) <= 5 * served.median(0).values).all()


def test_large_pictures_are_reduced_to_480_and_small_ones_stay() -> None:
    assert shrink(draw(1, 3, 960, 1440), 480).shape == (1, 3, 480, 720)
    assert shrink(draw(1, 3, 1001, 500), 480).shape == (1, 3, 961, 480)
    assert shrink(draw(1, 3, 480, 900), 480).shape == (1, 3, 480, 900)
    assert shrink(draw(1, 3, 960, 1440), None).shape == (1, 3, 960, 1440)


@torch.no_grad()
def test_the_predictor_hardly_notices_the_size_of_a_photo_when_it_is_reduced_first(network: Lut3D) -> None:
    small = draw(1, 3, 480, 480)
    noise = 0.3 * torch.randn(1, 3, 1440, 1440, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, scale_factor=3.0) + noise
    wanted = network.predict_weights(small)
    assert (network.predict_weights(large) - wanted).abs().max() < (
        network.predict_weights(large, reduce=None) - wanted
    ).abs().max()


def test_one_step_of_the_optimiser_lowers_the_loss() -> None:
    torch.manual_seed(1)
    network = Lut3D(Lut3DConfig(size=9)).eval()
    picture, wanted = draw(2, 3, 64, 64), draw(2, 3, 64, 64).sqrt()
    optimizer = torch.optim.SGD(network.parameters(), 1e-4)

    def loss() -> Tensor:
        fit = (lut3d(picture, network.fuse(network.predict_weights(picture))) - wanted).square().mean()
        return fit + 1e-4 * smoothness(network.luts) + 10 * monotonicity(network.luts)

    before = loss()
    torch.autograd.backward(before)
    optimizer.step()
    assert loss() < before


def test_the_penalties_are_zero_where_they_should_be() -> None:
    tables = identity_lut(5)[None]
    assert monotonicity(tables) == 0
    assert monotonicity(-tables) == pytest.approx(0.25, rel=1e-6)  # each axis falls in one of three channels, by 1/4
    assert smoothness(torch.full((2, 3, 5, 5, 5), 0.3)) == 0
    assert smoothness(tables) == pytest.approx(3 * (1 / 3) * (2 + 1 + 1 + 2) / 4 / 16, rel=1e-6)


def test_the_cube_text_read_back_is_the_table() -> None:
    table = torch.randn(3, 7, 7, 7, generator=torch.Generator().manual_seed(2))
    text = write_cube(table, "warm evening")
    lines = text.splitlines()
    assert lines[:4] == ['TITLE "warm evening"', "LUT_3D_SIZE 7", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1"]
    assert "\r" not in text
    assert text.endswith("\n")
    numbers = torch.tensor([[float(word) for word in line.split()] for line in lines[4:]])
    assert torch.equal(numbers.view(7, 7, 7, 3).permute(3, 0, 1, 2), table)


def test_red_varies_fastest_in_the_cube_text() -> None:
    lines = write_cube(identity_lut(3), "identity").splitlines()[4:]
    assert lines[1].split() == ["0.5", "0", "0"]
    assert lines[3].split() == ["0", "0.5", "0"]
    assert lines[9].split() == ["0", "0", "0.5"]


@pytest.mark.parametrize("title", ['a "quoted" one', "two\nlines"])
def test_a_title_that_breaks_the_cube_format_is_refused(title: str) -> None:
    with pytest.raises(ValueError, match="title"):
        write_cube(identity_lut(2), title)


def test_a_table_that_is_no_cube_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lut has shape \(3, 2, 2, 3\)"):
        write_cube(torch.zeros(3, 2, 2, 3), "no")
