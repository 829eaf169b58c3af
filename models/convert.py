"""Published checkpoints -> our weight files; what `lutra convert` calls, never part of loading a model.

They are opened as plain tensors in plain containers (`weights_only`): code in a pickle is refused, not run.
Sources: github.com/HuiZeng/Image-Adaptive-3DLUT (LUTs.pth and classifier.pth, paired), github.com/yinboc/liif (both
encoders), github.com/Lornatang/SRGAN-PyTorch (early and late), github.com/XLearning-SCU/2022-CVPR-AirNet (All.pth,
Denoise.pth, Derain.pth and Dehaze.pth) and github.com/hongyuanyu/SPAN; formats in the functions' texts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from models import span_published
from models import weights as weight_files
from models.airnet import Airnet
from models.liif import Liif, LiifConfig
from models.lut3d import Lut3D, Lut3DConfig
from models.span import Span, SpanConfig
from models.srresnet import Srresnet, SrresnetConfig
from models.weights import Weights, WeightsError

Content = Any  # what a checkpoint holds: containers of tensors, not yet trusted


def convert(kind: str, paths: Sequence[Path], out: Path) -> str:
    """Converts one published checkpoint (of one or two files), writes `out` in full precision, returns its sha256.

    Raises WeightsError naming what is wrong with the files.
    """
    if kind not in CONVERTERS:
        raise WeightsError(f"no checkpoint format {kind!r}, known are {', '.join(sorted(CONVERTERS))}")
    contents = [read_checkpoint(path) for path in paths]
    weights = CONVERTERS[kind](contents)
    sources = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    weights = dataclasses.replace(weights, facts={**weights.facts, "converted_from": sources})
    return weight_files.save(out, weights, torch.float32)


def detect_kind(paths: Sequence[Path]) -> str:
    """Which published format the files are, a key of CONVERTERS. Raises WeightsError when it is none.

    SRResNet and SRGAN are one network: a file is taken for SRGAN's where its name says so.
    """
    contents = [read_checkpoint(path) for path in paths]
    if any(_is_lut_file(content) for content in contents):
        return "lut3d"
    if any(_is_airnet(content) for content in contents):
        return "airnet"
    if any(isinstance(content, Mapping) and "model" in content for content in contents):
        return "liif"
    if any(span_published.is_span(content) for content in contents):
        return "span"
    if any(_is_generator(content) for content in contents):
        return "srgan" if any("gan" in path.name.lower() for path in paths) else "srresnet"
    raise WeightsError(f"not a checkpoint of a known format; known are {', '.join(sorted(CONVERTERS))}")


def read_checkpoint(path: Path) -> Content:
    """Tensors and plain containers of a .pth or .safetensors file.

    Raises WeightsError, without running anything, for all else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_tensors(path.read_bytes())
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"the checkpoint {path.name} is missing") from error
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        what = match[1] if match else "something"
        raise WeightsError(f"{path.name} holds {what} where only tensors may be, and was not opened") from error
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is not a sound safetensors file: {error}") from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise WeightsError(f"{path.name} is not a PyTorch checkpoint") from error


def lut3d_weights(contents: Sequence[Content]) -> Weights:
    """LUTs.pth {'0': {'LUT': (3,D,D,D)}, ...} in any order and classifier.pth {'model.1.weight': ...}, in any order."""
    if len(contents) != 2:
        raise WeightsError(
            f"the published 3D LUT comes in two files, LUTs.pth and classifier.pth; seen {len(contents)}"
        )
    tables, classifier = sorted(contents, key=_is_lut_file, reverse=True)
    luts = _basis_tables(tables)
    if not isinstance(classifier, Mapping) or "model.16.weight" not in classifier:
        raise WeightsError("classifier lacks model.16.weight: it is not the paired predictor")
    state = {f"classifier.{key}": value for key, value in classifier.items()} | {"luts": luts}
    config = Lut3DConfig(size=luts.shape[-1], tables=luts.shape[0])
    return _checked("lut3d", Lut3D(config), config, state)


