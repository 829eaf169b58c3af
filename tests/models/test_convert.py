"""Published checkpoints, drawn here with exactly the keys and shapes of the published ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from models import catalog, convert, weights
from models.liif import Liif
from models.lut3d import Lut3D
from models.weights import WeightsError


def published_lut3d(folder: Path) -> tuple[list[Path], Lut3D]:
    torch.manual_seed(0)
    network = Lut3D()
    torch.nn.init.normal_(network.luts)
    tables = {str(k): {"LUT": network.luts.data[k]} for k in (2, 0, 1)}  # in no order, as published
    torch.save(tables, folder / "LUTs.pth")
    torch.save(network.classifier.state_dict(), folder / "classifier.pth")
    return [folder / "LUTs.pth", folder / "classifier.pth"], network


def published_liif(**changes: Any) -> tuple[dict[str, Any], Liif]:
    torch.manual_seed(0)
    network = Liif()
    state = dict(network.state_dict())
    for layer in ("sub_mean", "add_mean"):
        state |= {f"encoder.{layer}.weight": torch.zeros(3, 3, 1, 1), f"encoder.{layer}.bias": torch.zeros(3)}
    assert len(state) == 82
    args = {
        "encoder_spec": {"name": "edsr-baseline", "args": {"no_upsampling": True}},
        "imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [256, 256, 256, 256]}},
    }
    model = {"name": "liif", "args": args | changes, "sd": state}
    return {"model": model, "optimizer": {"name": "adam", "args": {"lr": 1e-4}, "sd": {}}, "epoch": 1000}, network


@pytest.mark.parametrize("turned", [False, True])
def test_the_published_3d_lut_converts_whatever_the_order_of_its_files_and_keys(tmp_path: Path, turned: bool) -> None:
    paths, network = published_lut3d(tmp_path)
    paths = paths[::-1] if turned else paths
    assert convert.detect_kind(paths) == "lut3d"
    sha256 = convert.convert("lut3d", paths, tmp_path / "lut3d.safetensors")
    found = weights.load(tmp_path / "lut3d.safetensors", sha256)
    assert set(found.facts["converted_from"]) == {"LUTs.pth", "classifier.pth"}
    loaded = catalog.load("lut3d", weights_dir=tmp_path)
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_the_published_liif_converts_and_leaves_its_mean_shift_behind(tmp_path: Path) -> None:
    checkpoint, network = published_liif()
    torch.save(checkpoint, tmp_path / "edsr-baseline-liif.pth")
    assert convert.detect_kind([tmp_path / "edsr-baseline-liif.pth"]) == "liif"
    convert.convert("liif", [tmp_path / "edsr-baseline-liif.pth"], tmp_path / "liif.safetensors")
    loaded = catalog.load("liif", weights_dir=tmp_path)
    assert not loaded.config.bilinear_base
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_a_liif_of_another_kind_is_refused_with_what_was_seen() -> None:
    other, _ = published_liif(encoder_spec={"name": "swinir", "args": {}})
    with pytest.raises(WeightsError, match="encoder 'swinir' is not served, only 'edsr-baseline', 'rdn'"):
        convert.liif_weights([other])
    without, _ = published_liif(cell_decode=False)
    with pytest.raises(WeightsError, match="trained without cell_decode"):
        convert.liif_weights([without])


def test_a_missing_an_extra_and_a_misshapen_key_are_named() -> None:
    def convert_with(**changes: Any) -> None:
        checkpoint, _ = published_liif()
        state = checkpoint["model"]["sd"] | changes
        checkpoint["model"]["sd"] = {key: value for key, value in state.items() if value is not None}
        convert.liif_weights([checkpoint])

    with pytest.raises(WeightsError, match=r"lack imnet\.layers\.4\.bias"):
        convert_with(**{"imnet.layers.4.bias": None})
    with pytest.raises(WeightsError, match=r"hold imnet\.layers\.10\.bias"):
        convert_with(**{"imnet.layers.10.bias": torch.zeros(3)})
    with pytest.raises(WeightsError, match=r"imnet\.layers\.8\.bias has shape \(4,\), wanted \(3,\)"):
        convert_with(**{"imnet.layers.8.bias": torch.zeros(4)})
    with pytest.raises(WeightsError, match=r"imnet\.layers\.8\.bias is str, wanted a tensor"):
        convert_with(**{"imnet.layers.8.bias": "zero"})


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"0": {"LUT": torch.zeros(3, 4, 4, 5)}}, r"basis table '0' has shape \(3, 4, 4, 5\)"),
        ({"0": {}}, "basis table '0' lacks LUT"),
        ({"0": {"LUT": torch.zeros(3, 2, 2, 2)}, "1": {"LUT": torch.zeros(3, 3, 3, 3)}}, "differ in shape"),
        ({"a": 1}, "neither file holds basis tables"),
    ],
)
def test_basis_tables_that_do_not_fit_are_refused_by_name(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        convert.lut3d_weights([tables, Lut3D().classifier.state_dict()])


def test_the_unpaired_predictor_is_refused_by_name() -> None:
    tables = {str(k): {"LUT": torch.zeros(3, 33, 33, 33)} for k in range(3)}
    with pytest.raises(WeightsError, match=r"lacks model\.16\.weight"):
        convert.lut3d_weights([tables, {"model.12.weight": torch.zeros(3, 128, 8, 8)}])
    with pytest.raises(WeightsError, match=r"two files, LUTs.pth and classifier.pth; seen 1"):
        convert.lut3d_weights([tables])


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.write_text, (self.mark, "code ran")


@pytest.mark.parametrize("by_torch", [False, True])
def test_a_pickle_with_code_is_refused_and_nothing_of_it_runs(tmp_path: Path, by_torch: bool) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pth"
    if by_torch:
        torch.save({"model": Trap(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"model": Trap(mark)}, protocol=2))
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        convert.detect_kind([path])
    assert not mark.exists()


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 cut", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "odd.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=r"odd\.pth"):
        convert.read_checkpoint(tmp_path / "odd.pth")


def test_unknown_kinds_and_unknown_contents_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="known are airnet, liif, lut3d"):
        convert.convert("restormer", [], tmp_path / "x")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="known are airnet, liif, lut3d"):
        convert.detect_kind([tmp_path / "other.pth"])
    with pytest.raises(WeightsError, match=r"gone\.pth is missing"):
        convert.read_checkpoint(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match=r"lacks model"):
        convert.liif_weights([{"model": 3}])
