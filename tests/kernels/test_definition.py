"""How an op is defined: what serves it, its gradient, and no waiting for the compiler of torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels import cpu, ops
from kernels.reference import lut3d as reference
from tests.kernels.test_ops import LUTRA, draw, draw_codes, draw_lut
from tests.kernels.test_ops_refusals import blocked, predicted, rendered

CALLS = (
    *("lut3d_apply", "lut3d", "lut3d_backward", "eclut", "area_mean"),
    *("deform_conv2d", "deform_conv2d_backward", "modulated_mlp"),
    *("modulated_mlp_predict", "modulated_mlp_predict_backward"),
    *("naf_block", "resample", "resample_backward", "resample_codes"),
)


def test_the_first_call_does_not_wait_for_the_compiler_of_torch() -> None:
    code = (
        "import sys, torch; from kernels import ops\n"
        "ops.lut3d(torch.zeros(1, 3, 2, 2), torch.zeros(3, 2, 2, 2).requires_grad_()).sum().backward()\n"
        "ops.lut3d_apply(torch.zeros(2, 2, 3, dtype=torch.uint8), torch.zeros(3, 2, 2, 2))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_served_pictures_carry_no_gradient_and_gradients_none_of_their_own(implementation: None) -> None:
    lut = draw_lut(3).requires_grad_()
    assert not ops.lut3d_apply(draw_codes(2, 2, 3), lut).requires_grad
    picture = draw(1, 3, 2, 2).requires_grad_()
    (once,) = torch.autograd.grad(ops.lut3d(picture, lut).sum(), picture, create_graph=True)
    with pytest.raises(RuntimeError, match="lutra::lut3d_backward has no gradient of its own"):
        torch.autograd.backward(once.sum())


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
    assert LUTRA.naf_block(*blocked()).shape == (2, 16, 3, 4)
    pixel = torch.ones(1, 1, 1).requires_grad_()
    taps = ops.Taps(torch.zeros(1, dtype=torch.int64), torch.ones(1, 1))
    torch.autograd.backward(ops.resample(pixel, taps, taps).sum())
    assert pixel.grad is not None


def test_what_is_built_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = torch.full((3, 4, 3), 7, dtype=torch.uint8)
    monkeypatch.setattr(cpu, "lut3d_apply", lambda picture, lut: marked)
    monkeypatch.setattr(cpu, "why_missing", str)
    assert torch.equal(ops.lut3d_apply(draw_codes(3, 4, 3), draw_lut(3)), marked)
