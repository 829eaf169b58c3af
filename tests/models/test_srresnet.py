from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import catalog, srresnet, weights
from models.cards import BY_NAME
from models.classical import KERNELS, Resampler, from_finer
from models.contract import Axis, View
from models.srresnet import Srresnet, SrresnetConfig
from models.weights import Weights
from workers.engine import tiles

RESIZE = 1  # pixels more that the resize to other scales sees
SMALL = SrresnetConfig(width=8, blocks=2)
SMALL_HALO = BY_NAME["srresnet"].halo - RESIZE - 2 * (SrresnetConfig().blocks - SMALL.blocks)


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def make(config: SrresnetConfig = SMALL) -> Srresnet:
    """A network in eval mode that says something and whose batch norms have seen pictures."""
    torch.manual_seed(0)
    network = Srresnet(config).requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, 0, 0.1)
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.2, 2)
    torch.nn.init.normal_(network.conv3.weight)
    said = network.eval().finish(network.extract(draw(1, 3, 16, 16)), torch.zeros(1, 3, 16, 16))
    network.conv3.weight.mul_(0.1 / said.std())
    return network


def whole(size: tuple[int, int], out_size: tuple[int, int]) -> View:
    return View(Axis(0, out_size[0], out_size[0], size[0], 0), Axis(0, out_size[1], out_size[1], size[1], 0))


def test_parameters_and_keys_are_as_many_as_published() -> None:
    network = Srresnet()
    assert sum(p.numel() for p in network.parameters()) == 1_547_350
    assert len(network.state_dict()) == 225
    without = Srresnet(SrresnetConfig(batch_norm=False))
    assert sum(p.numel() for p in without.parameters()) == 1_545_238


@torch.no_grad()
@pytest.mark.parametrize("config", [SrresnetConfig(), SMALL, dataclasses.replace(SMALL, interpolated_base=True)])
def test_folded_equals_unfolded(config: SrresnetConfig) -> None:
    network, lr = make(config), draw(1, 3, 9, 11)
    folded = network.served()
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
    wanted = network.enlarge(lr)
    assert wanted.std() > 0.05
    assert (folded.enlarge(lr) - wanted).abs().max() < 1e-5
    assert folded.served() is folded


@torch.no_grad()
@pytest.mark.parametrize(("scale", "stages"), [(2, 1), (4, 2), (8, 3)])
def test_each_stage_doubles(scale: int, stages: int) -> None:
    network = make(dataclasses.replace(SMALL, scale=scale))
    assert len(network.upsampling) == stages
    assert network.enlarge(draw(2, 3, 5, 6)).shape == (2, 3, 5 * scale, 6 * scale)
    with pytest.raises(TypeError, match="scale 3 is none of 2, 4, 8"):
        Srresnet(SrresnetConfig(scale=3))


@torch.no_grad()
def test_a_fresh_network_with_a_base_is_bicubic_interpolation() -> None:
    network, lr = Srresnet(dataclasses.replace(SMALL, interpolated_base=True)).eval(), draw(1, 3, 7, 9)
    view = whole((7, 9), (28, 36))
    wanted = Resampler(KERNELS["bicubic"])(lr, [view])[0]
    assert (network(lr, [view])[0] - wanted).abs().max() < 1e-5


@torch.no_grad()
def test_its_own_scale_comes_as_it_is_and_others_resized() -> None:
    network, lr = make(), draw(1, 3, 12, 10)
    fine = network.enlarge(lr)[0]
    assert (network(lr, [whole((12, 10), (48, 40))])[0] - fine).abs().max() < 1e-6
    for size in ((29, 31), (12, 10), (48, 21)):
        view = whole((12, 10), size)
        assert (network(lr, [view])[0] - from_finer(fine, view, 4)).abs().max() < 1e-5
    half = network(lr, [whole((12, 10), (24, 20))])[0]
    wanted = F.interpolate(fine[None], (24, 20), mode="bicubic", antialias=True)[0]
    assert (half - wanted).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize(("out", "more"), [((240, 200), 0), ((93, 150), 3), ((60, 50), 3), ((61, 200), 3)])
