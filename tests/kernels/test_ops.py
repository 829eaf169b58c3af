"""The doors: what they refuse and what they say, batches, tracing, gradients, and who serves.

Numbers are compared elsewhere; here a batch must give the bits of its pictures one by one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from kernels import cpu, ops
from kernels.library.modulated_mlp import grouped
from kernels.reference import lut3d as reference
from kernels.reference import lut3d_float as float_reference
from kernels.reference.lut3d import identity_lut

NAN, INF = float("nan"), float("inf")
LUTRA = torch.ops.lutra
CALLS = (
    *("lut3d_apply", "lut3d", "lut3d_backward", "eclut", "area_mean"),
    *("deform_conv2d", "deform_conv2d_backward", "modulated_mlp"),
)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


@pytest.fixture(params=["built", "reference"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "reference":
        monkeypatch.setattr(cpu, "why_missing", lambda: "left out by this test")
    elif cpu.why_missing():
        pytest.skip(cpu.why_missing())


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def draw_codes(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    top = 256 if dtype == torch.uint8 else 65536
    return torch.randint(0, top, shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.int32).to(
        dtype
    )


def draw_lut(nodes: int, *batch: int) -> Tensor:
    shape = (*batch, 3, nodes, nodes, nodes)
    return identity_lut(nodes) + 0.2 * draw(*shape) - 0.1


def draw_table(scale: int, step: str) -> Tensor:
    columns, dtype = (9 * scale**2, torch.int8) if step == "lr" else ((scale + 2) ** 2, torch.int16)
    return torch.randint(-100, 101, (65536, columns), generator=torch.Generator().manual_seed(scale)).to(dtype)


# ---- What torch asks of an op ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "shape"), [(torch.uint8, (5, 7, 3)), (torch.uint16, (2, 5, 7, 3)), (torch.uint8, (0, 5, 7, 3))]
)
def test_the_serving_op_is_one_that_torch_can_trace(
    dtype: torch.dtype, shape: tuple[int, ...], way: None, device: str
) -> None:
    picture = draw_codes(*shape, dtype=dtype).to(device)
    torch.library.opcheck(LUTRA.lut3d_apply, (picture, draw_lut(3).to(device).requires_grad_()))
    if len(shape) == 4:
        torch.library.opcheck(LUTRA.lut3d_apply, (picture, draw_lut(3, shape[0]).to(device)))


@pytest.mark.parametrize(("dtype", "shared"), [(torch.float32, True), (torch.float64, False)])
def test_the_training_op_is_one_that_torch_can_trace(dtype: torch.dtype, shared: bool, way: None, device: str) -> None:
    picture = draw(2, 3, 4, 5).to(device, dtype).requires_grad_()
    lut = (draw_lut(3) if shared else draw_lut(3, 2)).to(device, dtype).requires_grad_()
    torch.library.opcheck(LUTRA.lut3d, (picture, lut))
    torch.library.opcheck(LUTRA.lut3d, (picture.detach().transpose(2, 3), lut))


@pytest.mark.parametrize("wanted", [(), (False, True), (True, False)])
def test_the_gradient_of_the_training_op_is_one_that_torch_can_trace(
    wanted: tuple[bool, ...], way: None, device: str
) -> None:
    picture, lut = draw(2, 3, 4, 5).to(device), draw_lut(3).to(device)
    torch.library.opcheck(LUTRA.lut3d_backward, (picture, picture, lut, *wanted))


@pytest.mark.parametrize(("scale", "step"), [(2, "lr"), (4, "hr")])
def test_table_super_resolution_is_an_op_that_torch_can_trace(scale: int, step: str, way: None, device: str) -> None:
    arguments = draw_codes(5, 7, 3).to(device), draw_table(scale, step).to(device), scale, step
    torch.library.opcheck(LUTRA.eclut, arguments)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_table_super_resolution_enlarges_by_the_scale(step: str, scale: int, way: None, device: str) -> None:
    table = draw_table(scale, step).to(device)
    for height, width in ((5, 7), (1, 1), (0, 7)):
        found = ops.eclut(draw_codes(height, width, 3).to(device), table, scale, step)
        assert found.shape == (height * scale, width * scale, 3)
        assert found.dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_reduction_by_areas_is_an_op_that_torch_can_trace(dtype: torch.dtype, way: None, device: str) -> None:
    torch.library.opcheck(LUTRA.area_mean, (draw_codes(9, 7, 3, dtype=dtype).to(device), 4, 3))


def test_the_first_call_does_not_wait_for_the_compiler_of_torch() -> None:
    code = (
        "import sys, torch; from kernels import ops\n"
        "ops.lut3d(torch.zeros(1, 3, 2, 2), torch.zeros(3, 2, 2, 2).requires_grad_()).sum().backward()\n"
        "ops.lut3d_apply(torch.zeros(2, 2, 3, dtype=torch.uint8), torch.zeros(3, 2, 2, 2))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_compiled_function_trains_through_the_op() -> None:
    picture, lut = draw(1, 3, 4, 4).requires_grad_(), draw_lut(3).requires_grad_()

    def loss(picture: Tensor, lut: Tensor) -> Tensor:
        return ops.lut3d(0.5 * picture, lut).square().sum()

    wanted = torch.autograd.grad(loss(picture, lut), (picture, lut))
    got = torch.autograd.grad(torch.compile(loss, backend="aot_eager", fullgraph=True)(picture, lut), (picture, lut))
    for a, b in zip(got, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


# ---- Batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_a_batch_for_serving_has_the_bits_of_its_pictures_one_by_one(
    batch: int, dtype: torch.dtype, way: None, device: str
) -> None:
    pictures, tables = draw_codes(batch, 17, 9, 3, dtype=dtype).to(device), draw_lut(5, batch).to(device)
    shared, own = ops.lut3d_apply(pictures, draw_lut(5).to(device)), ops.lut3d_apply(pictures, tables)
    assert shared.shape == own.shape == pictures.shape
    assert shared.dtype == own.dtype == dtype
    for k in range(batch):
        assert torch.equal(shared[k], ops.lut3d_apply(pictures[k], draw_lut(5).to(device)))
        assert torch.equal(own[k], ops.lut3d_apply(pictures[k], tables[k]))


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_a_batch_for_training_has_the_bits_of_its_pictures_one_by_one(batch: int, way: None, device: str) -> None:
    pictures, tables = draw(batch, 3, 17, 9).to(device), draw_lut(5, batch).to(device)
    shared, own = ops.lut3d(pictures, draw_lut(5).to(device)), ops.lut3d(pictures, tables)
    assert shared.shape == own.shape == pictures.shape
    for k in range(batch):
        assert torch.equal(shared[k : k + 1], ops.lut3d(pictures[k : k + 1], draw_lut(5).to(device)))
        assert torch.equal(own[k], ops.lut3d(pictures[k : k + 1], tables[k])[0])


def test_pictures_and_channels_of_a_batch_do_not_mix(way: None, device: str) -> None:
    """The published kernel walks a batch as if it were one large picture: each picture here knows its own answer."""
    pictures = torch.arange(1, 10, device=device).view(3, 3, 1, 1).expand(3, 3, 4, 5) / 10.0
    tables = identity_lut(5).to(device) + torch.tensor([0.0, 1.0, 2.0], device=device).view(3, 1, 1, 1, 1)
    pictures, tables = pictures.clone().requires_grad_(), tables.requires_grad_()
    found = ops.lut3d(pictures, tables)
    assert (found - pictures - torch.arange(3, device=device).view(3, 1, 1, 1)).abs().max() < 1e-6
    grads = torch.autograd.grad(found[1].sum(), (pictures, tables))
    for grad in grads:
        assert grad[1].any()
        assert not grad[0].any()
        assert not grad[2].any()
    assert (grads[1][1].sum((1, 2, 3)) - 20).abs().max() < 1e-4


def test_views_with_strides_give_what_their_copies_give(way: None, device: str) -> None:
    codes, table = draw_codes(3, 20, 33, 3).to(device), draw_table(2, "lr").to(device)
    view, lut = codes[:, ::2, 3:33:3].transpose(1, 2), draw_lut(5).to(device).permute(0, 3, 1, 2)
    assert not view.is_contiguous()
    assert torch.equal(ops.lut3d_apply(view, lut), ops.lut3d_apply(view.contiguous(), lut.contiguous()))
    assert torch.equal(ops.eclut(view[0], table, 2), ops.eclut(view[0].contiguous(), table, 2))
    turned = table.t().contiguous().t()
    assert torch.equal(ops.eclut(view[0], turned, 2), ops.eclut(view[0], table, 2))


# ---- Tables and types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2])
def test_a_table_of_any_floating_type_serves_as_its_float32(dtype: torch.dtype, way: None, device: str) -> None:
    picture, lut = draw_codes(9, 8, 3).to(device), draw_lut(3).to(device, dtype)
    assert torch.equal(ops.lut3d_apply(picture, lut), ops.lut3d_apply(picture, lut.float()))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("height", [10.0, 1e6, 1e30])
def test_steep_tables_give_the_codes_of_the_float_look_up(
    height: float, dtype: torch.dtype, way: None, device: str
) -> None:
    top = 255 if dtype == torch.uint8 else 65535
    lut = (height * (2 * draw(3, 9, 9, 9) - 1)).to(device)
    picture = draw_codes(40, 41, 3, dtype=dtype).to(device)
    colours = picture.permute(2, 0, 1)[None].double() / top
    wanted = (float_reference.lut3d(colours, lut.double()) * top + 0.5).clamp(0, top).floor()[0].permute(1, 2, 0)
    got = ops.lut3d_apply(picture, lut).double()
    # float32 may cross from one end to the other beside a zero; it must not do so anywhere else.
    assert ((got - wanted).abs() > 1 + 1e-6 * height * top).double().mean() < 1e-3
    assert ((got != 0) & (got != top)).any() or height > 10


def test_nodes_are_met_exactly_however_steep_the_table(way: None, device: str) -> None:
    lut = torch.tensor([-1e30, 1e30], device=device).expand(3, 2, 2, 2)
    picture = torch.tensor([[[0, 0, 0], [255, 0, 255]]], dtype=torch.uint8, device=device)
    assert ops.lut3d_apply(picture, lut)[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_served_pictures_carry_no_gradient_and_gradients_none_of_their_own(way: None) -> None:
    lut = draw_lut(3).requires_grad_()
    assert not ops.lut3d_apply(draw_codes(2, 2, 3), lut).requires_grad
    picture = draw(1, 3, 2, 2).requires_grad_()
    (once,) = torch.autograd.grad(ops.lut3d(picture, lut).sum(), picture, create_graph=True)
    with pytest.raises(RuntimeError, match="lutra::lut3d_backward has no gradient of its own"):
        once.sum().backward()


def test_gradients_that_nobody_needs_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True) -> Any:
        asked.append((for_picture, for_lut))
        return float_reference.lut3d_backward(grad, picture, lut, for_picture, for_lut)

    monkeypatch.setattr(cpu, "lut3d_backward", spy)
    monkeypatch.setattr(cpu, "why_missing", str)
    picture, lut = draw(1, 3, 2, 2), draw_lut(3)
    ops.lut3d(picture, lut.clone().requires_grad_()).sum().backward()
    ops.lut3d(picture.clone().requires_grad_(), lut).sum().backward()
    assert asked == [(False, True), (True, False)]


def test_the_reference_serves_where_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("a kernel that is not built was called")

    for name in CALLS:
        monkeypatch.setattr(cpu, name, never, raising=False)
    monkeypatch.setattr(cpu, "why_missing", lambda: "left out by this test")
    picture, lut = draw_codes(3, 4, 3), draw_lut(3)
    assert torch.equal(ops.lut3d_apply(picture, lut), reference.lut3d_apply(picture, lut))
    floats = draw(1, 3, 2, 2).requires_grad_()
    ops.lut3d(floats, lut).sum().backward()
    assert floats.grad is not None
    features = torch.ones(1, 1, 2, 2).requires_grad_()
    planes = torch.zeros(1, 27, 2, 2)
    ops.deform_conv2d(features, planes[:, :18], planes[:, 18:], torch.ones(1, 1, 3, 3)).sum().backward()
    assert features.grad is not None
    assert LUTRA.modulated_mlp(*rendered()).shape == (3, 2, 7)


def test_what_is_built_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = torch.full((3, 4, 3), 7, dtype=torch.uint8)
    monkeypatch.setattr(cpu, "lut3d_apply", lambda picture, lut: marked)
    monkeypatch.setattr(cpu, "why_missing", str)
    assert torch.equal(ops.lut3d_apply(draw_codes(3, 4, 3), draw_lut(3)), marked)


# ---- Bad input -------------------------------------------------------------------------------------------------------

CODES, LUT = torch.zeros(4, 5, 3, dtype=torch.uint8), torch.zeros(3, 5, 5, 5)
FLOATS = torch.zeros(2, 3, 4, 4)
PAIRS = torch.zeros(65536, 36, dtype=torch.int8)
OFFSET, MASK, TAPS = torch.zeros(2, 18, 4, 4), torch.zeros(2, 9, 4, 4), torch.zeros(5, 3, 3, 3)


def rendered(**spoilt: Any) -> tuple[Any, ...]:
    """Arguments of `modulated_mlp` for a window of 4 x 5 pixels and 2 x 7 samples, some of them replaced."""
    layers = [(16, 20), *[(16, 16)] * 5, (3, 16)]
    arguments: dict[str, Any] = {
        "modulations": torch.zeros(208, 4, 5),
        "window": torch.zeros(3, 4, 5),
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
        rendered(window=torch.zeros(3, 4, 4)),
        "window is (3, 4, 4) of torch.float32, wanted (3, 4, 5) of",
    ),
    (
        "modulated_mlp",
        rendered(window=torch.zeros(3, 4, 5).bfloat16()),
        "window is (3, 4, 5) of torch.bfloat16, wanted",
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


@pytest.mark.parametrize(("name", "arguments", "said"), REFUSED + MISPLACED)
def test_the_doors_say_what_they_saw_and_what_they_want(name: str, arguments: tuple[Any, ...], said: str) -> None:
    doors: list[Callable[..., Any]] = [getattr(LUTRA, name)]
    if name == "modulated_mlp":
        doors.append(lambda *flat: ops.modulated_mlp(*grouped(*flat)))
    elif hasattr(ops, name):
        doors.append(getattr(ops, name))
    for door in doors:
        with pytest.raises(ValueError, match=re.escape(said)):
            door(*arguments)


@pytest.mark.parametrize(("name", "arguments", "said"), REFUSED)
def test_the_doors_say_the_same_when_they_are_traced(name: str, arguments: tuple[Any, ...], said: str) -> None:
    with FakeTensorMode() as mode:
        traced = tree_map_only(Tensor, mode.from_tensor, list(arguments))
        with pytest.raises(ValueError, match=re.escape(said)):
            getattr(LUTRA, name)(*traced)


@pytest.mark.parametrize(("lut", "said"), SPOILT)
def test_tables_that_are_not_finite_are_refused(lut: Tensor, said: str, way: None, device: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        ops.lut3d_apply(CODES.to(device), lut.to(device))
    with pytest.raises(ValueError, match=re.escape(said)):
        ops.lut3d_apply(CODES[None].to(device), lut[None].to(device))


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Tensor"):
        LUTRA.lut3d_apply(CODES.numpy(), LUT)
