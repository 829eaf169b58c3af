"""AirNet: counts and keys as published, the network by a second hand, what serving leaves out, contrast, conversion."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models import catalog, convert, weights
from models.airnet import Airnet, AirnetConfig, DeformableConvolution, padded
from models.cards import AIRNET, available
from models.layout import channels_last
from models.moco import KEYS_PER_PICTURE, MOMENTUM, Encoder, Moco
from models.weights import WeightsError
from tests.models.brought import SMALL_AIRNET, bring_airnet, drawn_airnet, moco_of

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def published() -> Airnet:
    """Of full width, with a queue of another length than ours."""
    return drawn_airnet(AirnetConfig())


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def count(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


# As published


def test_counts_and_keys_are_the_published_ones(published: Airnet) -> None:
    assert count(published) == 8_930_313
    assert count(published.R) == 6_290_441
    assert count(published.R) + count(moco_of(published).encoder_q.E_pre) == 6_329_609
    assert count(moco_of(published).encoder_q) == count(moco_of(published).encoder_k) == 1_319_936
    state = published.state_dict()
    assert len(state) == 584
    assert sum(key.startswith("E.E.encoder_q.") for key in state) == 58
    shapes = {
        "R.body.4.body.4.dgm2.dcn.conv_offset_mask.weight": (27, 128, 3, 3),
        "R.body.0.body.0.dgm1.dcn.weight": (64, 64, 3, 3),
        "R.body.0.body.0.dgm1.sft.conv_gamma.2.weight": (64, 64, 1, 1),
        "R.body.3.body.5.weight": (64, 64, 3, 3),
        "R.body.5.bias": (64,),
        "R.tail.0.weight": (3, 64, 3, 3),
        "E.E.queue": (256, 512),
        "E.E.queue_ptr": (1,),
        "E.E.encoder_q.E_pre.shortcut.0.weight": (64, 3, 1, 1),
        "E.E.encoder_k.E.1.backbone.4.running_var": (256,),
        "E.E.encoder_k.mlp.2.bias": (256,),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert count(published.served()) == 6_329_609 - 3 * 64  # a norm's two become one bias


def test_the_network_is_what_a_plain_reading_of_the_paper_computes() -> None:
    config = dataclasses.replace(SMALL_AIRNET, groups=2, blocks=2, unshuffle=1, image_residual=False)
    network = drawn_airnet(config)
    picture = draw(2, 3, 13, 17)
    with torch.no_grad():
        expected = restore_plainly(network.state_dict(), picture, config)
        torch.testing.assert_close(network.restore(picture), expected, atol=2e-5, rtol=1e-4)
    assert expected.std() > 0.01


def restore_plainly(state: State, picture: Tensor, config: AirnetConfig) -> Tensor:
    """The published formulation by names of keys alone."""

    def conv(x: Tensor, key: str) -> Tensor:
        weight = state[f"{key}.weight"]
        return F.conv2d(x, weight, state.get(f"{key}.bias"), padding=weight.shape[-1] // 2)

    def norm(x: Tensor, key: str) -> Tensor:
        mean, var, gain, bias = (state[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, gain, bias)

    def encode(x: Tensor, key: str) -> Tensor:
        out = F.leaky_relu(norm(conv(x, f"{key}.backbone.0"), f"{key}.backbone.1"), 0.1)
        out = norm(conv(out, f"{key}.backbone.3"), f"{key}.backbone.4")
        return F.leaky_relu(out + norm(conv(x, f"{key}.shortcut.0"), f"{key}.shortcut.1"), 0.1)

    def guide(x: Tensor, key: str) -> Tensor:
        told = conv(torch.cat([x, inter], 1), f"{key}.dcn.conv_offset_mask")
        bent = deform_plainly(x, told[:, :18], told[:, 18:].sigmoid(), state[f"{key}.dcn.weight"])
        gamma, beta = (
            conv(F.leaky_relu(conv(inter, f"{key}.sft.conv_{one}.0"), 0.1), f"{key}.sft.conv_{one}.2")
            for one in ("gamma", "beta")
        )
        return x + bent + x * gamma + beta

    inter = encode(picture, "E.E.encoder_q.E_pre")
    head = out = conv(picture, "R.head.0")
    for group in (f"R.body.{g}.body" for g in range(config.groups)):
        before = out
        for block in (f"{group}.{b}" for b in range(config.blocks)):
            x = F.leaky_relu(guide(out, f"{block}.dgm1"), 0.1)
            x = F.leaky_relu(conv(x, f"{block}.conv1"), 0.1)
            x = F.leaky_relu(guide(x, f"{block}.dgm2"), 0.1)
            out = out + conv(x, f"{block}.conv2")
        out = before + conv(out, f"{group}.{config.blocks}")
    return conv(head + conv(out, f"R.body.{config.groups}"), "R.tail.0")


def deform_plainly(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Nine bilinear samplings and a matrix; offsets (dy, dx) tap by tap."""
    height, width = x.shape[2:]
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    out = torch.zeros(len(x), len(weight), height, width)
    for tap in range(9):
        y = ys + tap // 3 - 1 + offset[:, 2 * tap]
        at = xs + tap % 3 - 1 + offset[:, 2 * tap + 1]
        grid = torch.stack([(2 * at + 1) / width - 1, (2 * y + 1) / height - 1], -1)
        sampled = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        out += torch.einsum("nchw,oc->nohw", sampled * mask[:, tap, None], weight[:, :, tap // 3, tap % 3])
    return out


def first_deformable(network: Airnet) -> DeformableConvolution:
    return next(module for module in network.modules() if isinstance(module, DeformableConvolution))


def test_a_fresh_network_deforms_nothing_and_halves_its_taps() -> None:
    module = first_deformable(Airnet(SMALL_AIRNET, batch=1))
    x, inter = draw(1, 8, 9, 9), draw(1, 8, 9, 9, seed=1)
    torch.testing.assert_close(module(x, inter), F.conv2d(x, module.weight, padding=1) / 2)


# What serves


@pytest.mark.parametrize("unshuffle", [1, 2, 4])
def test_the_served_form_says_the_same_without_norms_twin_and_queue(unshuffle: int) -> None:
    network = drawn_airnet(dataclasses.replace(SMALL_AIRNET, unshuffle=unshuffle))
    served = network.served()
    with torch.no_grad():
        torch.testing.assert_close(served(draw(2, 3, 20, 28)), network(draw(2, 3, 20, 28)), atol=1e-5, rtol=1e-5)
    assert served.served() is served
    assert not any("running" in key or "queue" in key or "encoder" in key for key in served.state_dict())


@pytest.mark.parametrize("unshuffle", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2), (13, 18)])
def test_any_size_is_restored(unshuffle: int, size: tuple[int, int]) -> None:
    network = drawn_airnet(dataclasses.replace(SMALL_AIRNET, unshuffle=unshuffle)).served()
    picture = draw(1, 3, *size)
    with torch.no_grad():
        found = network(picture)
        whole = network(padded(picture, unshuffle))
    assert found.shape == picture.shape
    assert found.dtype == torch.float32
    assert torch.equal(found, whole[..., : size[0], : size[1]])


