"""What only a CUDA device can show: streams, threads, graphs, contexts, errors, gradients through the ops, kept files.

The kernels' numbers are tested in `test_cuda_lut3d` and its neighbours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kernels import cuda, ops
from kernels.cuda import eclut, loader, lut3d
from kernels.reference import eclut as ec_reference
from kernels.reference import lut3d as reference
from tests.kernels import test_modulated_mlp

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def device() -> torch.device:
    if missing := cuda.why_missing():
        pytest.skip(missing)
    return torch.device("cuda", torch.cuda.current_device())


def draw_picture(device: torch.device, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)).to(device)


def draw_lut(device: torch.device, nodes: int, seed: int = 0) -> Tensor:
    uneven = 0.1 * torch.rand(3, nodes, nodes, nodes, generator=torch.Generator().manual_seed(seed))
    return (reference.identity_lut(nodes) + uneven).to(device)


def test_nothing_is_missing_on_this_machine() -> None:
    assert cuda.why_missing() == ""


@pytest.mark.parametrize("path", [None, "nodes"])
def test_work_is_queued_on_the_current_stream(device: torch.device, path: Any) -> None:
    """The picture is written by the same stream, late: a launch on another would read what was there before."""
    lut, picture = draw_lut(device, 17), draw_picture(device, 1080, 1920, 3)
    wanted = lut3d.lut3d_apply(picture, lut, path)
    late = torch.zeros_like(picture)
    torch.cuda.synchronize()
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # type: ignore[no-untyped-call]
        late.copy_(picture)
        got = lut3d.lut3d_apply(late, lut, path)
    assert not stream.query()  # the host did not wait
    stream.synchronize()
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("path", [None, "texture"])
def test_a_table_prepared_on_one_stream_is_whole_on_another(device: torch.device, path: Any) -> None:
    lut, picture = draw_lut(device, 33), draw_picture(device, 540, 960, 3)
    wanted = lut3d.lut3d_apply(picture, lut, path)
    writer: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    late = torch.zeros_like(lut)
    torch.cuda.synchronize()
    with torch.cuda.stream(writer):
        torch.cuda._sleep(200_000_000)  # type: ignore[no-untyped-call]
        late.copy_(lut)
        table = lut3d.prepare(late, path)
    got = lut3d.look_up(picture, table)
    assert torch.equal(got, wanted)


def test_streams_at_work_together_do_not_disturb_each_other(device: torch.device) -> None:
    streams: list[Any] = [torch.cuda.Stream() for _ in range(4)]  # type: ignore[no-untyped-call]
    pictures = [draw_picture(device, 300 + k, 401, 3, seed=k) for k in range(4)]
    luts = [draw_lut(device, nodes, seed=nodes) for nodes in (2, 17, 33, 64)]
    wanted = [lut3d.lut3d_apply(picture, lut) for picture, lut in zip(pictures, luts, strict=True)]
    torch.cuda.synchronize()
    got: list[list[Tensor]] = [[] for _ in streams]
    for _ in range(20):
        for k, stream in enumerate(streams):
            with torch.cuda.stream(stream):
                got[k].append(lut3d.lut3d_apply(pictures[k], luts[k]))
    torch.cuda.synchronize()
    assert all(torch.equal(one, wanted[k]) for k in range(4) for one in got[k])


def test_threads_that_begin_together_get_the_same_kernels(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh threads have no CUDA context; nothing is loaded when they begin."""
    monkeypatch.setattr(loader, "_loaded", {})
    monkeypatch.setattr(loader, "_kernels", {})
    picture, lut = draw_picture(device, 64, 65, 3), draw_lut(device, 33)
    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(lambda _: lut3d.lut3d_apply(picture, lut), range(32)))
    assert all(torch.equal(one, result[0]) for one in result)
    assert len(loader._loaded) == 1


def test_a_graph_replays_what_it_captured(device: torch.device) -> None:
    picture, lut = draw_picture(device, 64, 65, 3), draw_lut(device, 33)
    lut3d.lut3d_apply(picture, lut)
    torch.cuda.synchronize()
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = lut3d.lut3d_apply(picture, lut)
    other = draw_picture(device, 64, 65, 3, seed=7)
    picture.copy_(other)
    graph.replay()
    assert torch.equal(out, lut3d.lut3d_apply(other, lut))


def test_a_prepared_table_is_read_in_a_capture(device: torch.device) -> None:
    picture, table = draw_picture(device, 64, 65, 3), lut3d.prepare(draw_lut(device, 33))
    wanted = lut3d.look_up(picture, table)
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = lut3d.look_up(picture, table)
    graph.replay()
    assert torch.equal(out, wanted)


def test_the_device_of_the_tensors_is_used_and_the_current_one_stays(device: torch.device) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device")
    for index in range(2):
        place = torch.device("cuda", index)
        got = lut3d.lut3d_apply(draw_picture(place, 20, 21, 3), draw_lut(place, 33))
        assert got.device == place
        assert torch.cuda.current_device() == device.index
        assert torch.equal(got.cpu(), lut3d.lut3d_apply(draw_picture(device, 20, 21, 3), draw_lut(device, 33)).cpu())