def test_tiles_with_their_halo_equal_the_whole(out: tuple[int, int], more: int, base: bool) -> None:
    network = make(dataclasses.replace(SMALL, interpolated_base=base))
    size, picture = (60, 50), draw(60, 50, 3).numpy()
    halo = SMALL_HALO + more
    margins = tiles.plan(size, out, tile=out, halo=70).views[0]
    window = torch.from_numpy(padded(picture, margins, (size[0] + 142, size[1] + 142)))
    (wanted,) = network(window.permute(2, 0, 1)[None], [margins])
    plan = tiles.plan(size, out, tile=(37, 53), halo=halo)
    for view in plan.views:
        cut = torch.from_numpy(padded(picture, view, plan.window)).permute(2, 0, 1)[None]
        (tile,) = network(cut, [view])
        rows = slice(view.rows.start, view.rows.start + view.rows.count)
        cols = slice(view.cols.start, view.cols.start + view.cols.count)
        assert (tile - wanted[:, rows, cols]).abs().max() < 2e-6


def padded(picture: tiles.Array, view: View, window: tuple[int, int]) -> tiles.Array:
    out = picture[:0].copy()
    out.resize((*window, 3), refcheck=False)
    tiles.cut(picture, view, out)
    return out


@torch.no_grad()
@pytest.mark.parametrize("out", [(48, 40), (29, 31), (12, 10)])
def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch, out: tuple[int, int]) -> None:
    network, lr, view = make(), draw(1, 3, 12, 10), whole((12, 10), out)
    wanted = network(lr, [view])[0]
    for side in (1, 3, 7):
        monkeypatch.setattr(srresnet, "BLOCK_SIDE", side)
        assert (network(lr, [view])[0] - wanted).abs().max() < 2e-6


@torch.no_grad()
def test_the_halo_is_all_that_a_pixel_sees() -> None:
    """What lies further than the halo from the two pixels around a sample may change without notice; nothing nearer."""
    network, lr = make(), torch.zeros(1, 3, 1, 110)
    view = View(Axis(0, 4, 4, 1, 0), Axis(4 * 50, 4, 440, 110, 0))
    wanted = network(lr, [view])[0]
    lr[..., : 50 - SMALL_HALO] = lr[..., 51 + SMALL_HALO :] = 1
    assert torch.equal(network(lr, [view])[0], wanted)
    lr[..., 50 - SMALL_HALO] = 1
    assert not torch.equal(network(lr, [view])[0], wanted)


@torch.no_grad()
def test_windows_of_a_batch_do_not_mix() -> None:
    network, pictures = make(), draw(3, 3, 12, 10)
    views = [whole((12, 10), size) for size in ((48, 40), (31, 12), (12, 10))]
    for k, got in enumerate(network(pictures, views)):
        assert (got - network(pictures[k : k + 1], [views[k]])[0]).abs().max() < 1e-6


@torch.no_grad()
def test_bfloat16_stays_close_and_answers_in_float32() -> None:
    network = make(SrresnetConfig(batch_norm=False, interpolated_base=True))
    lr, view = draw(1, 3, 12, 10), whole((12, 10), (48, 40))
    wanted = network(lr, [view])[0]
    got = network.to(torch.bfloat16)(lr, [view])[0]
    assert got.dtype == torch.float32
    base = F.interpolate(lr, scale_factor=4, mode="bicubic", antialias=True)[0]
    assert (got - wanted).abs().max() < 0.05 * (wanted - base).abs().max()


def test_one_step_of_the_optimiser_lowers_the_loss() -> None:
    torch.manual_seed(3)
    network, lr, hr = Srresnet(SMALL), draw(4, 3, 6, 6), draw(4, 3, 24, 24)
    optimizer = torch.optim.SGD(network.parameters(), 1e-2)

    def loss() -> Tensor:
        return (network.enlarge(lr) - hr).square().mean()

    before = loss()
    torch.autograd.backward(before)
    optimizer.step()
    assert loss() < before


@torch.no_grad()
def test_a_file_with_batch_norms_is_served_folded_from_the_users_folder(tmp_path: Path) -> None:
    network = make()
    file = Weights("srresnet", dataclasses.asdict(SMALL), network.state_dict(), {})
    weights.save(tmp_path / "srresnet.safetensors", file, torch.float32)
    served = catalog.load("srresnet", weights_dir=tmp_path)
    assert not served.training
    assert not served.config.batch_norm
    lr = draw(1, 3, 8, 8)
    assert (served.enlarge(lr) - network.enlarge(lr)).abs().max() < 1e-5
