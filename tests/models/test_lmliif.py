from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import cpu
from models import catalog, lmliif
from models import weights as weight_files
from models.cards import BY_NAME
from models.classical import back_projected
from models.contract import Axis, View
from models.liif import neighbours
from models.lmliif import Lmliif, LmliifConfig
from models.weights import Weights

SMALL = LmliifConfig(channels=8, latent=24, units=8, layers=3, code=4)
HALO = BY_NAME["lmliif"].halo
REAL = LmliifConfig(channels=8, latent=24, units=8, layers=3, code=4, projected_over=9)
REAL_HALO = BY_NAME["lmliif-real"].halo


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def make(config: LmliifConfig = SMALL) -> Lmliif:
    """A network as after training: features of unit size, modulations that differ, a last layer that says something."""
    torch.manual_seed(0)
    network = Lmliif(config).eval().requires_grad_(False)
    for name, weight in network.encoder.named_parameters():
        if name == "conv_1.weight":
            weight.mul_(1 / 100)  # its input is counted in levels
    feat = network.encoder(draw(1, 3, 24, 24))
    assert network.whiten.bias is not None
    network.whiten.weight.add_(0.1 * torch.randn_like(network.whiten.weight)).div_(feat.std())
    network.whiten.bias.sub_(network.whiten(feat).mean((0, 2, 3)))
    torch.nn.init.normal_(network.latent_out.weight, std=0.1)
    torch.nn.init.normal_(network.render_out.weight, std=0.1)
    if network.believe is not None:
        torch.nn.init.normal_(network.believe.weight, std=0.3)
    return network


def whole(size: tuple[int, int], out_size: tuple[int, int]) -> View:
    return View(Axis(0, out_size[0], out_size[0], size[0], 0), Axis(0, out_size[1], out_size[1], size[1], 0))


def published_form(network: Lmliif, picture: Tensor, view: View) -> Tensor:
    """As the paper has it: the modulations of the nearest pixel of each corner, one perceptron call a sample."""
    c, size = network.config, picture.shape[2:]
    parts = network.encoder.parts(picture)
    said = network.modulations(network.white(parts), view)[0].permute(1, 2, 0)
    rows, cols = (
        neighbours(axis, side, picture.device) for axis, side in zip((view.rows, view.cols), size, strict=True)
    )
    depth = c.layers * c.units
    out = network.base(picture, parts, network.white(parts), view)[0]
    for dy in (0, 1):
        for dx in (0, 1):
            near = said[rows.index[dy]][:, cols.index[dx]]
            tall, wide = rows.rel[dy][:, None].expand(near.shape[:2]), cols.rel[dx].expand(near.shape[:2])
            cell = network.cell(view).expand(*near.shape[:2], 2)
            x = torch.cat([near[..., 2 * depth :], tall[..., None], wide[..., None], cell], -1)
            for i, layer in enumerate([network.render_in, *network.render_hidden]):
                scale = near[..., i * c.units : (i + 1) * c.units]
                shift = near[..., depth + i * c.units : depth + (i + 1) * c.units]
                x = torch.relu(layer(x) * (1 + scale) + shift)
            weight = rows.weight[dy][:, None] * cols.weight[dx]
            out = out + (network.render_out(x) * weight[..., None]).permute(2, 0, 1)
    return out


def test_parameters_are_as_many_as_the_layers_have() -> None:
    network = Lmliif()
    encoder = 3 * 9 * 48 + 48 + 19 * (48 * 48 * 9 + 48) + 4 * 48 * 48 + 48
    latent = (48 * 9 + 2) * 128 + 128 + 128 * 208 + 208
    tiny = 20 * 16 + 16 + 5 * (16 * 16 + 16) + 16 * 3 + 3
    last, whiten = 48 * 48 * 9 + 48, 48 * 48 + 48
    assert sum(p.numel() for p in network.encoder.parameters()) == encoder
    assert sum(p.numel() for p in network.parameters()) == encoder + last + whiten + latent + tiny == 512_899


@torch.no_grad()
@pytest.mark.parametrize("out_size", [(13, 17), (14, 23), (26, 34), (41, 30), (52, 68), (104, 139)])
def test_it_is_the_published_form(out_size: tuple[int, int]) -> None:
    network, picture, view = make(), draw(1, 3, 13, 17), whole((13, 17), out_size)
    wanted = published_form(network, picture, view)
    parts = network.encoder.parts(picture)
    assert (wanted - network.base(picture, parts, network.white(parts), view)[0]).abs().max() > 0.05
    assert (network(picture, [view])[0] - wanted).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0, 7.0])
