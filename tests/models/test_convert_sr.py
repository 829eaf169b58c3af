"""Published super-resolution checkpoints (SRResNet, SRGAN, LIIF with RDN), drawn with exactly their keys and shapes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import catalog, convert, weights
from models.cards import CARDS, LIIF_RDN, available
from models.contract import Axis, View
from models.liif import Liif, LiifConfig
from models.weights import WeightsError
from service import cli
from workers.engine.engine import Engine
from workers.operations.choice import served_models
from workers.pictures.imageio import Picture

State = dict[str, Any]


def late_state() -> State:
    """Keys and shapes of the late port's generator, written out here and not asked of our network."""
    torch.manual_seed(0)
    state: State = conv("conv1.0", 64, 3, 9) | prelu("conv1.1")
    for i in range(16):
        at = f"trunk.{i}.rcb"
        state |= conv(f"{at}.0", 64, 64, 3, bias=False) | norm(f"{at}.1") | prelu(f"{at}.2")
        state |= conv(f"{at}.3", 64, 64, 3, bias=False) | norm(f"{at}.4")
    state |= conv("conv2.0", 64, 64, 3, bias=False) | norm("conv2.1")
    for i in range(2):
        state |= conv(f"upsampling.{i}.upsample_block.0", 256, 64, 3) | prelu(f"upsampling.{i}.upsample_block.2")
    return state | conv("conv3", 3, 64, 9)


def early_state() -> State:
    """The same under the names of the early port, in its order."""
    state: State = conv("convolutional_block1.0", 64, 3, 9) | prelu("convolutional_block1.1")
    late = late_state()
    for i in range(16):
        for j in range(5):
            state |= under(late, f"trunk.{i}.rcb.{j}", f"res_trunk.{i}.rc_block.{j}")
    state |= under(late, "conv1", "convolutional_block1") | under(late, "conv2", "convolutional_block2")
    for i, j, k in ((0, 0, 0), (0, 2, 2), (1, 0, 3), (1, 2, 5)):
        state |= under(late, f"upsampling.{i}.upsample_block.{j}", f"upsampling.{k}")
    return state | under(late, "conv3", "convolutional_block3")


def conv(name: str, outputs: int, inputs: int, side: int, bias: bool = True) -> State:
    weight = torch.randn(outputs, inputs, side, side) / side / inputs**0.5
    return {f"{name}.weight": weight} | ({f"{name}.bias": torch.randn(outputs) / 10} if bias else {})


def prelu(name: str) -> State:
    return {f"{name}.weight": torch.tensor([0.25])}


def norm(name: str) -> State:
    values = {"weight": torch.rand(64) / 5, "bias": torch.randn(64) / 10}
    seen = {"running_mean": torch.randn(64) / 10, "running_var": torch.rand(64) + 0.5}
    return {f"{name}.{key}": value for key, value in (values | seen).items()} | {
        f"{name}.num_batches_tracked": torch.tensor(400_000)
    }


def under(state: State, old: str, new: str) -> State:
    return {new + key[len(old) :]: value for key, value in state.items() if key.startswith(f"{old}.")}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def late_file(state: State) -> State:
    moments = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}
    return {"epoch": 18, "psnr": 32.1, "ssim": 0.89, "state_dict": state, "optimizer": moments, "scheduler": None}


