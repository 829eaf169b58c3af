"""Resampling by runs of weighted pixels: every form of it against sums written out, and its gradient against its own
definition, which is that of any linear map.

Tolerances count what float32 may lose: 1e-6 for each unit of the weights' sum of magnitudes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels import cpu, ops
from kernels.ops import Taps
from kernels.reference import resample as reference
from tests.kernels.draws import generator

LUTRA = torch.ops.lutra
NAN = float("nan")
# height, width, rows, columns, taps of each
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (7, 9, 5, 13, 3, 4),
    (17, 16, 16, 17, 8, 16),
    (33, 5, 70, 9, 33, 5),
    (40, 700, 33, 1100, 4, 4),
    (64, 1500, 9, 601, 8, 30),
]


def draw_taps(samples: int, taps: int, length: int) -> Taps:
    """As samples lie on an axis: the first run begins at its first pixel, the last ends at its last."""
    first = torch.arange(samples) * (length - taps) // max(1, samples - 1)
    return Taps(first, torch.randn(samples, taps, generator=generator(samples + taps)))


def draw(size: tuple[int, ...], count: int = 2) -> tuple[Tensor, Taps, Taps]:
    height, width, rows, cols, down, right = size
    planes = torch.rand(count, height, width, generator=generator(height * width))
    return planes, draw_taps(rows, down, height), draw_taps(cols, right, width)


def written_out(planes: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """In float64: one sum for each sample, over the rectangle of pixels that it is made of."""
    out = torch.empty(len(planes), len(rows.first), len(cols.first), dtype=torch.float64)
    for i, top in enumerate(rows.first.tolist()):
        for j, left in enumerate(cols.first.tolist()):
            own = planes[:, top : top + rows.weight.shape[1], left : left + cols.weight.shape[1]].double()
            out[:, i, j] = torch.einsum("cyx,y,x->c", own, rows.weight[i].double(), cols.weight[j].double())
    return out


def draw_picture(size: tuple[int, ...], channels: int, dtype: torch.dtype) -> tuple[Tensor, Taps, Taps]:
    """Codes and the taps of `draw`."""
    planes, rows, cols = draw(size, channels)
    top = torch.iinfo(dtype).max
    return (planes * (top + 1)).clamp(max=top).to(torch.int32).to(dtype).permute(1, 2, 0).contiguous(), rows, cols


def tolerance(rows: Taps, cols: Taps) -> float:
    return 1e-6 * float(rows.weight.abs().sum(1).amax() * cols.weight.abs().sum(1).amax())


@pytest.mark.parametrize("size", SIZES)
def test_every_form_gives_the_sums_written_out(size: tuple[int, ...]) -> None:
    planes, rows, cols = draw(size)
    wanted = written_out(planes, rows, cols)
    forms = [reference.resample(planes, rows, cols), ops.resample(planes, rows, cols)]
    forms += [cpu.resample(planes, rows, cols, path=path) for path in cpu.paths()]
    for got in forms:
        assert got.dtype == torch.float32 and got.is_contiguous()
        assert (got.double() - wanted).abs().max() < tolerance(rows, cols)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4, 6])
@pytest.mark.parametrize("size", [*SIZES[:4], (40, 130, 13, 101, 4, 4)])
def test_every_form_gives_the_sums_of_codes_written_out(
    size: tuple[int, ...], channels: int, dtype: torch.dtype
) -> None:
    picture, rows, cols = draw_picture(size, channels, dtype)
    wanted = written_out(picture.to(torch.float64).permute(2, 0, 1) / torch.iinfo(dtype).max, rows, cols)
    forms = [reference.resample_codes(picture, rows, cols), ops.resample_codes(picture, rows, cols)]
    forms += [cpu.resample_codes(picture, rows, cols, path=path) for path in cpu.paths()]
    for got in forms:
        assert got.dtype == torch.float32 and got.is_contiguous()
        assert (got.double() - wanted).abs().max() < tolerance(rows, cols)


def test_the_specification_of_codes_in_bands_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = draw_picture((64, 90, 50, 40, 8, 4), 3, torch.uint8)
    whole = reference.resample_codes(*arguments)
    monkeypatch.setattr(reference, "BAND_PIXELS", 4000)
    assert torch.equal(reference.resample_codes(*arguments), whole)


@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_samples_of_codes_have_the_same_bits_on_any_number_of_threads_and_views_are_read_as_they_are(
    dtype: torch.dtype, path: str
) -> None:
    if path not in cpu.paths():
        pytest.skip(f"{path} is not built or does not run here")
    picture, rows, cols = draw_picture((900, 1500, 300, 256, 8, 12), 4, dtype)
    view = picture[..., :3]
    whole = cpu.resample_codes(view.contiguous(), rows, cols, 1, path)
    assert torch.equal(cpu.resample_codes(view, rows, cols, 7, path), whole)
    some = Taps(rows.first[100:150], rows.weight[100:150])
    assert torch.equal(cpu.resample_codes(view, some, cols, 1, path), whole[:, 100:150])


def test_what_is_empty_makes_what_is_empty() -> None:
    picture, rows, cols = draw_picture((7, 9, 5, 13, 3, 4), 3, torch.uint8)
    none = Taps(rows.first[:0], rows.weight[:0])
    assert ops.resample_codes(picture, none, cols).shape == (3, 0, 13)
    assert reference.resample_codes(picture, none, cols).shape == (3, 0, 13)
    assert ops.resample_codes(picture[..., :0], rows, cols).shape == (0, 5, 13)


@pytest.mark.parametrize("path", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("size", SIZES)
def test_a_sample_has_the_same_bits_alone_as_among_all_on_any_number_of_threads(
    size: tuple[int, ...], path: str
) -> None:
    if path not in cpu.paths():
        pytest.skip(f"{path} is not built or does not run here")
    planes, rows, cols = draw(size, 5)
    whole = cpu.resample(planes, rows, cols, 1, path)
    assert torch.equal(cpu.resample(planes, rows, cols, 7, path), whole)
    top, left = len(rows.first) // 3, len(cols.first) // 3
    tile = slice(top, top + 5), slice(left, left + 37)
    y, x = int(rows.first[top]), int(cols.first[left])
    own_rows = Taps(rows.first[tile[0]] - y, rows.weight[tile[0]])
    own_cols = Taps(cols.first[tile[1]] - x, cols.weight[tile[1]])
    assert torch.equal(cpu.resample(planes[1:3, y:, x:], own_rows, own_cols, 1, path), whole[1:3, tile[0], tile[1]])


def test_a_sample_of_many_is_computed_as_on_one_thread(threads: Callable[[int], None]) -> None:
    planes, rows, cols = draw((300, 400, 310, 700, 4, 4))
    threads(1)
    one = ops.resample(planes, rows, cols)
    threads(3)
    assert torch.equal(ops.resample(planes, rows, cols), one)


def test_what_is_not_finite_spoils_the_samples_that_read_it_alone(implementation: None) -> None:
    planes, rows, cols = draw((40, 50, 60, 70, 4, 4))
    planes[0, 20, 30] = NAN
    reads = [((taps.first <= at) & (at < taps.first + 4)) for taps, at in ((rows, 20), (cols, 30))]
    spoilt = torch.zeros(2, 60, 70, dtype=torch.bool)
    spoilt[0] = reads[0][:, None] & reads[1]
    assert spoilt.any()
    assert torch.equal(ops.resample(planes, rows, cols).isnan(), spoilt)


def test_views_are_read_as_they_are(implementation: None) -> None:
    planes, rows, cols = draw((20, 30, 9, 11, 4, 4), 6)
    view = planes[::2].transpose(1, 2).contiguous().transpose(1, 2)
    strided = [Taps(taps.first.repeat_interleave(2)[::2], taps.weight.t().contiguous().t()) for taps in (rows, cols)]
    assert torch.equal(ops.resample(view, *strided), ops.resample(planes[::2].contiguous(), rows, cols))


@pytest.mark.parametrize("shape", [(0, 5, 5), (2, 5, 5)])
def test_no_planes_or_no_samples_give_nothing_and_no_gradient(shape: tuple[int, ...], implementation: None) -> None:
    planes = torch.ones(shape, requires_grad=True)
    none, some = Taps(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3)), draw_taps(4, 2, 5)
    for rows, cols in ((none, some), (some, none), (none, none)) if len(planes) else ((some, some),):
        out = ops.resample(planes, rows, cols)
        assert out.shape == (len(planes), len(rows.first), len(cols.first))
        (by_planes,) = torch.autograd.grad(out.sum(), planes)
        assert by_planes.shape == shape and not by_planes.any()


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_is_the_map_transposed(size: tuple[int, ...], implementation: None) -> None:
    """<A x, y> = <x, A' y> for every y: with y of one 1 each, row by row of the matrix."""
    planes, rows, cols = draw(size)
    grad = torch.rand(2, len(rows.first), len(cols.first), generator=generator(3))
    leaf = planes.requires_grad_()
    (by_planes,) = torch.autograd.grad(ops.resample(leaf, rows, cols), leaf, grad)
    dense = [in_full(taps, side) for taps, side in zip((rows, cols), planes.shape[1:], strict=True)]
    wanted = dense[0].T @ grad.double() @ dense[1]
    most = dense[0].abs().sum(0).amax() * dense[1].abs().sum(0).amax()
    assert (by_planes.double() - wanted).abs().max() < 1e-6 * float(most)


