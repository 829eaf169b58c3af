"""Every path of the compiled look-up for serving, against eight corners written out in float64.

Tolerances, in codes, against the value before rounding (0.5 is what rounding alone costs):
    8 bits, tame table   0.51        16-bit entries and weights add at most a hundredth, by `is_tame`'s bound
    8 bits, any table    0.5 + 1e-3  floating point, whose float32 carries 2^-24 of values up to 16; beyond that float64
    16 bits              1           the same float32, in codes that are 257 times smaller
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels import cpu
from kernels.reference.lut3d import identity_lut
from tests.kernels.test_lut3d import eight_corners

pytestmark = pytest.mark.skipif(bool(cpu.why_missing()), reason=cpu.why_missing())

NAMES = ("portable", "exact", "avx2", "avx512")
FAST = ("avx2", "avx512")


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in FAST and name not in cpu.paths():
        pytest.skip(f"this processor or this build has no {name}")
    return name


def tame(nodes: int, gain: float = 1.2) -> Tensor:
    """A tone curve and a twist of colour, beyond [0, 1] at both ends."""
    base = identity_lut(nodes)
    return gain * (base - 0.5) + 0.5 + 0.03 * torch.sin(5 * base.flip(0) + 2 * base.roll(1, 0))


def is_tame(lut: Tensor) -> bool:
    """Whether 16-bit integers hold the table to a hundredth of an 8-bit code."""
    from kernels import _cpu

    return _cpu.is_tame(lut)


def steep(nodes: int, reach: float) -> Tensor:
    return reach * torch.randn(3, nodes, nodes, nodes, generator=torch.Generator().manual_seed(nodes))


def codes(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    top = 255 if dtype == torch.uint8 else 65535
    drawn = torch.randint(0, top + 1, shape, generator=torch.Generator().manual_seed(sum(shape)))
    drawn.view(-1)[:2] = torch.tensor([0, top])[: drawn.numel()]
    return drawn.to(dtype)


def error(picture: Tensor, lut: Tensor, path: str) -> float:
    top = 255 if picture.dtype == torch.uint8 else 65535
    result = cpu.lut3d_apply(picture, lut, path=path).double().permute(2, 0, 1)[None]
    wanted = eight_corners(picture.double().permute(2, 0, 1)[None] / top, lut.double()) * top
    return float((result - wanted.clamp(0, top)).abs().max())


@pytest.mark.parametrize("nodes", [9, 17, 32, 33, 34, 65, 129])
def test_a_tame_table_costs_a_hundredth_of_a_code_on_every_path(path: str, nodes: int) -> None:
    lut = tame(nodes)
    assert is_tame(lut)
    assert error(codes(97, 101, 3), lut, path) <= 0.51


@pytest.mark.parametrize("reach", [0.5, 10.0, 1e6, 1e30])
@pytest.mark.parametrize("nodes", [2, 3, 17, 33, 129])
def test_a_steep_table_is_looked_up_in_floating_point(path: str, nodes: int, reach: float) -> None:
    lut = steep(nodes, reach)
    assert not is_tame(lut)
    assert error(codes(33, 41, 3), lut, path) <= 0.501


@pytest.mark.parametrize("make", [tame, lambda nodes: steep(nodes, 0.5), lambda nodes: steep(nodes, 1e6)])
@pytest.mark.parametrize("nodes", [2, 17, 33, 129])
def test_sixteen_bits_are_within_one_code(path: str, nodes: int, make: object) -> None:
    assert error(codes(33, 41, 3, dtype=torch.uint16), make(nodes), path) <= 1  # type: ignore[operator]


@pytest.mark.parametrize("low", [-3.0, 0.2, 5.0])
def test_a_table_of_one_value_gives_that_value(path: str, low: float) -> None:
    lut = torch.full((3, 5, 5, 5), low)
    wanted = min(max(int(low * 255 + 0.5), 0), 255)
    assert bool((cpu.lut3d_apply(codes(9, 31, 3), lut, path=path) == wanted).all())


def test_the_bound_of_a_tame_table_holds_where_it_is_tight() -> None:
    """Neighbours that differ as much as a tame table allows, up and down in turn."""
    nodes = 33
    signs = (-1.0) ** torch.arange(nodes)
    low, high = 0.0, 1.0
    for _ in range(20):
        reach = (low + high) / 2
        low, high = (reach, high) if is_tame(zigzag(signs, reach)) else (low, reach)
    lut = zigzag(signs, low)
    assert low > 0.05
    everything = torch.cartesian_prod(*[torch.arange(0, 256, 3)] * 3).to(torch.uint8)[None]
    for path in (name for name in FAST if name in cpu.paths()):
        assert error(everything, lut, path) <= 0.51


def zigzag(signs: Tensor, reach: float) -> Tensor:
    plane = reach * signs[:, None, None] * signs[None, :, None] * torch.ones(len(signs))
    return 0.5 + plane.expand(3, -1, -1, -1)


@pytest.mark.skipif(len(set(FAST) & set(cpu.paths())) < 2, reason="one vector path at most is here")
def test_the_vector_paths_give_the_same_codes() -> None:
    for count in [*range(1, 50), 255, 256, 257, 1000]:
        picture = codes(1, count, 3)
        assert torch.equal(*(cpu.lut3d_apply(picture, tame(33), path=name) for name in FAST))


def test_nothing_is_written_beyond_the_picture(path: str) -> None:
    from kernels import _cpu

    for count in (1, 7, 8, 9, 15, 16, 17, 255, 256, 257, 300):
        picture = codes(count, 3)
        guarded = np.full(3 * count + 128, 77, np.uint8)
        out = torch.from_numpy(guarded[64 : 64 + 3 * count]).view(-1, 3)
        _cpu.lut3d_apply(picture, tame(17), out, 1, path)
        assert (guarded[:64] == 77).all()
        assert (guarded[64 + 3 * count :] == 77).all()
        assert torch.equal(out, cpu.lut3d_apply(picture[None], tame(17), path=path)[0])


def test_threads_change_nothing(path: str) -> None:
    picture = codes(1100, 1000, 3)
    one = cpu.lut3d_apply(picture, tame(33), threads=1, path=path)
    assert torch.equal(cpu.lut3d_apply(picture, tame(33), threads=3, path=path), one)


def test_an_unknown_path_is_refused() -> None:
    with pytest.raises(ValueError, match='path is "sse", wanted auto, avx512, avx2, exact or portable'):
        cpu.lut3d_apply(codes(2, 2, 3), tame(3), path="sse")


@pytest.mark.parametrize("value", [1.1, 17.0, 8.43e6, 1e12, 2.0**100])
def test_a_table_far_beyond_white_is_white_and_far_below_black_is_black(path: str, value: float) -> None:
    for sign, code in ((1, 255), (-1, 0)):
        lut = torch.full((3, 2, 2, 2), sign * value)
        assert bool((cpu.lut3d_apply(codes(4, 5, 3), lut, path=path) == code).all())