def liif_weights(contents: Sequence[Content]) -> Weights:
    """{'model': {'name': 'liif', 'args': ..., 'sd': {...}}, 'optimizer': ..., 'epoch': ...}, with either encoder."""
    if len(contents) != 1:
        raise WeightsError(f"the published LIIF comes in one file; seen {len(contents)}")
    try:
        model = contents[0]["model"]
        state, encoder = dict(model["sd"]), model["args"]["encoder_spec"]["name"]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise WeightsError("checkpoint lacks model, model.sd or model.args.encoder_spec.name") from error
    if encoder not in LIIF_NETWORKS:
        raise WeightsError(f"encoder {encoder!r} is not served, only {', '.join(map(repr, LIIF_NETWORKS))}")
    for option in ("local_ensemble", "feat_unfold", "cell_decode"):
        if model["args"].get(option, True) is not True:
            raise WeightsError(f"checkpoint was trained without {option}, which is not served")
    kept = {key: value for key, value in state.items() if not key.startswith(MEAN_SHIFTS)}
    config = LiifConfig(encoder=encoder)
    return _checked(LIIF_NETWORKS[encoder], Liif(config), config, kept)


def srresnet_weights(name: str, contents: Sequence[Content]) -> Weights:
    """A bare state_dict as the early port saves it, or the late port's {'epoch': ..., 'state_dict': {...}, ...}.

    Keys may begin with what compiling, averaging or several GPUs put before them.
    """
    if len(contents) != 1:
        raise WeightsError(f"the published {name} comes in one file; seen {len(contents)}")
    state = _generator_state(contents[0])
    config = SrresnetConfig()
    return _checked(name, Srresnet(config), config, state, early_key if EARLY_MARK in state else str)


def airnet_weights(contents: Sequence[Content]) -> Weights:
    """A bare state_dict, or {'net': state_dict}, of the whole network at the published width; keys may begin with
    what several GPUs put before them. What serving does not need is left out: twin encoder, queue of any length.
    """
    if len(contents) != 1:
        raise WeightsError(f"the published AirNet comes in one file; seen {len(contents)}")
    network = Airnet()
    wanted, state = (
        {key: value for key, value in one.items() if not key.startswith(FOR_TRAINING)}
        for one in (network.state_dict(), _airnet_state(contents[0]))
    )
    _check_tensors("airnet", {key: tuple(value.shape) for key, value in wanted.items()}, state)
    network.load_state_dict(state, strict=False)  # strict but for what serving does not read
    kept = network.exported()
    return Weights("airnet", dataclasses.asdict(kept.config), kept.state_dict(), {})


def span_weights(contents: Sequence[Content]) -> Weights:
    """One state_dict for each factor, bare or under 'params_ema' or 'params', of either form of the convolutions.

    See `models.span_published`.
    """
    read = sorted(map(span_published.read, contents), key=lambda network: network.scale)
    networks = {network.scale: network for network in read}
    if len(networks) != len(contents):
        raise WeightsError("two of the files are SPAN of the same scale")
    channels = {network.channels for network in networks.values()}
    if len(channels) != 1:
        raise WeightsError(
            f"the files are SPAN of {' and '.join(map(str, sorted(channels)))} channels; one goes in a file"
        )
    config = SpanConfig(channels.pop(), tuple(networks))
    state = {f"of.x{scale}.{key}": value for scale, network in networks.items() for key, value in network.state.items()}
    return _checked("span", Span(config), config, state)


def early_key(key: str) -> str:
    """What the early port calls one of our keys: trunk.3.rcb.0.weight -> res_trunk.3.rc_block.0.weight."""
    doubling = re.match(r"upsampling\.(\d)\.upsample_block\.(\d)\.", key)
    if doubling:
        return f"upsampling.{3 * int(doubling[1]) + int(doubling[2])}.{key[doubling.end() :]}"
    for ours, theirs in (("trunk", "res_trunk"), (".rcb.", ".rc_block."), ("conv", "convolutional_block")):
        key = key.replace(ours, theirs)
    return key


