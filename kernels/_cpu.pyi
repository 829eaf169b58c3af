"""The compiled CPU kernels, built from kernels/csrc by CMakeLists.txt; kernels.cpu loads them."""

from torch import Tensor

def paths() -> list[str]: ...
def lut3d_forward(picture: Tensor, lut: Tensor, out: Tensor, threads: int) -> None: ...
def lut3d_backward(
    grad: Tensor,
    picture: Tensor,
    lut: Tensor,
    grad_picture: Tensor | None,
    grad_lut: Tensor | None,
    threads: int,
) -> None: ...