def test_padding_mirrors_at_the_edge_as_often_as_needed() -> None:
    row = torch.tensor([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]])
    assert padded(row, 4)[0, 0].tolist() == [[1, 2, 3, 4, 5, 5, 4, 3]] * 4


def test_a_fresh_network_with_a_residual_changes_nothing() -> None:
    picture = draw(1, 3, 11, 14)
    with torch.no_grad():
        assert torch.equal(Airnet(SMALL_AIRNET, batch=1)(picture), picture)


def test_a_map_that_is_known_is_not_made_again() -> None:
    network = drawn_airnet()
    picture = draw(1, 3, 16, 16)
    inter = network.map_degradation(network.unshuffled(picture))
    assert torch.equal(network.restore(picture, inter), network.restore(picture))
    assert not torch.equal(network.restore(picture, 0 * inter), network.restore(picture))


def test_half_precision_stays_near_full(tmp_path: Path) -> None:
    network = bring_airnet(tmp_path)
    picture = draw(1, 3, 40, 40)
    with torch.no_grad():
        full = network(picture)
        for dtype in (torch.bfloat16, torch.float16):
            half = catalog.load("airnet", weights_dir=tmp_path, dtype=dtype)(picture)
            assert (half - full).abs().max() < 0.02 * (full - picture).abs().max()