def in_full(taps: Taps, length: int) -> Tensor:
    """The matrix (samples, length), float64."""
    full = torch.zeros(len(taps.first), length, dtype=torch.float64)
    for row, first, weight in zip(full, taps.first.tolist(), taps.weight, strict=True):
        row[first : first + len(weight)] = weight
    return full


@pytest.mark.parametrize("case", [(5, 3, 9), (20, 4, 7), (1, 2, 40), (8, 1, 8), (3, 9, 9)])
def test_transposed_taps_are_the_matrix_transposed_and_twice_the_same(case: tuple[int, int, int]) -> None:
    samples, taps, length = case
    given = draw_taps(samples, taps, length)
    back = reference.transposed(given, length)
    assert torch.equal(in_full(back, samples), in_full(given, length).T)
    assert torch.equal(in_full(reference.transposed(back, samples), length), in_full(given, length))


def test_the_op_is_well_behaved(implementation: None) -> None:
    planes, rows, cols = draw((7, 9, 5, 13, 3, 4))
    torch.library.opcheck(LUTRA.resample.default, (planes.requires_grad_(), *rows, *cols))
    grad = torch.ones(2, 5, 13)
    torch.library.opcheck(LUTRA.resample_backward.default, (grad, *rows, *cols, 7, 9))
    for dtype in (torch.uint8, torch.uint16):
        picture, rows, cols = draw_picture((7, 9, 5, 13, 3, 4), 3, dtype)
        torch.library.opcheck(LUTRA.resample_codes.default, (picture, *rows, *cols))