MEAN_SHIFTS = ("encoder.sub_mean.", "encoder.add_mean.")  # stored, never used by the published code
LIIF_NETWORKS = {"edsr-baseline": "liif", "rdn": "liif-rdn"}
FOR_TRAINING = ("E.E.queue", "E.E.encoder_k.")
EARLY_MARK, LATE_MARK = "convolutional_block1.0.weight", "conv1.0.weight"
WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
CONVERTERS: dict[str, Callable[[Sequence[Content]], Weights]] = {
    "airnet": airnet_weights,
    "lut3d": lut3d_weights,
    "liif": liif_weights,
    "srresnet": partial(srresnet_weights, "srresnet"),
    "span": span_weights,
    "srgan": partial(srresnet_weights, "srgan"),
}


def _is_airnet(content: Content) -> bool:
    return isinstance(content, Mapping) and any(key.startswith(("R.", "E.E.")) for key in _airnet_state(content))


def _airnet_state(content: Content) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise WeightsError(f"checkpoint is {type(content).__name__}, wanted a state_dict")
    state = content.get("net", content)
    if not isinstance(state, Mapping):
        raise WeightsError(f"net is {type(state).__name__}, wanted a state_dict")
    return {WRAPPERS.sub("", str(key)): value for key, value in state.items()}


def _is_generator(content: Content) -> bool:
    return isinstance(content, Mapping) and not {EARLY_MARK, LATE_MARK}.isdisjoint(_generator_state(content))


def _generator_state(content: Content) -> dict[str, Any]:
    """The weights in a checkpoint of either port, under their bare names.

    Beside them may lie an average; it is not taken: the late port averages the wrong way round.
    """
    if not isinstance(content, Mapping):
        raise WeightsError(f"checkpoint is {type(content).__name__}, wanted a state_dict")
    state = next((content[key] for key in ("state_dict", "ema_state_dict") if key in content), content)
    if not isinstance(state, Mapping):
        raise WeightsError(f"state_dict is {type(state).__name__}, wanted named tensors")
    return {WRAPPERS.sub("", str(key)): value for key, value in state.items() if key != "n_averaged"}


def _is_lut_file(content: Content) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(str(key).isdigit() for key in content)


def _basis_tables(content: Content) -> Tensor:
    """The tables in the order of their names, (tables, 3, D, D, D)."""
    if not _is_lut_file(content):
        raise WeightsError("neither file holds basis tables under '0', '1', '2'")
    names = sorted(content, key=int)
    tables = []
    for name in names:
        entry = content[name]
        table = entry.get("LUT") if isinstance(entry, Mapping) else None
        if not isinstance(table, Tensor):
            raise WeightsError(f"basis table {name!r} lacks LUT")
        if table.dim() != 4 or table.shape[0] != 3 or len(set(table.shape[1:])) != 1:
            raise WeightsError(f"basis table {name!r} has shape {tuple(table.shape)}, wanted (3, D, D, D)")
        tables.append(table)
    if len({table.shape for table in tables}) != 1:
        raise WeightsError("the basis tables differ in shape")
    return torch.stack(tables)


def _checked(
    name: str, network: nn.Module, config: Any, state: Mapping[str, Any], spelt: Callable[[str], str] = str
) -> Weights:
    """`spelt` says what the file calls one of our keys; errors name keys as the file does."""
    keys = {key: spelt(key) for key in network.state_dict()}
    wanted = {keys[key]: tuple(value.shape) for key, value in network.state_dict().items()}
    _check_tensors(name, wanted, state)
    return Weights(name, dataclasses.asdict(config), {key: state[theirs] for key, theirs in keys.items()}, {})


def _check_tensors(name: str, wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, Any]) -> None:
    """Raises WeightsError naming the first key that is no tensor, missing, extra or misshapen."""
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"weights for {name}: {key} is {type(value).__name__}, wanted a tensor")
    weight_files.check_keys(wanted, state, name)
