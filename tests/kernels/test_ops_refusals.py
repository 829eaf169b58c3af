"""Bad input: each op refuses it with a ValueError that says what was seen and what is wanted, traced or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from kernels import ops
from kernels.library import modulated_mlp, modulated_mlp_predict, resample
from kernels.reference import naf_block as naf_reference

NAN, INF = float("nan"), float("inf")
LUTRA = torch.ops.lutra

CODES, LUT = torch.zeros(4, 5, 3, dtype=torch.uint8), torch.zeros(3, 5, 5, 5)
FLOATS = torch.zeros(2, 3, 4, 4)
PAIRS = torch.zeros(65536, 36, dtype=torch.int8)
OFFSET, MASK, TAPS = torch.zeros(2, 18, 4, 4), torch.zeros(2, 9, 4, 4), torch.zeros(5, 3, 3, 3)


def rendered(**spoilt: Any) -> tuple[Any, ...]:
    """Arguments of `modulated_mlp` for 4 x 5 pixels and 2 x 7 samples, some of them replaced."""
    layers = [(16, 20), *[(16, 16)] * 5, (3, 16)]
    arguments: dict[str, Any] = {
        "modulations": torch.zeros(208, 4, 5),
        "base": torch.zeros(3, 2, 7),
        "row_floor": torch.zeros(2, dtype=torch.int64),
        "row_part": torch.zeros(2),
        "col_floor": torch.zeros(7, dtype=torch.int64),
        "col_part": torch.zeros(7),
        "cell": (1.0, 1.0),
        "weights": [torch.zeros(layer) for layer in layers],
        "biases": [torch.zeros(layer[0]) for layer in layers],
    }
    *places, cell, weights, biases = (arguments | spoilt).values()
    return *places, *cell, weights, biases


LAYERS, BIASES = rendered()[-2:]


def predicted(**spoilt: Any) -> tuple[Any, ...]:
    """Arguments of `modulated_mlp_predict` for 4 pixels with 2 x 3 slots, some of them replaced."""
    shapes = {"modulations": (192, 4), "here": (16, 4), "rows": (2, 4), "cols": (3, 4), "way": (16, 2)}
    hidden = {"hidden": (5, 16, 16), "hidden_bias": (5, 16), "last": (3, 16), "last_bias": (3,)}
    arguments = {name: torch.zeros(shape) for name, shape in (shapes | hidden).items()}
    return tuple((arguments | spoilt).values())


ABOVE = torch.zeros(3, 2, 3, 4)

PLANES, FIRST, WEIGHT = torch.zeros(2, 5, 6), torch.tensor([0, 2]), torch.zeros(2, 4)


def resampled(**spoilt: Tensor) -> tuple[Tensor, ...]:
    """Arguments of `resample` for planes of 5 x 6 pixels and 2 x 2 samples of 3 x 4 taps, some of them replaced."""
    axes = {"row_first": FIRST, "row_weight": WEIGHT[:, :3], "col_first": FIRST, "col_weight": WEIGHT}
    return tuple(({"planes": PLANES} | axes | spoilt).values())


def blocked(**spoilt: Tensor) -> tuple[Any, ...]:
    """Arguments of `naf_block` for two pictures of 16 channels and 3 x 4 pixels, some of them replaced."""
    shapes = {"x": (2, 16, 3, 4), "scale": (2, 16), "shift": (2, 16), **naf_reference.layer_shapes(16)}
    x, scale, shift, *layers = ({name: torch.zeros(shape) for name, shape in shapes.items()} | spoilt).values()
    return x, scale, shift, layers


# Seen in shapes, types and places: refused where values are traced too.
REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("lut3d_apply", (CODES[0], LUT), "picture has shape (5, 3), wanted (height, width, 3) or (N, height, width, 3)"),
    ("lut3d_apply", (torch.zeros(4, 4, 4, dtype=torch.uint8), LUT), "picture has shape (4, 4, 4)"),
    ("lut3d_apply", (CODES.float(), LUT), "picture is torch.float32, wanted torch.uint8 or torch.uint16"),
    ("lut3d_apply", (CODES.to(torch.int16), LUT), "picture is torch.int16"),
    ("lut3d_apply", (CODES, torch.zeros(3, 5, 5, 4)), "lut has shape (3, 5, 5, 4), wanted (3, D, D, D)"),
    ("lut3d_apply", (CODES, torch.zeros(4, 5, 5, 5)), "lut has shape (4, 5, 5, 5)"),
    ("lut3d_apply", (CODES, torch.zeros(5)), "lut has shape (5,)"),
    ("lut3d_apply", (CODES, torch.zeros(1, 3, 5, 5, 5)), "lut has shape (1, 3, 5, 5, 5), wanted (3, D, D, D)"),
    ("lut3d_apply", (CODES[None], torch.zeros(2, 3, 5, 5, 5)), "wanted (3, D, D, D) or (1, 3, D, D, D)"),
    ("lut3d_apply", (CODES, torch.zeros(3, 1, 1, 1)), "lut has shape (3, 1, 1, 1), wanted (3, D, D, D) with D from 2"),
    ("lut3d_apply", (CODES, torch.zeros(3, 0, 0, 0)), "with D from 2 to 129"),
    ("lut3d_apply", (CODES, torch.zeros(1, 1, 1, 1).expand(3, 130, 130, 130)), "with D from 2 to 129"),
    ("lut3d_apply", (CODES, LUT.int()), "lut is torch.int32, wanted a floating type"),
    ("lut3d_apply", (CODES, LUT.to(torch.complex64)), "lut is torch.complex64, wanted a floating type"),
    ("lut3d", (FLOATS[0], LUT), "picture has shape (3, 4, 4), wanted (N, 3, H, W)"),
    ("lut3d", (torch.zeros(2, 4, 4, 3), LUT), "picture has shape (2, 4, 4, 3)"),
    ("lut3d", (FLOATS, LUT.double()), "picture is torch.float32 and lut is torch.float64, wanted one of"),
    ("lut3d", (FLOATS.half(), LUT.half()), "picture is torch.float16 and lut is torch.float16"),
    ("lut3d", (FLOATS.bfloat16(), LUT.bfloat16()), "wanted one of torch.float32 or torch.float64 for both"),
    ("lut3d", (FLOATS.int(), LUT.int()), "picture is torch.int32"),
    ("lut3d", (FLOATS, torch.zeros(3, 3, 5, 5, 5)), "wanted (3, D, D, D) or (2, 3, D, D, D)"),
    ("lut3d", (FLOATS, torch.zeros(3, 1, 1, 1)), "with D from 2 to 129"),
    ("lut3d_backward", (FLOATS[:1], FLOATS, LUT), "grad is (1, 3, 4, 4) of torch.float32, wanted (2, 3, 4, 4)"),
    ("lut3d_backward", (FLOATS.double(), FLOATS, LUT), "of torch.float64, wanted (2, 3, 4, 4) of torch.float32"),
    ("lut3d_backward", (FLOATS, FLOATS, torch.zeros(3, 5, 5, 4)), "lut has shape (3, 5, 5, 4)"),
    ("eclut", (CODES[None], PAIRS, 2, "lr"), "picture has shape (1, 4, 5, 3), wanted (height, width, 3)"),
    ("eclut", (CODES.to(torch.uint16), PAIRS, 2, "lr"), "picture is torch.uint16, wanted torch.uint8"),
    ("eclut", (CODES, PAIRS, 5, "lr"), "scale is 5, wanted one of (2, 3, 4)"),
    ("eclut", (CODES, PAIRS, 2, "up"), "step is 'up', wanted 'lr' or 'hr'"),
    ("eclut", (CODES, PAIRS[:257], 2, "lr"), "table is (257, 36) of torch.int8, wanted (65536, 36) of torch.int8"),
    ("eclut", (CODES, PAIRS, 3, "lr"), "wanted (65536, 81) of torch.int8 for step 'lr' at scale 3"),
    ("eclut", (CODES, PAIRS, 4, "hr"), "wanted (65536, 36) of torch.int16 for step 'hr' at scale 4"),
    ("area_mean", (CODES[0], 1, 1), "picture has shape (5, 3), wanted (height, width, channels)"),
    ("area_mean", (CODES[:0], 1, 1), "picture has shape (0, 5, 3), wanted (height, width, channels), none of them 0"),
    ("area_mean", (CODES.float(), 1, 1), "picture is torch.float32"),
    ("area_mean", (CODES, 5, 5), "size is 5x5, wanted from 1x1 to the picture's own, (4, 5)"),
    ("area_mean", (CODES, 0, 5), "size is 0x5, wanted from 1x1"),
    ("deform_conv2d", (FLOATS[0], OFFSET, MASK, TAPS), "x has shape (3, 4, 4), wanted (N, C, H, W)"),
    ("deform_conv2d", (FLOATS, OFFSET, MASK, TAPS[:, :2]), "weight has shape (5, 2, 3, 3), wanted (O, 3, 3, 3)"),
    ("deform_conv2d", (FLOATS, OFFSET, MASK, TAPS[..., 0]), "weight has shape (5, 3, 3), wanted (O, 3, 3, 3)"),
    ("deform_conv2d", (FLOATS, OFFSET, MASK, TAPS.double()), "x is torch.float32 and weight is torch.float64, wanted"),
    ("deform_conv2d", (FLOATS.half(), OFFSET, MASK, TAPS.half()), "x is torch.float16 and weight is torch.float16"),
    ("deform_conv2d", (FLOATS, MASK, MASK, TAPS), "offset has shape (2, 9, 4, 4), wanted (2, 18, 4, 4)"),
    ("deform_conv2d", (FLOATS, OFFSET, OFFSET, TAPS), "mask has shape (2, 18, 4, 4), wanted (2, 9, 4, 4)"),
    ("deform_conv2d", (FLOATS, OFFSET[:1], MASK, TAPS), "offset has shape (1, 18, 4, 4), wanted (2, 18, 4, 4)"),
    ("deform_conv2d", (FLOATS, OFFSET.bfloat16(), MASK, TAPS), "offset is torch.bfloat16, wanted torch.float32 as x"),
    ("deform_conv2d", (FLOATS, OFFSET, MASK.double(), TAPS), "mask is torch.float64, wanted torch.float32 as x"),
    ("deform_conv2d_backward", (FLOATS, FLOATS, OFFSET, MASK, TAPS), "grad is (2, 3, 4, 4) of torch.float32, wanted"),
    ("modulated_mlp", rendered(modulations=FLOATS), "modulations has shape (2, 3, 4, 4), wanted (208, h, w), none of"),
    (
        "modulated_mlp",
        rendered(modulations=torch.zeros(207, 4, 5)),
        "modulations has shape (207, 4, 5), wanted (208, h",
    ),
    (
        "modulated_mlp",
        rendered(modulations=torch.zeros(208, 0, 5)),
        "modulations has shape (208, 0, 5), wanted (208, h",
    ),
    (
        "modulated_mlp",
        rendered(modulations=torch.zeros(208, 4, 5).half()),
        "modulations is torch.float16, wanted torch",
    ),
    (
        "modulated_mlp",
        rendered(base=torch.zeros(3, 2, 6)),
        "base is (3, 2, 6) of torch.float32, wanted (3, 2, 7) of",
    ),
    (
        "modulated_mlp",
        rendered(base=torch.zeros(3, 2, 7).bfloat16()),
        "base is (3, 2, 7) of torch.bfloat16, wanted",
    ),
    (
        "modulated_mlp",
        rendered(row_floor=torch.zeros(2)),
        "row_floor is (2,) of torch.float32, wanted (2,) of torch.int64",
    ),
    ("modulated_mlp", rendered(row_floor=torch.zeros(2, 2).long()), "row_floor has shape (2, 2), wanted (samples,)"),
    (
        "modulated_mlp",
        rendered(row_part=torch.zeros(3)),
        "row_part is (3,) of torch.float32, wanted (2,) of torch.float32",
    ),
    (
        "modulated_mlp",
        rendered(col_floor=torch.zeros(7).int()),
        "col_floor is (7,) of torch.int32, wanted (7,) of torch",
    ),
    ("modulated_mlp", rendered(col_part=torch.zeros(7).double()), "col_part is (7,) of torch.float64, wanted (7,) of"),
    ("modulated_mlp", rendered(weights=LAYERS[:6]), "there are 6 weights and 7 biases, wanted 7 of each"),
    ("modulated_mlp", rendered(biases=[]), "there are 7 weights and 0 biases, wanted 7 of each"),
    ("modulated_mlp", rendered(weights=LAYERS[::-1]), "weights[0] is (3, 16) of torch.float32, wanted (16, 20) of"),
    ("modulated_mlp", rendered(biases=[*BIASES[:6], BIASES[0]]), "biases[6] is (16,) of torch.float32, wanted (3,) of"),
    ("modulated_mlp", rendered(weights=[*LAYERS[:6], LAYERS[6].double()]), "weights[6] is (3, 16) of torch.float64"),
    *(
        ("modulated_mlp_predict", predicted(**spoilt), message)
        for spoilt, message in (
            ({"modulations": torch.zeros(208, 4)}, "modulations has shape (208, 4), wanted (192, P)"),
            ({"modulations": torch.zeros(192)}, "modulations has shape (192,), wanted (192, P)"),
            (
                {"modulations": torch.zeros(192, 4).bfloat16()},
                "modulations is torch.bfloat16, wanted torch.float32 or torch.float64",
            ),
            ({"here": torch.zeros(16, 5)}, "here is (16, 5) of torch.float32, wanted (16, 4) of torch.float32"),
            ({"here": torch.zeros(16, 4).double()}, "here is (16, 4) of torch.float64, wanted (16, 4) of"),
            ({"rows": torch.zeros(4)}, "rows has shape (4,), wanted (slots, 4)"),
            ({"cols": torch.zeros(3, 5)}, "cols is (3, 5) of torch.float32, wanted (3, 4) of"),
            ({"way": torch.zeros(2, 16)}, "way is (2, 16) of torch.float32, wanted (16, 2) of"),
            ({"hidden": torch.zeros(6, 16, 16)}, "hidden is (6, 16, 16) of torch.float32, wanted (5, 16, 16) of"),
            ({"last_bias": torch.zeros(4)}, "last_bias is (4,) of torch.float32, wanted (3,) of torch.float32"),
        )
    ),
    (
        "modulated_mlp_predict_backward",
        (ABOVE[1:], *predicted()),
        "grad is (2, 2, 3, 4) of torch.float32, wanted (3, 2,",
    ),
    ("modulated_mlp_predict_backward", (ABOVE.double(), *predicted()), "grad is (3, 2, 3, 4) of torch.float64, wanted"),
    (
        "modulated_mlp_predict_backward",
        (ABOVE, *predicted(way=BIASES[0])),
        "way is (16,) of torch.float32, wanted (16,",
    ),
    *(
        ("resample", resampled(**spoilt), message)
        for spoilt, message in (
            ({"planes": PLANES[0]}, "planes has shape (5, 6), wanted (C, h, w)"),
            ({"planes": PLANES.half()}, "planes is (2, 5, 6) of torch.float16, wanted (2, 5, 6) of torch.float32"),
            ({"planes": PLANES[:, :2]}, "row_weight has shape (2, 3), wanted (samples, taps) with taps from 1 to 2"),
            (
                {"col_weight": WEIGHT[:, :0]},
                "col_weight has shape (2, 0), wanted (samples, taps) with taps from 1 to 6",
            ),
            ({"col_weight": WEIGHT[0]}, "col_weight has shape (4,), wanted (samples, taps)"),
            ({"row_weight": WEIGHT.double()}, "row_weight is (2, 4) of torch.float64, wanted (2, 4) of torch.float32"),
            ({"row_first": FIRST.int()}, "row_first is (2,) of torch.int32, wanted (2,) of torch.int64"),
            ({"col_first": FIRST[:1]}, "col_first is (1,) of torch.int64, wanted (2,) of torch.int64"),
        )
    ),
    *(
        ("naf_block", blocked(**spoilt), message)
        for spoilt, message in (
            (
                {"x": torch.zeros(16, 3, 4)},
                "x has shape (16, 3, 4), wanted (N, C, h, w), none of them 0 and C a multiple",
            ),
            ({"x": torch.zeros(2, 16, 0, 4)}, "x has shape (2, 16, 0, 4), wanted (N, C, h, w), none of them 0"),
            ({"x": torch.zeros(2, 24, 3, 4)}, "x has shape (2, 24, 3, 4), wanted (N, C, h, w), none of them 0 and C a"),
            ({"x": torch.zeros(2, 16, 3, 4).half()}, "x is torch.float16, wanted torch.float32 or torch.bfloat16"),
            ({"scale": torch.zeros(1, 16)}, "scale is (1, 16) of torch.float32, wanted (2, 16) of torch.float32"),
            ({"shift": torch.zeros(2, 16).double()}, "shift is (2, 16) of torch.float64, wanted (2, 16) of"),
            (
                {"x": torch.zeros(2, 16, 3, 4).bfloat16()},
                "scale is (2, 16) of torch.float32, wanted (2, 16) of torch.b",
            ),
            ({"conv1": torch.zeros(16, 16, 1, 1)}, "conv1 is (16, 16, 1, 1) of torch.float32, wanted (32, 16, 1, 1)"),
            ({"conv2": torch.zeros(32, 16, 3, 3)}, "conv2 is (32, 16, 3, 3) of torch.float32, wanted (32, 1, 3, 3)"),
            ({"gamma": torch.zeros(16, 1, 1)}, "gamma is (16, 1, 1) of torch.float32, wanted (16,) of torch.float32"),
            ({"beta": torch.zeros(16).bfloat16()}, "beta is (16,) of torch.bfloat16, wanted (16,) of torch.float32"),
        )
    ),
    ("naf_block", (*blocked()[:3], blocked()[3][1:]), "there are 15 layers, wanted 16"),
    ("resample_codes", (CODES[0], *resampled()[1:]), "picture has shape (5, 3), wanted (height, width, channels)"),
    (
        "resample_codes",
        (CODES.float(), *resampled()[1:]),
        "picture is torch.float32, wanted torch.uint8 or torch.uint16",
    ),
    (
        "resample_codes",
        (CODES[:2], *resampled()[1:]),
        "row_weight has shape (2, 3), wanted (samples, taps) with taps from",
    ),
    ("resample_backward", (PLANES, *resampled()[1:], 5, 6), "grad has shape (2, 5, 6), wanted (C, 2, 2)"),
    ("resample_backward", (PLANES[0, :2, :2], *resampled()[1:], 5, 6), "grad has shape (2, 2), wanted (C, 2, 2)"),
    ("resample_backward", (PLANES[:, :2, :2], *resampled()[1:], 5, 3), "col_weight has shape (2, 4), wanted"),
]

MISPLACED: list[tuple[str, tuple[Any, ...], str]] = [
    ("lut3d_apply", (CODES, LUT.to("meta")), "picture is on cpu and lut on meta, wanted one device"),
    ("lut3d_apply", (CODES.to("meta"), LUT), "picture is on meta and lut on cpu"),
    ("lut3d", (FLOATS, LUT.to("meta")), "picture is on cpu and lut on meta"),
    ("lut3d_backward", (FLOATS.to("meta"), FLOATS, LUT), "picture is on cpu and grad on meta"),
    ("eclut", (CODES, PAIRS.to("meta"), 2, "lr"), "picture is on cpu and table on meta"),
    ("deform_conv2d", (FLOATS, OFFSET.to("meta"), MASK, TAPS), "x is on cpu and offset on meta"),
    ("deform_conv2d", (FLOATS, OFFSET, MASK, TAPS.to("meta")), "x is on cpu and weight on meta"),
    (
        "modulated_mlp",
        rendered(col_floor=torch.zeros(7).long().to("meta")),
        "modulations is on cpu and col_floor on meta",
    ),
    ("modulated_mlp", rendered(weights=[w.to("meta") for w in LAYERS]), "modulations is on cpu and weights[0] on meta"),
    ("modulated_mlp_predict", predicted(last=LAYERS[6].to("meta")), "modulations is on cpu and last on meta"),
    ("modulated_mlp_predict_backward", (ABOVE.to("meta"), *predicted()), "modulations is on cpu and grad on meta"),
    ("naf_block", blocked(shift=torch.zeros(2, 16).to("meta")), "x is on cpu and shift on meta, wanted one device"),
    ("naf_block", blocked(conv5=torch.zeros(16, 16, 1, 1).to("meta")), "x is on cpu and conv5 on meta"),
    ("resample", resampled(col_first=FIRST.to("meta")), "planes is on cpu and col_first on meta, wanted one device"),
    (
        "resample_backward",
        (PLANES[:, :2, :2].to("meta"), *resampled()[1:], 5, 6),
        "grad is on meta and row_first on cpu",
    ),
    ("lut3d_apply", (CODES.to_sparse(), LUT), "picture is torch.sparse_coo, wanted torch.strided"),
    ("lut3d", (FLOATS, LUT.to_sparse()), "lut is torch.sparse_coo, wanted torch.strided"),
]

# Seen in values.
SPOILT = [
    (torch.full((3, 2, 2, 2), NAN), "lut holds values from nan to nan, wanted finite ones within 2**100 of 0"),
    (torch.tensor([0.0, INF]).expand(3, 2, 2, 2), "lut holds values from 0.0 to inf"),
    (torch.tensor([0.0, -INF]).expand(3, 2, 2, 2), "lut holds values from -inf to 0.0"),
    (torch.tensor([0.0, 1e31]).expand(3, 2, 2, 2), "lut holds values from 0.0 to 9.99"),
    (torch.tensor([0.0, 1e300], dtype=torch.float64).expand(3, 2, 2, 2), "lut holds values from 0.0 to inf"),
]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED + MISPLACED)
def test_an_op_says_what_it_saw_and_what_it_wants(name: str, arguments: tuple[Any, ...], message: str) -> None:
    calls: list[Callable[..., Any]] = [getattr(LUTRA, name)]
    if name == "modulated_mlp":
        calls.append(lambda *flat: ops.modulated_mlp(*modulated_mlp.grouped(*flat)))
    elif name == "modulated_mlp_predict":
        calls.append(lambda *flat: ops.modulated_mlp_predict(*modulated_mlp_predict.grouped(*flat)))
    elif name in ("resample", "resample_codes"):
        calls.append(lambda *flat: getattr(ops, name)(*resample.grouped(*flat)))
    elif hasattr(ops, name):
        calls.append(getattr(ops, name))
    for call in calls:
        with pytest.raises(ValueError, match=re.escape(message)):
            call(*arguments)


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_an_op_says_the_same_when_it_is_traced(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with FakeTensorMode() as mode:
        traced = tree_map_only(Tensor, mode.from_tensor, list(arguments))
        with pytest.raises(ValueError, match=re.escape(message)):
            getattr(LUTRA, name)(*traced)


@pytest.mark.parametrize(("lut", "message"), SPOILT)
def test_tables_that_are_not_finite_are_refused(lut: Tensor, message: str, implementation: None, device: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.lut3d_apply(CODES.to(device), lut.to(device))
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.lut3d_apply(CODES[None].to(device), lut[None].to(device))


@pytest.mark.parametrize(
    ("axis", "first", "message"),
    [
        ("row", [0, 3], "row_first holds values from 0 to 3, wanted 0 to 2, ascending"),
        ("row", [-1, 2], "row_first holds values from -1 to 2, wanted 0 to 2, ascending"),
        ("col", [1, 0], "col_first holds values from 0 to 1, wanted 0 to 2, ascending"),
        ("col", [0, 1 << 40], "col_first holds values from 0 to 1099511627776, wanted 0 to 2, ascending"),
    ],
)
def test_places_beyond_the_planes_are_refused(
    axis: str, first: list[int], message: str, implementation: None, device: str
) -> None:
    arguments = [one.to(device) for one in resampled(**{f"{axis}_first": torch.tensor(first)})]
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.resample(*resample.grouped(*arguments))
    with pytest.raises(ValueError, match=re.escape(message)):
        LUTRA.resample_backward(arguments[0][:, :2, :2], *arguments[1:], 5, 6)
    picture = torch.zeros(5, 6, 3, dtype=torch.uint8, device=device)
    with pytest.raises(ValueError, match=re.escape(message)):
        LUTRA.resample_codes(picture, *arguments[1:])


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Tensor"):
        LUTRA.lut3d_apply(CODES.numpy(), LUT)
