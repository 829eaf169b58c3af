"""Resampling by the CUDA kernel against the reference: on a processor by `cuda_on_host`, and on a device (-m cuda)."""

from __future__ import annotations

import pytest
import torch

from kernels.cuda import resample
from kernels.ops import Taps
from kernels.reference import resample as reference
from tests.kernels.test_resample import SIZES, draw, tolerance


def to(device: torch.device, taps: Taps) -> Taps:
    return Taps(taps.first.to(device), taps.weight.to(device))


@pytest.mark.parametrize("size", SIZES)
def test_samples_and_gradients_equal_the_reference(device: torch.device, size: tuple[int, ...]) -> None:
    planes, rows, cols = draw(size, 3)
    there = to(device, rows), to(device, cols)
    got = resample.resample(planes.to(device), *there)
    wanted = reference.resample(planes, rows, cols)
    assert got.shape == wanted.shape and got.device.type == device.type
    assert (got.cpu() - wanted).abs().max() < tolerance(rows, cols)
    back = resample.resample_backward(got, *there, size[0], size[1])
    expected = reference.resample_backward(wanted, rows, cols, size[0], size[1])
    assert back.shape == planes.shape
    assert (back.cpu() - expected).abs().max() < 1e-5 * expected.abs().max()


def test_more_planes_than_a_grid_holds_go_round(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    planes, rows, cols = draw((7, 9, 5, 13, 3, 4), 5)
    there = to(device, rows), to(device, cols)
    wanted = resample.resample(planes.to(device), *there)
    monkeypatch.setattr(resample, "MAX_GRID_Y", 2)
    assert torch.equal(resample.resample(planes.to(device), *there), wanted)


def test_views_and_nothing_at_all_are_taken(device: torch.device) -> None:
    planes, rows, cols = draw((9, 8, 5, 6, 3, 4))
    there = to(device, rows), to(device, cols)
    turned = planes.transpose(1, 2).contiguous().transpose(1, 2).to(device)
    assert torch.equal(resample.resample(turned, *there), resample.resample(planes.to(device), *there))
    assert resample.resample(turned[:0], *there).shape == (0, 5, 6)
    none = Taps(there[0].first[:0], there[0].weight[:0])
    assert resample.resample(turned, none, there[1]).shape == (2, 0, 6)
    assert not resample.resample_backward(turned[:, :0, :6], none, there[1], 9, 8).any()