def test_a_fresh_network_is_what_the_encoders_own_last_layer_enlarges_projected_back_and_resized(scale: float) -> None:
    network, picture = Lmliif(SMALL), draw(1, 3, 9, 8)
    out_size = round(9 * scale), round(8 * scale)
    fine = F.pixel_shuffle(network.upsampler(lmliif.bounded(network.encoder(picture))), 4)
    missing = picture - F.interpolate(fine, (9, 8), mode="bicubic", antialias=True)
    fine += F.interpolate(missing, fine.shape[2:], mode="bicubic", antialias=True)
    wanted = F.interpolate(fine, out_size, mode="bicubic", antialias=True)[0]
    assert torch.allclose(network(picture, [whole((9, 8), out_size)])[0], wanted, atol=1e-5 * float(wanted.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize(("said", "over"), [(9.0, 1), (-9.0, 9)])
def test_what_is_believed_is_projected_back_pixel_by_pixel_and_what_is_not_over_means(said: float, over: int) -> None:
    network, picture, view = make(REAL), draw(2, 3, 20, 18), whole((20, 18), (40, 36))
    assert network.believe is not None and network.believe.bias is not None
    network.believe.weight.zero_()
    network.believe.bias.fill_(said)
    parts = network.encoder.parts(picture)
    fine = F.pixel_shuffle(network.upsampler(lmliif.bounded(network.encoder.conv_cat(parts))), 4)
    projected = back_projected(fine.flatten(0, 1), picture.flatten(0, 1), 4, over=over)
    wanted = F.interpolate(projected.view(2, 3, 80, 72), (40, 36), mode="bicubic", antialias=True)
    assert (network.base(picture, parts, network.white(parts), view) - wanted).abs().max() < 2e-3 * float(
        wanted.abs().max()
    )  # a sigmoid is never quite 0 or 1


@torch.no_grad()
def test_of_a_flat_picture_each_pixel_says_the_same() -> None:
    """Away from the frame, where the encoder sees nothing but the field, the answer has the period of a pixel."""
    network, side = make(), 2 * HALO + 6
    got = network(torch.full((1, 3, side, side), 0.4), [whole((side, side), (3 * side, 3 * side))])[0]
    inner = got[:, 3 * HALO + 3 : -3 * HALO - 3, 3 * HALO + 3 : -3 * HALO - 3]
    assert (inner[:, 3:] - inner[:, :-3]).abs().max() < 1e-5
    assert (inner[:, :, 3:] - inner[:, :, :-3]).abs().max() < 1e-5


def seen_beyond(config: LmliifConfig, scale: float, which: int) -> tuple[int, int]:
    """Input pixels before and behind the two around a sample of the middle that it depends on."""
    side = 2 * REAL_HALO + 9
    out = round(side * scale)
    picture = draw(1, 3, side, side).double().requires_grad_()
    axis = Axis(out // 2 + which, 1, out, side, 0)
    (sample,) = make(config).double()(picture, [View(axis, axis)])
    torch.autograd.backward(sample.sum())
    assert picture.grad is not None
    seen, first = picture.grad.abs().sum((0, 1, 3)).nonzero().flatten(), int(axis.positions()[0])
    return first - int(seen.min()), int(seen.max()) - first - 1


@pytest.mark.parametrize(("config", "halo"), [(SMALL, HALO), (REAL, REAL_HALO)])
def test_no_sample_depends_on_a_pixel_beyond_the_halo_and_one_does_on_the_last_within(
    config: LmliifConfig, halo: int
) -> None:
    before, behind = zip(*(seen_beyond(config, *case) for case in product((1.1, 2, 3.7), range(3))), strict=True)
    assert max(before) == max(behind) == halo


@torch.no_grad()
@pytest.mark.parametrize(("config", "halo"), [(SMALL, HALO), (REAL, REAL_HALO)])
@pytest.mark.parametrize("out", [(60, 99), (93, 150), (132, 201)])
def test_tiles_with_their_halo_equal_the_whole(out: tuple[int, int], config: LmliifConfig, halo: int) -> None:
    size = (2 * halo + 12, 2 * halo + 20)
    network, picture = make(config), draw(1, 3, *size)
    wanted = network(picture, [whole(size, out)])[0]
    rows, cols = Axis(out[0] // 2, 7, out[0], size[0], 0), Axis(out[1] // 2, 9, out[1], size[1], 0)
    top, left = (int(axis.positions()[0][0]) - halo for axis in (rows, cols))
    bottom, right = (int(axis.positions()[0][-1]) + 2 + halo for axis in (rows, cols))
    placed = View(Axis(rows.start, 7, out[0], size[0], top), Axis(cols.start, 9, out[1], size[1], left))
    tile = network(picture[:, :, top:bottom, left:right], [placed])[0]
    assert (tile - wanted[:, rows.start : rows.start + 7, cols.start : cols.start + 9]).abs().max() < 1e-5


@torch.no_grad()
def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, picture = make(), draw(1, 3, 12, 10)
    for out_size in ((12, 11), (50, 33), (97, 80)):
        view = whole((12, 10), out_size)
        wanted = network(picture, [view])[0]
        for answers in (1, 700, 2500):
            monkeypatch.setattr(lmliif, "BAND_PREDICTIONS", answers)
            got = network(picture, [view])[0]
            assert got.shape == wanted.shape
            assert (got - wanted).abs().max() < 1e-6


@pytest.mark.skipif(bool(cpu.why_missing()), reason=cpu.why_missing())
@torch.no_grad()
@pytest.mark.parametrize("out_size", [(12, 10), (13, 11), (29, 31), (96, 80)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_render_gives_what_the_networks_own_gives(out_size: tuple[int, int], dtype: torch.dtype) -> None:
    network, picture = make(LmliifConfig(channels=8, latent=24)).to(dtype), draw(1, 3, 12, 10)
    assert network.has_kernel and not make().has_kernel
    view = whole((12, 10), out_size)
    parts = network.encoder.parts(picture)
    white = network.white(parts)
    given = network.modulations(white, view), network.base(picture, parts, white, view), view
    own, compiled = network.render(*given), network.render_compiled(*given)
    assert (compiled - own).abs().max() < 1e-5 * own.abs().max().clamp(min=1)
    assert torch.equal(network(picture, [view])[0], compiled[0])


@torch.no_grad()
def test_windows_of_a_batch_do_not_mix() -> None:
    network, pictures = make(), draw(3, 3, 12, 10)
    views = [whole((12, 10), size) for size in ((20, 20), (31, 12), (12, 10))]
    for k, got in enumerate(network(pictures, views)):
        assert (got - network(pictures[k : k + 1], [views[k]])[0]).abs().max() < 1e-5


@torch.no_grad()
def test_bfloat16_stays_close_and_answers_in_float32() -> None:
    network, picture, view = make(), draw(1, 3, 12, 10), whole((12, 10), (37, 30))
    wanted = network(picture, [view])[0]
    got = network.to(torch.bfloat16)(picture, [view])[0]
    assert got.dtype == torch.float32
    assert (got - wanted).abs().mean() < 0.1 * wanted.std()


@torch.no_grad()
def test_beyond_the_largest_trained_scale_that_one_is_told() -> None:
    network = make()
    assert torch.equal(network.cell(whole((10, 10), (80, 30))), torch.tensor([2 / 4, 2 / 3]))


@torch.no_grad()
def test_large_white_features_are_compressed_and_keep_their_sign_and_order() -> None:
    white = 9 * torch.randn(200, generator=torch.Generator().manual_seed(0))
    seen = lmliif.compressed(white)
    assert torch.equal(white.argsort(), seen.argsort())
    assert torch.equal(white.sign(), seen.sign())
    assert float(seen.abs().max()) < float(white.abs().max()) / 2


@torch.no_grad()
def test_whitening_is_the_layer_after_the_encoders_last() -> None:
    network = make()
    parts = network.encoder.parts(draw(1, 3, 20, 20))
    wanted = lmliif.compressed(network.whiten(network.encoder.conv_cat(parts)))
    assert (network.white(parts) - wanted).abs().max() < 1e-5


@torch.no_grad()
def test_features_of_pictures_pass_and_what_grows_beyond_any_is_held_back() -> None:
    feat = torch.tensor([-1000.0, -16.0, -3.0, 0.0, 15.9, 32.0])
    assert torch.allclose(lmliif.bounded(feat), torch.tensor([-25.84, -16.0, -3.0, 0.0, 15.9, 16.16]), atol=1e-5)


@torch.no_grad()
def test_training_gives_the_samples_of_serving() -> None:
    network, pictures = make(), draw(2, 3, 13, 11)
    view = View(Axis(9, 12, 40, 13, 0), Axis(2, 20, 33, 11, 0))
    wanted = torch.stack(network(pictures, [view, view]))
    with torch.enable_grad():
        got = network.enlarge(pictures, view)
    assert (got - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("autocast", [False, True])
def test_training_by_the_kernel_has_the_loss_and_gradients_of_the_plain_render(
    autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 under autocast too; the bound is that of `tests.kernels.test_modulated_mlp_predict`."""
    network = make(LmliifConfig(channels=8, latent=24)).requires_grad_()
    if not network.has_training_kernel:
        pytest.skip(cpu.why_missing())
    lr, view = draw(2, 3, 7, 6), View(Axis(2, 9, 18, 7, 0), Axis(1, 8, 11, 6, 0))
    wanted = draw(2, 3, 9, 8)
    told = [value for name, value in network.named_parameters() if name.startswith("render_")]
    parts = network.encoder.parts(lr)
    modulations = network.modulations(network.white(parts), view).detach().requires_grad_()
    base = network.base(lr, parts, network.white(parts), view).detach()

    def learn(autocast: bool) -> list[Tensor]:
        with torch.autocast("cpu", enabled=autocast):
            loss = (network.render(modulations, base, view) - wanted).abs().mean()
        return [loss.detach(), *torch.autograd.grad(loss, [modulations, *told])]

    compiled = learn(autocast)
    monkeypatch.setattr(Lmliif, "has_training_kernel", False)
    for got, plain in zip(compiled, learn(autocast=False), strict=True):
        assert got.dtype == torch.float32
        assert (got - plain).abs().max() <= 5e-6 * plain.abs().max()


def test_training_reads_its_kernel_where_one_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Tensor] = []
    given = Lmliif.predict_compiled

    def noted(*of: Any) -> Tensor:
        called.append(given(*of))
        return called[-1]

    monkeypatch.setattr(Lmliif, "predict_compiled", noted)
    lr, view = draw(1, 3, 5, 6), whole((5, 6), (10, 12))
    for config, is_built in ((LmliifConfig(channels=8, latent=24), not cpu.why_missing()), (SMALL, False)):
        called.clear()
        network = make(config)
        network.enlarge(lr, view)
        assert bool(called) == is_built
        called.clear()
        with torch.no_grad():
            network.enlarge(lr, view)
        assert not called


@torch.no_grad()
def test_a_weight_file_gives_the_network_back(tmp_path: Path) -> None:
    network = make()
    path = tmp_path / "lmliif.safetensors"
    weight_files.save(path, Weights("lmliif", dict(SMALL.__dict__), network.state_dict(), {}), torch.float32)
    found = weight_files.load(path)
    other = catalog.build("lmliif", found.config)
    weight_files.fill(other, found.state_dict, "lmliif")
    picture, view = draw(1, 3, 12, 10), whole((12, 10), (37, 30))
    assert (other(picture, [view])[0] - network(picture, [view])[0]).abs().max() < 1e-6


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["checker", "columns", "rows"])
@torch.no_grad()
def test_the_served_weights_keep_the_mean_of_patterns_of_single_pixels_and_leave_them_neutral(
    name: str, scale: int
) -> None:
    """Alone and inside a colourful picture, where a network may not go by the whole picture being grey."""
    network = catalog.load("lmliif")
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    pattern = {"checker": (x + y) % 2, "columns": x % 2, "rows": y % 2}[name].float().expand(1, 3, 48, 48)
    around = F.interpolate(draw(1, 3, 6, 6), size=(96, 96), mode="bicubic").clamp(0, 1)
    around[..., 24:72, 24:72] = pattern
    for picture, margin in ((pattern, 10), (around, 34)):
        side = picture.shape[-1]
        view = whole((side, side), (side * scale, side * scale))
        out = network(picture, [view])[0][..., margin * scale : -margin * scale, margin * scale : -margin * scale]
        colours = out.clamp(0, 1).mean((-2, -1))
        assert (colours - 0.5).abs().max() < 4 / 255
        assert (colours - colours.mean()).abs().max() < 1 / 255


def test_one_step_of_the_optimiser_lowers_the_loss() -> None:
    network = make().requires_grad_()
    new = [value for name, value in network.named_parameters() if not name.startswith(("encoder.", "upsampler."))]
    optimizer = torch.optim.SGD(new, 1e-2)
    picture, wanted, view = draw(2, 3, 8, 8), draw(2, 3, 20, 20), whole((8, 8), (20, 20))

    def loss() -> Tensor:
        return (network.enlarge(picture, view) - wanted).square().mean()

    before = loss()
    torch.autograd.backward(before)
    optimizer.step()
    assert float(loss().detach()) < float(before.detach())
    assert all(value.grad is not None for value in network.parameters())
