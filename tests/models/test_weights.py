from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_tensors

from models import weights
from models.lut3d import Lut3D, Lut3DConfig
from models.weights import Weights, WeightsError

CONFIG = Lut3DConfig(size=5)


@pytest.fixture
def network() -> Lut3D:
    torch.manual_seed(0)
    return Lut3D(CONFIG)


def pack(network: Lut3D) -> Weights:
    return Weights("lut3d", dataclasses.asdict(CONFIG), network.state_dict(), {"seed": 0, "data": "none"})


def test_save_load_save_gives_the_same_bytes(network: Lut3D, tmp_path: Path) -> None:
    sha256 = weights.save(tmp_path / "a.safetensors", pack(network))
    found = weights.load(tmp_path / "a.safetensors", sha256)
    assert (found.network, found.config, found.facts) == (
        "lut3d",
        dataclasses.asdict(CONFIG),
        {"seed": 0, "data": "none"},
    )
    assert weights.save(tmp_path / "b.safetensors", found) == sha256
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_half_precision_keeps_eleven_bits_and_full_precision_all(network: Lut3D) -> None:
    for dtype, limit in ((torch.float16, 2.0**-11), (torch.float32, 0.0)):
        found = weights.parse(weights.dump(pack(network), dtype))
        for key, value in network.state_dict().items():
            assert found.state_dict[key].dtype == torch.float32
            assert ((found.state_dict[key] - value).abs() <= limit * value.abs() + 1e-7 * (limit > 0)).all()


def test_a_value_too_large_for_the_file_is_refused_by_name(network: Lut3D) -> None:
    network.luts.data[0] = 1e6
    with pytest.raises(WeightsError, match=r"luts holds values that torch.float16 cannot"):
        weights.dump(pack(network))


def test_a_file_that_is_not_the_one_on_the_card_is_refused(network: Lut3D, tmp_path: Path) -> None:
    sha256 = weights.save(tmp_path / "a.safetensors", pack(network))
    with pytest.raises(WeightsError, match=r"a\.safetensors has sha256 .*, its card says 000000000000"):
        weights.load(tmp_path / "a.safetensors", "0" * 64)
    data = bytearray((tmp_path / "a.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="has sha256"):
        weights.load(tmp_path / "a.safetensors", sha256)
    with pytest.raises(WeightsError, match=r"gone\.safetensors is missing"):
        weights.load(tmp_path / "gone.safetensors")


def test_a_missing_an_extra_and_a_misshapen_key_are_named(network: Lut3D) -> None:
    state = network.state_dict()
    missing = {key: value for key, value in state.items() if key != "classifier.model.4.bias"}
    with pytest.raises(WeightsError, match=r"weights for lut3d lack classifier\.model\.4\.bias"):
        weights.fill(network, missing, "lut3d")
    with pytest.raises(WeightsError, match=r"hold classifier\.model\.99\.bias, which the network does not have"):
        weights.fill(network, state | {"classifier.model.99.bias": torch.zeros(1)}, "lut3d")
    with pytest.raises(WeightsError, match=r"luts has shape \(3, 3, 4, 5, 5\), wanted \(3, 3, 5, 5, 5\)"):
        weights.fill(network, state | {"luts": torch.zeros(3, 3, 4, 5, 5)}, "lut3d")
    with pytest.raises(WeightsError, match="and 1 more"):
        weights.fill(network, {k: v for k, v in state.items() if "model.1." not in k}, "lut3d")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02}q\x00.",
        b"\xff" * 64,
        (2**40).to_bytes(8, "little") + b"{}",
        save_tensors({"a": torch.zeros(2)}),
        save_tensors({"a": torch.zeros(2)}, {"lutra": "not json"}),
        save_tensors(
            {"a": torch.zeros(2)}, {"lutra": json.dumps({"format": 9, "network": "x", "config": {}, "facts": {}})}
        ),
        save_tensors(
            {"a": torch.zeros(2)}, {"lutra": json.dumps({"format": 1, "network": "x", "config": 3, "facts": {}})}
        ),
    ],
)
def test_what_is_no_weight_file_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsError):
        weights.parse(data)


def test_a_cut_file_is_refused(network: Lut3D) -> None:
    data = weights.dump(pack(network))
    with pytest.raises(WeightsError):
        weights.parse(data[: len(data) // 2])
