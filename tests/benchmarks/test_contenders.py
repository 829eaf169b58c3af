"""The benchmark's own pictures, its exact look-up, its turns, and that each peer is called as it wants to be."""

from __future__ import annotations

import dataclasses
import time
from importlib.util import find_spec
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import cost, deformable, learning, naf, peak, peers, pictures, rendering, resampling, upscale
from benchmarks.imdn import Imdn
from benchmarks.peak_memory import PeakMemory
from benchmarks.rounds import Contender, Timing, measure, one_turn
from kernels import cpu
from kernels.reference import deform, modulated_mlp, naf_block
from kernels.reference import lut3d_float as float_reference
from models.train.recipes.lmliif import BUDGETS

# Truncation makes 1; OpenColorIO's tetrahedra differ from trilinear by a share of a tame table's curvature.
MOST = 1.3


def test_the_exact_look_up_is_grid_sample_in_float64() -> None:
    pixels, lut = pictures.random_pixels(5, 7), pictures.steep_lut(9)
    floats = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255
    wanted = float_reference.lut3d(floats, lut.double())[0].permute(1, 2, 0) * 255
    np.testing.assert_allclose(pictures.exact_look_up(pixels, lut), wanted, atol=1e-9)


def test_a_photo_is_the_same_each_time_and_smoother_than_random_pixels() -> None:
    photo = pictures.photo(90, 160)
    assert np.array_equal(photo, pictures.photo(90, 160))
    apart = [np.abs(np.diff(p.astype(int), axis=1)).mean() for p in (photo, pictures.random_pixels(90, 160))]
    assert apart[0] < apart[1] / 4


def test_the_tame_table_has_no_step_that_a_photo_would_show() -> None:
    lut = pictures.tame_lut(33)
    assert lut.min() >= 0 and lut.max() <= 1
    assert max(float(lut.diff(dim=axis).abs().max()) for axis in (1, 2, 3)) < 12 / 255


def test_every_peer_reads_the_table_in_its_own_order(tmp_path: Path) -> None:
    pixels, lut = pictures.photo(36, 64), pictures.tame_lut(33)
    exact = pictures.exact_look_up(pixels, lut)
    found = [c for c in peers.look_up_peers(pixels, lut, tmp_path) if c.role == "peer"]
    assert "Pillow Color3DLUT" in [peer.name for peer in found]
    for peer in found:
        assert np.abs(np.asarray(peer.work()) - exact).max() < MOST, peer.name


@pytest.mark.parametrize("dtype", [*deformable.DTYPES])
def test_every_layer_that_deforms_gives_what_is_specified(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr(deformable, "SIZE", (37, 21))
    inputs, _ = deformable.draw_inputs(deformable.DTYPES[dtype])
    wanted = deform.deform_conv2d(*inputs).float()
    found = [c for c in deformable.contenders(dtype, False, (1,)) if c.role != "limit"]
    assert {deformable.OURS, deformable.GRID_SAMPLE} <= {contender.name for contender in found}
    for contender in found:
        got = contender.work()
        assert isinstance(got, torch.Tensor)
        assert (got.float() - wanted).abs().max() < 0.02 * wanted.abs().max(), contender.name


def test_gradients_are_taken_by_all_that_a_layer_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deformable, "SIZE", (9, 8))
    for contender in deformable.contenders("float32", True, (1,)):
        got = contender.work()
        assert isinstance(got, tuple)
        assert [by is not None for by in got] == [True, contender.role != "limit", contender.role != "limit", True]


def test_everyone_who_renders_gives_what_is_specified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SIZE", (7, 5))
    wanted = modulated_mlp.modulated_mlp(*rendering.draw_inputs(3.7, torch.float32))
    found = [c for c in rendering.contenders(3.7, torch.float32, (1,)) if c.role != "limit"]
    assert {rendering.OURS, rendering.TORCH} <= {contender.name for contender in found}
    for contender in found:
        assert torch.allclose(contender.work(), wanted, atol=1e-5), contender.name


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 4e-6), (torch.bfloat16, 1 / 100)])
def test_everyone_who_makes_a_block_gives_what_is_specified(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, share: float
) -> None:
    monkeypatch.setattr(naf, "SIZE", (14, 22))
    inputs = naf.draw_inputs(32, dtype)
    wanted = naf_block.naf_block(*inputs).float()
    found = [c for c in naf.contenders(32, dtype, (1,)) if c.role != "limit"]
    assert {naf.OURS, naf.TORCH} <= {contender.name for contender in found}
    for contender in found:
        got = contender.work()
        assert isinstance(got, torch.Tensor)
        assert (got.float() - wanted).abs().max() <= share * wanted.abs().max(), contender.name
    assert naf.multiply_adds(inputs) == 7 * 11 * (6 * 32**2 + 18 * 32)


def test_everyone_who_learns_to_render_has_the_gradients_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    small = dataclasses.replace(BUDGETS["cpu"], batch=1, patch=16)
    monkeypatch.setitem(BUDGETS, "cpu", small)
    found = {one.name: one.work() for one in learning.contenders(1.5, (1,))}
    assert {learning.OURS, learning.AUTOGRAD, learning.AUTOCAST} <= {*found}
    plain = found[learning.AUTOGRAD]
    for name, gradients in found.items():
        share = 0.5 if name == learning.AUTOCAST else 1e-4  # bfloat16 is off by a quarter, where units meet 0
        for got, wanted in zip(gradients, plain, strict=True):
            assert (got - wanted).norm() <= share * wanted.norm(), name


