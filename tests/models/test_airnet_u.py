"""AirNet with a wide view: what it costs, what it does not touch, what it tells, and the form that serves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models import catalog
from models import weights as weight_files
from models.airnet_u import (
    HAZE_DOUBTED,
    HAZE_SIDE,
    HAZE_SURE,
    KINDS,
    UNSURE,
    AirnetU,
    AirnetUConfig,
    LookEncoder,
    weigh,
)
from models.cards import AIRNET_U, available
from models.contract import ConditionedRestorer, Servable
from models.look import Look, look_at
from models.moco import Moco
from models.weights import Weights, WeightsError
from tests.living import photo
from tests.models.brought import SMALL_AIRNET_U, bring_airnet_u, drawn_airnet_u


def some_look(count: int = 2, seed: int = 0) -> Look:
    """Of `count` pictures, one crop each, as in training."""
    drawn = torch.Generator().manual_seed(seed)
    return Look(torch.rand(count, 1, 3, 32, 32, generator=drawn), torch.rand(count, 3, 24, 24, generator=drawn))


def picture(height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.from_numpy(photo(height, width)).permute(2, 0, 1)[None].float() / 255


def code(seed: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(1, SMALL_AIRNET_U.code, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_what_serves_has_fewer_than_four_million_parameters_as_the_card_says() -> None:
    served = AirnetU().served()
    count = sum(value.numel() for value in served.parameters())
    assert count == AIRNET_U.parameters < 4_000_000
    assert served.reach <= AIRNET_U.halo
    assert AIRNET_U.halo % AIRNET_U.multiple == 0
    assert (KINDS, AIRNET_U.tiling) == (AIRNET_U.kinds, "exact")


def test_it_fulfils_the_contracts() -> None:
    network = drawn_airnet_u()
    assert isinstance(network, ConditionedRestorer)
    assert isinstance(network, Servable)


@torch.no_grad()
def test_a_fresh_network_changes_nothing() -> None:
    torch.manual_seed(0)
    network = AirnetU(SMALL_AIRNET_U).served()
    assert torch.equal(network(picture(), code()), picture())


@torch.no_grad()
def test_where_it_is_not_sure_a_pixel_stays_to_the_bit_whatever_the_correction() -> None:
    network = drawn_airnet_u().served()
    assert not torch.equal(network(picture(), code()), picture())
    network.R.tail.weight[3:] = 0
    network.R.tail.bias[3] = torch.logit(torch.tensor(UNSURE)) - 0.01  # type: ignore[index]
    assert torch.equal(network(picture(), code()), picture())


def test_a_certainty_that_counts_as_none_can_still_learn() -> None:
    sure = torch.tensor([-9.0, -1.0, 9.0], requires_grad=True)
    share = weigh(sure)
    assert share[0] == 0
    assert 0.99 < float(share[2].detach()) <= 1
    torch.autograd.backward(share.sum())
    assert sure.grad is not None and (sure.grad > 0).all()
    with torch.inference_mode():
        assert torch.allclose(weigh(sure), share.detach())


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (1, 1), (3, 50)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    out = drawn_airnet_u().served()(picture(*size), code())
    assert out.shape == (1, 3, *size)
    assert out.dtype == torch.float32


@torch.no_grad()
def test_the_code_decides_what_is_done() -> None:
    network, x = drawn_airnet_u().served(), picture()
    assert (network(x, code(1)) - network(x, code(2))).abs().max() > 1e-3


@torch.no_grad()
def test_the_served_form_says_the_same_and_holds_nothing_of_the_contrast() -> None:
    network = drawn_airnet_u()
    served = network.served()
    assert isinstance(network.E, Moco)
    assert isinstance(served.E, LookEncoder)
    seen = look_at(photo(150, 200))
    (ours, found), (kept, told) = network.examine(seen), served.examine(seen)
    assert torch.allclose(ours, kept, atol=1e-5)
    assert found == pytest.approx(told, abs=1e-5)
    assert torch.allclose(network(picture(), ours), served(picture(), kept), atol=1e-4)
    assert not any("queue" in key or "encoder_k" in key or "running" in key for key in served.state_dict())
    assert served.served() is served


def test_it_tells_each_kind_between_nothing_and_one_and_only_takes_that_kind_s_code() -> None:
    network = drawn_airnet_u().served()
    seen = look_at(photo(150, 200))
    own, found = network.encoder(seen)[0].detach(), network.examine(seen)[1]
    assert tuple(found) == KINDS
    assert all(0 <= share <= 1 for share in found.values())
    assert len({round(share, 3) for share in found.values()}) > 1
    assert float(own.norm()) == pytest.approx(1, abs=1e-5)
    for at, kind in enumerate(KINDS):
        asked, same = network.examine(seen, only=kind)
        assert same == found
        assert torch.allclose(asked[0], F.normalize(network.kind_codes[at], dim=0), atol=1e-6)
        assert not torch.allclose(asked, own)


def telling(network: AirnetU, **likely: float) -> AirnetU:
    """The same network, which finds the kinds that likely whatever it sees."""
    network.tell.weight.data.zero_()
    said = torch.tensor([likely.get(kind, 0.02) for kind in KINDS])
    network.tell.bias.data.copy_(said.logit())
    return network


@pytest.mark.parametrize(
    ("found", "side", "taken"),
    [
        ({"haze": HAZE_DOUBTED - 0.02, "rain": 0.1}, 128, None),
        ({"haze": HAZE_DOUBTED + 0.02, "rain": 0.1}, 300, "rain"),
        ({"haze": HAZE_SURE - 0.02, "jpeg": 0.9, "noise": 0.5}, 300, "jpeg"),
        ({"haze": HAZE_SURE + 0.02, "noise": 0.9}, 300, None),
        ({"haze": 0.99, "noise": 0.5}, HAZE_SIDE - 1, "noise"),
        ({"haze": 0.99}, HAZE_SIDE, None),
    ],
)
def test_what_may_be_haze_or_none_is_left_and_the_rest_taken_off(
    found: dict[str, float], side: int, taken: str | None
) -> None:
    network = telling(drawn_airnet_u().served(), **found)
    seen = look_at(photo(side, side + 40))
    condition, told = network.examine(seen)
    assert told == pytest.approx({kind: found.get(kind, 0.02) for kind in KINDS}, abs=1e-6)
    wanted = network.encoder(seen)[0] if taken is None else network.code_of(taken)
    assert torch.allclose(condition, wanted, atol=1e-6)
    assert torch.equal(network.examine(seen, only="haze")[0], network.code_of("haze"))


@torch.no_grad()
def test_a_code_of_many_crops_is_that_of_their_mean_features() -> None:
    """The same crop four times says what it says once: how many fit into a picture does not matter."""
    encoder = drawn_airnet_u().encoder
    once = some_look(1)
    often = Look(once.crops.repeat(1, 4, 1, 1, 1), once.whole)
    assert torch.allclose(encoder(once)[0], encoder(often)[0], atol=1e-5)


def test_the_contrast_compares_looks_and_its_queue_moves_on() -> None:
    network = drawn_airnet_u().train()
    logits, codes = network.contrast(some_look(), some_look(seed=1))
    assert logits.shape == (2, 1 + 512)
    assert codes.shape == (2, SMALL_AIRNET_U.code)
    assert isinstance(network.E, Moco)
    assert int(network.E.queue_ptr) == 2


@torch.inference_mode()
def test_half_precision_stays_near() -> None:
    network, x = drawn_airnet_u().served(), picture()
    full = network(x, code())
    half = network.to(torch.bfloat16)(x, code())
    assert half.dtype == torch.float32
    assert (half - full).abs().mean() < 0.02 * (full - x).abs().mean() + 1e-3


def test_a_saved_network_comes_back_with_the_same_bytes(tmp_path: Path) -> None:
    kept = bring_airnet_u(tmp_path)
    path = tmp_path / "airnet-u.safetensors"
    read = weight_files.load(path)
    found = catalog.load("airnet-u", weights_dir=tmp_path)
    again = Weights("airnet-u", dataclasses.asdict(found.config), found.state_dict(), read.facts)
    assert weight_files.dump(again, torch.float32) == path.read_bytes()
    with torch.inference_mode():
        assert torch.equal(found(picture(), code()), kept(picture(), code()))


def test_weights_that_were_brought_stand_before_ours(tmp_path: Path) -> None:
    assert available()["airnet-u"] == AIRNET_U
    bring_airnet_u(tmp_path)
    card = available(tmp_path)["airnet-u"]
    assert card.parameters < AIRNET_U.parameters
    assert card.cpu_s_per_mp < AIRNET_U.cpu_s_per_mp


def test_weights_of_another_shape_are_refused_with_a_sentence() -> None:
    with pytest.raises(WeightsError, match="down"):
        catalog.build("airnet-u", {"down": [1, 1], "up": [1, 1]})


def test_a_step_lowers_the_loss() -> None:
    """Noise of one strength on one picture: the restored one comes nearer to it."""
    torch.manual_seed(0)
    network = AirnetU(dataclasses.replace(SMALL_AIRNET_U), batch=2).train()
    clean = picture(32, 32).expand(2, -1, -1, -1)
    noisy = (clean + 0.1 * torch.randn(clean.shape)).clamp(0, 1)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    errors = []
    for _ in range(20):
        optimizer.zero_grad()
        _, said = network.contrast(Look(noisy[:, None], noisy), Look(noisy[:, None], noisy))
        error = (network.restore(noisy, said)[0] - clean).abs().mean()
        torch.autograd.backward(error)
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.97 * errors[0]
    assert np.isfinite(errors).all()
    assert AirnetUConfig().contrast