def wrapped(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


LAYOUTS: dict[str, Callable[[], Any]] = {
    "bare early": early_state,
    "bare late": late_state,
    "late": lambda: late_file(late_state()),
    "compiled": lambda: late_file(wrapped(late_state(), "_orig_mod.")),
    "several GPUs": lambda: wrapped(early_state(), "module."),
    "average alone": lambda: {
        "epoch": 3,
        "ema_state_dict": wrapped(late_state(), "module._orig_mod.") | {"n_averaged": torch.tensor(9)},
    },
    "average beside": lambda: late_file(late_state()) | {"ema_state_dict": {"n_averaged": torch.tensor(9)}},
}


def plain_forward(state: State, lr: Tensor) -> Tensor:
    """The published network, layer by layer from its own keys."""

    def convolve(x: Tensor, at: str) -> Tensor:
        weight = state[f"{at}.weight"]
        return nn.functional.conv2d(x, weight, state.get(f"{at}.bias"), padding=weight.shape[-1] // 2)

    def normed(x: Tensor, at: str) -> Tensor:
        mean, var = state[f"{at}.running_mean"], state[f"{at}.running_var"]
        return nn.functional.batch_norm(x, mean, var, state[f"{at}.weight"], state[f"{at}.bias"])

    def activated(x: Tensor, at: str) -> Tensor:
        return nn.functional.prelu(x, state[f"{at}.weight"])

    head = x = activated(convolve(lr, "conv1.0"), "conv1.1")
    for i in range(16):
        at = f"trunk.{i}.rcb"
        inner = activated(normed(convolve(x, f"{at}.0"), f"{at}.1"), f"{at}.2")
        x = x + normed(convolve(inner, f"{at}.3"), f"{at}.4")
    x = head + normed(convolve(x, "conv2.0"), "conv2.1")
    for i in range(2):
        at = f"upsampling.{i}.upsample_block"
        x = activated(nn.functional.pixel_shuffle(convolve(x, f"{at}.0"), 2), f"{at}.2")
    return convolve(x, "conv3")


def whole(size: tuple[int, int], scale: int) -> View:
    return View(*(Axis(0, scale * side, scale * side, side, 0) for side in size))


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_published_layout_of_the_generator_converts_and_serves_the_published_function(
    tmp_path: Path, layout: str
) -> None:
    path = saved(tmp_path / "SRResNet_x4.pth.tar", LAYOUTS[layout]())
    assert convert.detect_kind([path]) == "srresnet"
    sha256 = convert.convert("srresnet", [path], tmp_path / "srresnet.safetensors")
    assert len(weights.load(tmp_path / "srresnet.safetensors", sha256).state_dict) == 225
    served = catalog.load("srresnet", weights_dir=tmp_path)
    lr = torch.rand(1, 3, 8, 9)
    wanted = plain_forward(late_state(), lr)[0]
    assert wanted.std() > 0.1
    assert (served(lr, [whole((8, 9), 4)])[0] - wanted).abs().max() < 1e-5


def test_a_file_is_taken_for_srgan_where_its_name_or_the_user_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "SRGAN_x4.pth.tar", late_file(late_state()))
    assert convert.detect_kind([path]) == "srgan"
    convert.convert("srgan", [path], tmp_path / "srgan.safetensors")
    assert weights.load(tmp_path / "srgan.safetensors").network == "srgan"
    assert catalog.load("srgan", weights_dir=tmp_path).config.scale == 4


def without(key: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("change", "early_words", "late_words"),
    [
        (
            lambda state, name: without(name)(state),
            r"lack res_trunk\.3\.rc_block\.4\.running_var",
            r"lack trunk\.3\.rcb\.4\.running_var",
        ),
        (
            lambda state, name: state | {"bonus.weight": torch.zeros(1)},
            r"hold bonus\.weight, which the network does not have",
            r"hold bonus\.weight, which the network does not have",
        ),
        (
            lambda state, name: state | {name: torch.zeros(65)},
            r"res_trunk\.3\.rc_block\.4\.running_var has shape \(65,\), wanted \(64,\)",
            r": trunk\.3\.rcb\.4\.running_var has shape \(65,\), wanted \(64,\)",
        ),
        (
            lambda state, name: state | {name: [1.0]},
            r"res_trunk\.3\.rc_block\.4\.running_var is list, wanted a tensor",
            r": trunk\.3\.rcb\.4\.running_var is list, wanted a tensor",
        ),
    ],
)
def test_a_missing_an_extra_and_a_misshapen_key_are_named_in_the_words_of_the_file(
    tmp_path: Path, late: bool, change: Callable[[State, str], State], early_words: str, late_words: str
) -> None:
    name = "trunk.3.rcb.4.running_var" if late else "res_trunk.3.rc_block.4.running_var"
    state = change(late_state() if late else early_state(), name)
    path = saved(tmp_path / "x.pth", late_file(state) if late else state)
    with pytest.raises(WeightsError, match=late_words if late else early_words):
        convert.convert("srresnet", [path], tmp_path / "srresnet.safetensors")
    assert not (tmp_path / "srresnet.safetensors").exists()


def test_other_networks_of_the_family_are_not_taken_for_this_one(tmp_path: Path) -> None:
    without_norms = conv("conv_first", 64, 3, 3) | conv("body.0.conv1", 64, 64, 3)
    with pytest.raises(WeightsError, match="known are airnet, liif, lut3d, span, srgan, srresnet"):
        convert.detect_kind([saved(tmp_path / "MSRResNet.pth", {"params": without_norms})])
    with pytest.raises(WeightsError, match=r"hold features\.0\.weight|lack conv1\.0\.bias"):
        convert.srresnet_weights("srgan", [conv("features.0", 64, 3, 3)])
    with pytest.raises(WeightsError, match=r"lack upsampling\.1\.upsample_block\.0\.bias"):
        x2 = {key: value for key, value in late_state().items() if not key.startswith("upsampling.1.")}
        convert.srresnet_weights("srresnet", [x2])
    with pytest.raises(WeightsError, match="one file; seen 2"):
        convert.srresnet_weights("srresnet", [late_state(), late_state()])
    with pytest.raises(WeightsError, match="state_dict is int"):
        convert.srresnet_weights("srresnet", [{"state_dict": 3}])
    with pytest.raises(WeightsError, match="checkpoint is list"):
        convert.srresnet_weights("srresnet", [[1, 2]])


def rdn_state() -> State:
    """The 306 entries of the published LIIF with RDN, written out."""
    torch.manual_seed(1)
    state: State = conv("encoder.SFENet1", 64, 3, 3) | conv("encoder.SFENet2", 64, 64, 3)
    for i in range(16):
        for j in range(8):
            state |= conv(f"encoder.RDBs.{i}.convs.{j}.conv.0", 64, 64 * (1 + j), 3)
        state |= conv(f"encoder.RDBs.{i}.LFF", 64, 576, 1)
    state |= conv("encoder.GFF.0", 64, 1024, 1) | conv("encoder.GFF.1", 64, 64, 3)
    for layer, (outputs, inputs) in zip((0, 2, 4, 6, 8), ((256, 580), *[(256, 256)] * 3, (3, 256)), strict=True):
        state[f"imnet.layers.{layer}.weight"] = torch.randn(outputs, inputs) / inputs**0.5
        state[f"imnet.layers.{layer}.bias"] = torch.randn(outputs) / 10
    return state


def published_rdn(state: State) -> State:
    args = {
        "encoder_spec": {"name": "rdn", "args": {"no_upsampling": True}},
        "imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [256, 256, 256, 256]}},
    }
    moments = {"state": {0: {"step": 9, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    return {
        "model": {"name": "liif", "args": args, "sd": state},
        "optimizer": {"name": "adam", "args": {"lr": 1e-4}, "sd": moments},
        "epoch": 1000,
    }


@torch.no_grad()
def test_the_published_liif_with_rdn_converts_and_runs(tmp_path: Path) -> None:
    state = rdn_state()
    assert len(state) == 306
    assert sum(value.numel() for value in state.values()) == 22_320_835
    path = saved(tmp_path / "rdn-liif.pth", published_rdn(state))
    assert convert.detect_kind([path]) == "liif"
    convert.convert("liif", [path], tmp_path / "liif-rdn.safetensors")
    served = catalog.load("liif-rdn", weights_dir=tmp_path)
    assert served.config == LiifConfig(encoder="rdn")
    assert all(torch.equal(served.state_dict()[key], value) for key, value in state.items())
    (sr,) = served(torch.rand(1, 3, 6, 7), [View(Axis(0, 15, 15, 6, 0), Axis(0, 20, 20, 7, 0))])
    assert sr.shape == (3, 15, 20)
    assert torch.isfinite(sr).all()
    assert sr.std() > 0


def test_what_is_wrong_with_a_liif_with_rdn_is_named() -> None:
    state = rdn_state()
    with pytest.raises(WeightsError, match=r"weights for liif-rdn lack encoder\.RDBs\.15\.LFF\.bias"):
        convert.liif_weights([published_rdn(without("encoder.RDBs.15.LFF.bias")(state))])
    with pytest.raises(WeightsError, match=r"hold encoder\.UPNet\.0\.weight"):
        convert.liif_weights([published_rdn(state | {"encoder.UPNet.0.weight": torch.zeros(1)})])
    with pytest.raises(WeightsError, match=r"encoder\.GFF\.0\.weight has shape \(64, 960, 1, 1\)"):
        convert.liif_weights([published_rdn(state | {"encoder.GFF.0.weight": torch.zeros(64, 960, 1, 1)})])
    with pytest.raises(TypeError, match="no encoder 'swinir', known are edsr-baseline, rdn"):
        Liif(LiifConfig(encoder="swinir"))


class Trap:
    """Makes a folder when it is unpickled: by the shell, or by a function of Python's own."""

    def __init__(self, mark: Path, by_shell: bool) -> None:
        self.mark, self.by_shell = mark, by_shell

    def __reduce__(self) -> Any:
        return (os.system, (f"mkdir {self.mark}",)) if self.by_shell else (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("by_shell", [False, True])
@pytest.mark.parametrize("kind", ["srresnet", "srgan", "liif"])
@pytest.mark.parametrize("legacy", [False, True])
def test_code_between_the_tensors_is_named_and_never_runs(
    tmp_path: Path, kind: str, by_shell: bool, legacy: bool
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pth.tar"
    trap = Trap(mark, by_shell)
    content = published_rdn({"x": trap}) if kind == "liif" else late_file({"conv1.0.weight": trap})
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    said = r"evil\.pth\.tar holds posix\.(system|mkdir) where only tensors may be, and was not opened"
    with pytest.raises(WeightsError, match=said):
        convert.convert(kind, [path], tmp_path / "out.safetensors")
    with pytest.raises(WeightsError, match=said):
        convert.detect_kind([path])
    assert not mark.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_the_trap_is_a_real_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "mark", by_shell=True)))
    assert (tmp_path / "mark").is_dir()


def test_a_model_whose_card_waits_for_weights_is_there_with_those_of_the_user(tmp_path: Path) -> None:
    assert "liif-rdn" not in available()
    with pytest.raises(WeightsError, match="no model 'liif-rdn', known are"):
        catalog.load("liif-rdn", weights_dir=tmp_path)
    convert.convert("liif", [saved(tmp_path / "x.pth", published_rdn(rdn_state()))], tmp_path / "liif-rdn.safetensors")
    assert available(tmp_path)["liif-rdn"].title == LIIF_RDN.title
    assert set(available(tmp_path)) - {"liif-rdn"} == set(CARDS)


def test_a_converted_file_is_served_by_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "SRResNet.pth", early_state())
    assert cli.main(["convert", str(path), "-o", str(tmp_path / "srresnet.safetensors")]) == 0
    assert "srresnet" in served_models((), tmp_path)
    assert "srresnet" not in served_models(("liif",), tmp_path)
    engine = Engine(device="cpu", precision="fp32", weights_dir=tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    picture = Picture(pixels=pixels, alpha=None, icc=None, exif=None, format="png", lossy=False)
    large = engine.upscale(picture, model="srresnet", height=32, width=36, tick=lambda done, total: None)
    assert large.pixels.shape == (32, 36, 3)
    assert large.pixels.std() > 1