@pytest.mark.parametrize("scale", resampling.SCALES)
def test_everyone_who_resamples_makes_the_same_picture(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    monkeypatch.setattr(resampling, "SIDE", 60)
    found = {contender.name: contender.work() for contender in resampling.contenders(scale, (1,))}
    assert {resampling.OURS, resampling.MATRICES, resampling.TORCH} <= {*found}
    levels = np.asarray(found.pop(resampling.PILLOW)[0])
    floats = np.stack([np.asarray(image) for image in found.pop(resampling.PILLOW_FLOATS)])
    wanted = found.pop(resampling.OURS).numpy()
    assert np.abs(floats - wanted).max() < 1e-5
    assert np.abs(levels - wanted.transpose(1, 2, 0) * 255).max() < 2
    for name, made in found.items():
        assert np.abs(made.numpy() - wanted).max() < 1e-5, name


def test_everyone_who_looks_at_a_picture_sees_the_same() -> None:
    found = {contender.name: contender.work() for contender in resampling.looks(700, 900, (1,))}
    wanted = found.pop(resampling.OURS)
    assert {*found} == {resampling.AREAS, resampling.TORCH_LOOK}
    for name, made in found.items():
        assert (made[0] - wanted).abs().max() < 1e-5, name


def test_multiply_adds_are_counted_one_by_one() -> None:
    """Each weight of a hidden layer once for each of four neighbours; what an input pixel adds does not grow."""
    small, large = (rendering.draw_inputs(scale, torch.float32) for scale in (1.0, 3.0))
    more = rendering.multiply_adds(large) - rendering.multiply_adds(small)
    hidden = 4 * (2 * 16 + 5 * 16 * 16 + 5 * 16)  # way, layers, gains
    assert more == (rendering.count_samples(large) - rendering.count_samples(small)) * (hidden + 4 * 16 + 16 * 3)


def test_the_peak_runs_by_every_path_of_this_processor() -> None:
    if missing := peak.why_missing():
        pytest.skip(missing)
    limits = rendering.peaks(0.0, cpu.naf_paths(torch.bfloat16))
    assert [limit.name for limit in limits] == [*rendering.PEAKS.values()][: len(limits)]
    for limit in limits:
        limit.work()


def test_copies_are_whole_with_any_number_of_threads() -> None:
    pixels = pictures.random_pixels(7, 5)
    for threads in (1, 2):
        assert np.array_equal(peers.copy(pixels, threads).work(), pixels)


def test_ffmpeg_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if find_spec("imageio_ffmpeg") is not None:
        pytest.skip("imageio-ffmpeg brings an ffmpeg of its own")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert any("ffmpeg" in name for name in peers.missing())
    assert peers.ffmpeg(pictures.photo(2, 2), pictures.tame_lut(2), tmp_path) == []


def test_every_contender_has_one_turn_a_round_and_the_first_one_moves() -> None:
    order: list[str] = []

    def turn(name: str) -> Contender:
        def clock() -> float:
            order.append(name)
            return 1.0

        return Contender(name, lambda: None, clock=clock)

    timings = measure([turn("a"), turn("b"), turn("c")], rounds=2)
    assert order == ["a", "b", "c", "b", "c", "a"]
    assert [len(timing.ms) for timing in timings] == [2, 2, 2]


def test_a_ratio_is_taken_within_each_round() -> None:
    quick, slow = Timing(np.array([1.0, 2.0, 4.0])), Timing(np.array([3.0, 6.0, 20.0]))
    assert quick.times_faster_than(slow) == 3


def test_a_turn_is_one_call_that_is_not_timed_and_then_the_mean_of_several() -> None:
    calls: list[float] = []

    def work() -> None:
        calls.append(0.2 if not calls else 0.03)
        time.sleep(calls[-1])

    ms = one_turn(Contender("sleeper", work))
    assert 2 <= len(calls) <= 5  # the untimed one, then 100 ms in steps of 30 or, on a busy machine, more
    assert 30 <= ms < 200


@pytest.mark.parametrize(("scale", "parameters"), [(2, 694_404), (4, 715_176)])
def test_imdn_has_the_size_of_the_paper_s(scale: int, parameters: int) -> None:
    network = Imdn(scale)
    assert sum(value.numel() for value in network.parameters()) == parameters
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9 * scale, 7 * scale)


@pytest.mark.parametrize("name", [upscale.ENGINE, upscale.SPAN, upscale.IMDN])
def test_everyone_who_enlarges_is_timed_on_the_same_picture(name: str) -> None:
    case = upscale.Case(12, 10, 2.0, "fp32", torch.get_num_threads())
    work = upscale.engine_call(case) if name == upscale.ENGINE else upscale.network_call(name, case)
    made = work()
    pixels = getattr(made, "pixels", made)
    assert isinstance(pixels, np.ndarray)
    assert (pixels.shape, pixels.dtype) == ((24, 20, 3), np.uint8)
    spent = upscale.spend(name, case)
    assert spent.seconds > 0 and spent.cpu_s is not None


def test_the_most_memory_of_a_call_is_seen() -> None:
    with PeakMemory() as memory, mmap(-1, 200 << 20) as fresh:  # none that the process has kept from before
        fresh.write(bytes([1]) * len(fresh))
    assert memory.bytes == 0 or memory.bytes > 100 << 20


def test_a_card_s_figure_is_the_ratio_to_the_yardstick_s_times_its_own() -> None:
    told = cost.figures([(1.0, 2.0), (3.0, 4.0)], [(9.0, 8.0), (9.0, 16.0)], known=4.0)
    assert told.endswith("0.250 of liif  card 1.00")