def test_the_card_of_brought_weights_tells_their_size_and_what_they_cost(tmp_path: Path) -> None:
    """Seven times the parameters at four times the places: the published network beside ours."""
    bring_airnet(tmp_path / "small", SMALL_AIRNET)
    bring_airnet(tmp_path / "full", AirnetConfig())
    small, full = (available(tmp_path / name)["airnet"] for name in ("small", "full"))
    network = drawn_airnet(SMALL_AIRNET).served()
    assert small.parameters == sum(one.numel() for one in network.parameters())
    assert small.cpu_s_per_mp == pytest.approx(AIRNET.cpu_s_per_mp * small.parameters / AIRNET.parameters)
    assert full.cpu_s_per_mp / AIRNET.cpu_s_per_mp == pytest.approx(25, abs=1)
    (tmp_path / "full" / "airnet.safetensors").write_bytes(b"no weights")
    assert available(tmp_path / "full")["airnet"] == AIRNET, "whoever loads them says what is wrong"


def test_weights_survive_their_file(tmp_path: Path) -> None:
    network = bring_airnet(tmp_path)
    loaded = catalog.load("airnet", weights_dir=tmp_path)
    assert loaded.config == network.config
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in network.state_dict().items())


def test_a_fold_that_is_none_is_refused() -> None:
    with pytest.raises(WeightsError, match="unshuffle 3"):
        catalog.build("airnet", {"unshuffle": 3})


# Training


def test_contrast_puts_the_patch_of_the_same_picture_first() -> None:
    network = drawn_airnet().train()
    before = moco_of(network).queue.clone()
    logits, inter = network.contrast(draw(2, 3, 16, 20), draw(2, 3, 16, 20, seed=1))
    assert logits.shape == (2, 1 + 2 * KEYS_PER_PICTURE)
    assert inter.shape == (2, 8, 8, 10)
    assert logits.abs().max() <= 1 / 0.07 + 1e-4
    queue = moco_of(network).queue
    torch.testing.assert_close(queue[:, :2].norm(dim=0), torch.ones(2))
    assert torch.equal(queue[:, 2:], before[:, 2:])
    assert not torch.equal(queue[:, :2], before[:, :2])
    torch.autograd.backward(logits.sum())
    assert all(value.grad is None for value in moco_of(network).encoder_k.parameters())
    assert all(value.grad is not None for value in moco_of(network).encoder_q.parameters())


def test_the_first_logit_is_the_likeness_of_query_and_key() -> None:
    moco = moco_of(drawn_airnet())
    moco.encoder_k.load_state_dict(moco.encoder_q.state_dict())
    x = draw(3, 12, 16, 16)
    logits, _ = moco(x, x)
    torch.testing.assert_close(logits[:, 0], torch.full((3,), 1 / 0.07))


def test_the_twin_follows_slowly_and_only_in_training() -> None:
    moco = moco_of(drawn_airnet())
    moco.encoder_k.load_state_dict(moco.encoder_q.state_dict())
    with torch.no_grad():
        for value in moco.encoder_q.parameters():
            value.add_(1)
    apart = {key: value.clone() for key, value in moco.encoder_k.named_parameters()}
    moco(draw(2, 12, 8, 8), draw(2, 12, 8, 8))
    assert all(torch.equal(value, apart[key]) for key, value in moco.encoder_k.named_parameters())
    assert int(moco.queue_ptr) == 0
    moco.train()(draw(2, 12, 8, 8), draw(2, 12, 8, 8))
    for key, value in moco.encoder_k.named_parameters():
        torch.testing.assert_close(value, apart[key] + (1 - MOMENTUM))