def test_torch_goes_on_in_its_own_context_after_a_launch(device: torch.device) -> None:
    context = loader.make_current(device).context
    lut3d.lut3d_apply(draw_picture(device, 20, 21, 3), draw_lut(device, 33))
    assert loader.make_current(device).context == context
    assert float((torch.ones(8, device=device) @ torch.ones(8, device=device)).item()) == 8


def test_an_error_names_its_kernel_and_leaves_the_device_at_work(device: torch.device) -> None:
    with pytest.raises(RuntimeError, match="CUDA kernel lut3d_pack could not be launched"):
        loader.launch("lut3d/lut3d.cu", "lut3d_pack", (1,), 4096, 0, 2, 0, 0, 0, device=device)
    with pytest.raises(RuntimeError, match="CUDA kernel no_such could not be loaded"):
        loader.launch("lut3d/lut3d.cu", "no_such", (1,), 32, device=device)
    lut3d.lut3d_apply(draw_picture(device, 20, 21, 3), draw_lut(device, 33))
    torch.cuda.synchronize()


def test_the_ops_use_these_kernels(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    launch = loader.launch

    def noted(source: str, kernel: str, *rest: Any, **named: Any) -> None:
        launched.append(kernel)
        launch(source, kernel, *rest, **named)

    monkeypatch.setattr(loader, "launch", noted)
    picture, lut = draw_picture(device, 20, 21, 3), draw_lut(device, 5)
    assert torch.equal(ops.lut3d_apply(picture, lut), lut3d.lut3d_apply(picture, lut))
    colours = torch.rand(2, 3, 4, 5, device=device, requires_grad=True)
    torch.autograd.backward(ops.lut3d(colours, lut.requires_grad_()).sum())
    torch.ops.lutra.eclut(picture, torch.zeros(65536, 36, dtype=torch.int8, device=device), 2, "lr")
    assert {"lut3d_u8", "lut3d_forward_f32", "lut3d_backward_picture_f32", "eclut_lr_2"} <= set(launched)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_gradients_pass_gradcheck(device: torch.device, own: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 4, (2, 3, 3, 4), generator=generator)
    parts = 0.2 + 0.6 * torch.rand(2, 3, 3, 4, generator=generator, dtype=torch.float64)
    picture = ((cells + parts) / 4).to(device).requires_grad_()  # away from nodes and clamps
    lut = torch.rand((2, 3, 5, 5, 5) if own else (3, 5, 5, 5), generator=generator, dtype=torch.float64).to(device)
    assert torch.autograd.gradcheck(ops.lut3d, (picture, lut.requires_grad_()), nondet_tol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ops_pass_opcheck(device: torch.device, dtype: torch.dtype) -> None:
    colours, lut = torch.rand(2, 3, 5, 6, device=device, dtype=dtype), draw_lut(device, 5).to(dtype)
    torch.library.opcheck(torch.ops.lutra.lut3d.default, (colours.requires_grad_(), lut.requires_grad_()))
    torch.library.opcheck(torch.ops.lutra.lut3d_apply.default, (draw_picture(device, 7, 8, 3), draw_lut(device, 5)))


def draw_deformed(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """x, offset, mask, weight; offsets away from grid lines."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(-2, 3, (2, 18, 3, 4), generator=generator)
    offset = cells + 0.2 + 0.6 * torch.rand(2, 18, 3, 4, generator=generator, dtype=torch.float64)
    shapes = (2, 2, 3, 4), (2, 9, 3, 4), (3, 2, 3, 3)
    x, mask, weight = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return [tensor.to(device, dtype).requires_grad_() for tensor in (x, offset, mask, weight)]


def test_gradients_of_the_deformable_convolution_pass_gradcheck(device: torch.device) -> None:
    inputs = draw_deformed(device, torch.float64)
    assert torch.autograd.gradcheck(ops.deform_conv2d, inputs, nondet_tol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_deformable_convolution_passes_opcheck(device: torch.device, dtype: torch.dtype) -> None:
    torch.library.opcheck(torch.ops.lutra.deform_conv2d.default, tuple(draw_deformed(device, dtype)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_render_perceptron_passes_opcheck(device: torch.device, dtype: torch.dtype) -> None:
    modulations, base, (rows, cols, cell), layers = test_modulated_mlp.draw_inputs(5, 4, 1.5)
    arguments = modulations.to(dtype), base, *rows, *cols, *cell, *layers
    moved = tree_map_only(Tensor, lambda tensor: tensor.to(device), arguments)
    torch.library.opcheck(torch.ops.lutra.modulated_mlp.default, moved)


def test_a_large_picture_is_enlarged_as_the_reference_does(device: torch.device) -> None:
    picture = draw_picture(device, 540, 961, 3)
    table = torch.randint(-128, 128, (65536, 144), generator=torch.Generator().manual_seed(0)).to(torch.int8).to(device)
    assert torch.equal(eclut.eclut(picture, table, 4), ec_reference.eclut(picture, table, 4))


def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    """A first process keeps what it compiles; in a second one the compiler must not be called."""
    first = "from kernels import cuda; assert cuda.why_missing() == '', cuda.why_missing()"
    second = f"from kernels.cuda import loader; loader.compile_source = None; {first}"
    environment = os.environ | {"LUTRA_CACHE_DIR": str(tmp_path)}
    for script in (first, second):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "cuda").iterdir())) == len(loader.SOURCES)