def test_a_compiled_function_trains_through_the_op() -> None:
    planes, rows, cols = draw((7, 9, 5, 13, 3, 4))

    def loss(planes: Tensor) -> Tensor:
        return ops.resample(0.5 * planes, rows, cols).square().sum()

    leaf = planes.requires_grad_()
    compiled: Any = torch.compile(loss, backend="aot_eager", fullgraph=True)
    got, wanted = (torch.autograd.grad(one(leaf), leaf)[0] for one in (compiled, loss))
    assert torch.allclose(got, wanted, atol=1e-6)


def test_the_default_type_of_torch_changes_nothing() -> None:
    planes, rows, cols = draw((7, 9, 5, 13, 3, 4))
    wanted, before = ops.resample(planes, rows, cols), torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(ops.resample(planes, rows, cols), wanted)
        assert reference.transposed(rows, 7).weight.dtype == torch.float32
        picture = torch.zeros(7, 9, 3, dtype=torch.uint8)
        assert reference.resample_codes(picture, rows, cols).dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


@pytest.mark.skipif(bool(cpu.why_missing()), reason=cpu.why_missing())
@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"first": torch.tensor([0, 2, 4])}, "taps lie outside the planes"),
        ({"first": torch.tensor([-1, 2, 3])}, "taps lie outside the planes"),
        ({"first": torch.tensor([2, 0, 3])}, "do not ascend"),
        ({"first": torch.tensor([0, 2])}, "out is not as long as its axes"),
        ({"weight": torch.zeros(3, 0)}, "an axis has no tap, or more than pixels"),
        ({"weight": torch.zeros(3, 7)}, "an axis has no tap, or more than pixels"),
    ],
)
def test_the_compiled_kernel_reads_no_place_that_its_planes_do_not_hold(spoilt: dict[str, Tensor], words: str) -> None:
    """Called without the checks of the op."""
    good = Taps(torch.tensor([0, 2, 3]), torch.zeros(3, 3))
    for axes in ((good._replace(**spoilt), good), (good, good._replace(**spoilt))):
        from kernels import _cpu

        with pytest.raises(ValueError, match=words):
            _cpu.resample(torch.zeros(1, 6, 6), *axes[0], *axes[1], torch.zeros(1, 3, 3), 1, "auto")
        with pytest.raises(ValueError, match=words):
            picture = torch.zeros(6, 6, 1, dtype=torch.uint8)
            _cpu.resample_codes(picture, *axes[0], *axes[1], torch.zeros(1, 3, 3), 1, "auto")