def test_the_queue_goes_round() -> None:
    moco = Moco(Encoder(3, (8, 8, 8), 16), 16, batch=1)
    codes = F.normalize(draw(100, 16), dim=1)
    for _ in range(3):
        moco.enqueue(codes)
    assert int(moco.queue_ptr) == 300 - 256
    assert torch.equal(moco.queue[:, :44], codes[56:].T)
    assert torch.equal(moco.queue[:, 200:256], codes[:56].T)
    assert torch.equal(moco.queue[:, 44:100], codes[44:].T)


@pytest.mark.parametrize("reduced", [False, True])
def test_steps_lower_the_loss_also_in_bfloat16(reduced: bool) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL_AIRNET, unshuffle=1)
    network = channels_last(Airnet(config, batch=2))
    clean, key = draw(2, 3, 16, 16), draw(2, 3, 16, 16, seed=1)
    query = clean + 0.2 * torch.randn(clean.shape)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(15):
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            logits, inter = network.contrast(query, key)
            restored = network.restore(query, inter)
        contrast = F.cross_entropy(logits, torch.zeros(2, dtype=torch.long))
        loss = F.l1_loss(restored, clean) + 0.1 * contrast
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(F.l1_loss(restored, clean).item())
    assert losses[-1] < 0.9 * losses[0]
    assert first_deformable(network).conv_offset_mask.weight.abs().max() > 0, "the offsets learn too"


# Published checkpoints


def all_pth(network: Airnet) -> dict[str, Any]:
    """What All.pth holds: the whole state, with the queue of its five kinds."""
    return {**network.state_dict(), "E.E.queue": torch.zeros(256, 1280)}


@pytest.mark.parametrize("layout", ["bare", "net", "module"])
def test_the_published_file_converts_and_serves(layout: str, published: Airnet, tmp_path: Path) -> None:
    state = all_pth(published)
    content: dict[str, Any] = {"net": state} if layout == "net" else state
    content = {f"module.{key}": value for key, value in state.items()} if layout == "module" else content
    torch.save(content, tmp_path / "All.pth")
    assert convert.detect_kind([tmp_path / "All.pth"]) == "airnet"
    sha256 = convert.convert("airnet", [tmp_path / "All.pth"], tmp_path / "airnet.safetensors")
    found = weights.load(tmp_path / "airnet.safetensors", sha256)
    assert sum(value.numel() for value in found.state_dict.values()) == 6_329_417
    assert set(found.facts["converted_from"]) == {"All.pth"}
    loaded = catalog.load("airnet", weights_dir=tmp_path)
    assert loaded.config == AirnetConfig(contrast=False)
    with torch.no_grad():
        picture = draw(1, 3, 9, 11)
        torch.testing.assert_close(loaded(picture), published(picture), atol=1e-4, rtol=1e-4)


def test_what_serving_does_not_read_may_be_missing_or_of_any_length(published: Airnet) -> None:
    state = {key: value for key, value in all_pth(published).items() if "encoder_k" not in key}
    for queue in (torch.zeros(256, 256), torch.zeros(1), None):
        found = convert.airnet_weights([state | {"E.E.queue": queue}])
        assert found.config["contrast"] is False


def test_a_missing_an_extra_and_a_misshapen_key_are_named(published: Airnet) -> None:
    def convert_with(**changes: Any) -> None:
        state = all_pth(published) | changes
        convert.airnet_weights([{key: value for key, value in state.items() if value is not None}])

    with pytest.raises(WeightsError, match=r"lack R\.tail\.0\.bias"):
        convert_with(**{"R.tail.0.bias": None})
    with pytest.raises(WeightsError, match=r"hold R\.body\.6\.weight"):
        convert_with(**{"R.body.6.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"R\.tail\.0\.weight has shape \(3, 32, 3, 3\), wanted \(3, 64, 3, 3\)"):
        convert_with(**{"R.tail.0.weight": torch.zeros(3, 32, 3, 3)})
    with pytest.raises(WeightsError, match=r"E\.E\.encoder_q\.mlp\.2\.bias is str"):
        convert_with(**{"E.E.encoder_q.mlp.2.bias": "x"})
    with pytest.raises(WeightsError, match="net is list"):
        convert.airnet_weights([{"net": []}])
    with pytest.raises(WeightsError, match="seen 2"):
        convert.airnet_weights([{}, {}])
