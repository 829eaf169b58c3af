"""The ops: batches, tracing, gradients, and what serves them; `test_ops_refusals` has what they refuse.

Numbers are compared elsewhere; here a batch must give the bits of its pictures one by one.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels import cpu, ops
from kernels.reference import lut3d as reference
from kernels.reference import lut3d_float as float_reference
from kernels.reference.lut3d import identity_lut
from tests.kernels.test_ops_refusals import predicted, rendered

NAN, INF = float("nan"), float("inf")
LUTRA = torch.ops.lutra
CALLS = (
    *("lut3d_apply", "lut3d", "lut3d_backward", "eclut", "area_mean"),
    *("deform_conv2d", "deform_conv2d_backward", "modulated_mlp"),
    *("modulated_mlp_predict", "modulated_mlp_predict_backward"),
)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


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
    dtype: torch.dtype, shape: tuple[int, ...], implementation: None, device: str
) -> None:
    picture = draw_codes(*shape, dtype=dtype).to(device)
    torch.library.opcheck(LUTRA.lut3d_apply, (picture, draw_lut(3).to(device).requires_grad_()))
    if len(shape) == 4:
        torch.library.opcheck(LUTRA.lut3d_apply, (picture, draw_lut(3, shape[0]).to(device)))


@pytest.mark.parametrize(("dtype", "shared"), [(torch.float32, True), (torch.float64, False)])
def test_the_training_op_is_one_that_torch_can_trace(
    dtype: torch.dtype, shared: bool, implementation: None, device: str
) -> None:
    picture = draw(2, 3, 4, 5).to(device, dtype).requires_grad_()
    lut = (draw_lut(3) if shared else draw_lut(3, 2)).to(device, dtype).requires_grad_()
    torch.library.opcheck(LUTRA.lut3d, (picture, lut))
    torch.library.opcheck(LUTRA.lut3d, (picture.detach().transpose(2, 3), lut))


@pytest.mark.parametrize("wanted", [(), (False, True), (True, False)])
def test_the_gradient_of_the_training_op_is_one_that_torch_can_trace(
    wanted: tuple[bool, ...], implementation: None, device: str
) -> None:
    picture, lut = draw(2, 3, 4, 5).to(device), draw_lut(3).to(device)
    torch.library.opcheck(LUTRA.lut3d_backward, (picture, picture, lut, *wanted))


@pytest.mark.parametrize(("scale", "step"), [(2, "lr"), (4, "hr")])
def test_table_super_resolution_is_an_op_that_torch_can_trace(
    scale: int, step: str, implementation: None, device: str
) -> None:
    arguments = draw_codes(5, 7, 3).to(device), draw_table(scale, step).to(device), scale, step
    torch.library.opcheck(LUTRA.eclut, arguments)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("step", ["lr", "hr"])
def test_table_super_resolution_enlarges_by_the_scale(step: str, scale: int, implementation: None, device: str) -> None:
    table = draw_table(scale, step).to(device)
    for height, width in ((5, 7), (1, 1), (0, 7)):
        result = ops.eclut(draw_codes(height, width, 3).to(device), table, scale, step)
        assert result.shape == (height * scale, width * scale, 3)
        assert result.dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_reduction_by_areas_is_an_op_that_torch_can_trace(
    dtype: torch.dtype, implementation: None, device: str
) -> None:
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
    batch: int, dtype: torch.dtype, implementation: None, device: str
) -> None:
    pictures, tables = draw_codes(batch, 17, 9, 3, dtype=dtype).to(device), draw_lut(5, batch).to(device)
    shared, own = ops.lut3d_apply(pictures, draw_lut(5).to(device)), ops.lut3d_apply(pictures, tables)
    assert shared.shape == own.shape == pictures.shape
    assert shared.dtype == own.dtype == dtype
    for k in range(batch):
        assert torch.equal(shared[k], ops.lut3d_apply(pictures[k], draw_lut(5).to(device)))
        assert torch.equal(own[k], ops.lut3d_apply(pictures[k], tables[k]))


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_a_batch_for_training_has_the_bits_of_its_pictures_one_by_one(
    batch: int, implementation: None, device: str
) -> None:
    pictures, tables = draw(batch, 3, 17, 9).to(device), draw_lut(5, batch).to(device)
    shared, own = ops.lut3d(pictures, draw_lut(5).to(device)), ops.lut3d(pictures, tables)
    assert shared.shape == own.shape == pictures.shape
    for k in range(batch):
        assert torch.equal(shared[k : k + 1], ops.lut3d(pictures[k : k + 1], draw_lut(5).to(device)))
        assert torch.equal(own[k], ops.lut3d(pictures[k : k + 1], tables[k])[0])


def test_pictures_and_channels_of_a_batch_do_not_mix(implementation: None, device: str) -> None:
    """The published kernel walks a batch as if it were one large picture: each picture here has a result of its own."""
    pictures = torch.arange(1, 10, device=device).view(3, 3, 1, 1).expand(3, 3, 4, 5) / 10.0
    tables = identity_lut(5).to(device) + torch.tensor([0.0, 1.0, 2.0], device=device).view(3, 1, 1, 1, 1)
    pictures, tables = pictures.clone().requires_grad_(), tables.requires_grad_()
    result = ops.lut3d(pictures, tables)
    assert (result - pictures - torch.arange(3, device=device).view(3, 1, 1, 1)).abs().max() < 1e-6
    grads = torch.autograd.grad(result[1].sum(), (pictures, tables))
    for grad in grads:
        assert grad[1].any()
        assert not grad[0].any()
        assert not grad[2].any()
    assert (grads[1][1].sum((1, 2, 3)) - 20).abs().max() < 1e-4


def test_views_with_strides_give_what_their_copies_give(implementation: None, device: str) -> None:
    codes, table = draw_codes(3, 20, 33, 3).to(device), draw_table(2, "lr").to(device)
    view, lut = codes[:, ::2, 3:33:3].transpose(1, 2), draw_lut(5).to(device).permute(0, 3, 1, 2)
    assert not view.is_contiguous()
    assert torch.equal(ops.lut3d_apply(view, lut), ops.lut3d_apply(view.contiguous(), lut.contiguous()))
    assert torch.equal(ops.eclut(view[0], table, 2), ops.eclut(view[0].contiguous(), table, 2))
    turned = table.t().contiguous().t()
    assert torch.equal(ops.eclut(view[0], turned, 2), ops.eclut(view[0], table, 2))


# ---- Tables and types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2])
def test_a_table_of_any_floating_type_serves_as_its_float32(
    dtype: torch.dtype, implementation: None, device: str
) -> None:
    picture, lut = draw_codes(9, 8, 3).to(device), draw_lut(3).to(device, dtype)
    assert torch.equal(ops.lut3d_apply(picture, lut), ops.lut3d_apply(picture, lut.float()))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("height", [10.0, 1e6, 1e30])
def test_steep_tables_give_the_codes_of_the_float_look_up(
    height: float, dtype: torch.dtype, implementation: None, device: str
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


def test_nodes_are_met_exactly_however_steep_the_table(implementation: None, device: str) -> None:
    lut = torch.tensor([-1e30, 1e30], device=device).expand(3, 2, 2, 2)
    picture = torch.tensor([[[0, 0, 0], [255, 0, 255]]], dtype=torch.uint8, device=device)
    assert ops.lut3d_apply(picture, lut)[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_served_pictures_carry_no_gradient_and_gradients_none_of_their_own(implementation: None) -> None:
    lut = draw_lut(3).requires_grad_()
    assert not ops.lut3d_apply(draw_codes(2, 2, 3), lut).requires_grad
    picture = draw(1, 3, 2, 2).requires_grad_()
    (once,) = torch.autograd.grad(ops.lut3d(picture, lut).sum(), picture, create_graph=True)
    with pytest.raises(RuntimeError, match="lutra::lut3d_backward has no gradient of its own"):
        torch.autograd.backward(once.sum())


def test_gradients_that_nobody_needs_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = []

    def spy(grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True) -> Any:
        requested.append((for_picture, for_lut))
        return float_reference.lut3d_backward(grad, picture, lut, for_picture, for_lut)

    monkeypatch.setattr(cpu, "lut3d_backward", spy)
    monkeypatch.setattr(cpu, "why_missing", str)
    picture, lut = draw(1, 3, 2, 2), draw_lut(3)
    torch.autograd.backward(ops.lut3d(picture, lut.clone().requires_grad_()).sum())
    torch.autograd.backward(ops.lut3d(picture.clone().requires_grad_(), lut).sum())
    assert requested == [(False, True), (True, False)]


def test_the_reference_serves_where_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("a kernel that is not built was called")

    for name in CALLS:
        monkeypatch.setattr(cpu, name, never, raising=False)
    monkeypatch.setattr(cpu, "why_missing", lambda: "left out by this test")
    picture, lut = draw_codes(3, 4, 3), draw_lut(3)
    assert torch.equal(ops.lut3d_apply(picture, lut), reference.lut3d_apply(picture, lut))
    floats = draw(1, 3, 2, 2).requires_grad_()
    torch.autograd.backward(ops.lut3d(floats, lut).sum())
    assert floats.grad is not None
    features = torch.ones(1, 1, 2, 2).requires_grad_()
    planes = torch.zeros(1, 27, 2, 2)
    torch.autograd.backward(ops.deform_conv2d(features, planes[:, :18], planes[:, 18:], torch.ones(1, 1, 3, 3)).sum())
    assert features.grad is not None
    assert LUTRA.modulated_mlp(*rendered()).shape == (3, 2, 7)
    modulations, *rest = predicted()
    torch.autograd.backward(LUTRA.modulated_mlp_predict(modulations.requires_grad_(), *rest).sum())
    assert modulations.grad is not None


def test_what_is_built_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = torch.full((3, 4, 3), 7, dtype=torch.uint8)
    monkeypatch.setattr(cpu, "lut3d_apply", lambda picture, lut: marked)
    monkeypatch.setattr(cpu, "why_missing", str)
    assert torch.equal(ops.lut3d_apply(draw_codes(3, 4, 3), draw_lut(3)), marked)
