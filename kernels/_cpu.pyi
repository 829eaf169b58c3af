"""The compiled CPU kernels, built from kernels/csrc by CMakeLists.txt; kernels.cpu loads them."""

from torch import Tensor

def paths() -> list[str]: ...
def has_avx512bf16() -> bool: ...
def area_mean(picture: Tensor, out: Tensor, threads: int) -> None: ...
def deform_columns(
    x: Tensor, offset: Tensor, mask: Tensor, columns: Tensor, first: int, threads: int, path: str
) -> None: ...
def deform_convolve(
    x: Tensor, offset: Tensor, mask: Tensor, taps: Tensor, out: Tensor, threads: int, path: str
) -> None: ...
def deform_differentiate(
    grad: Tensor,
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    taps: Tensor,
    by_x: Tensor | None,
    by_offset: Tensor | None,
    by_mask: Tensor | None,
    by_taps: Tensor | None,
    threads: int,
    path: str,
) -> None: ...
def deform_gradients(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    by_columns: Tensor,
    columns: Tensor | None,
    by_offset: Tensor | None,
    by_mask: Tensor | None,
    first: int,
    threads: int,
    path: str,
) -> None: ...
def deform_scatter(
    x: Tensor, offset: Tensor, mask: Tensor, by_columns: Tensor, by_x: Tensor, first: int, threads: int, path: str
) -> None: ...
def eclut(picture: Tensor, table: Tensor, scale: int, out: Tensor, threads: int, path: str) -> None: ...
def has_deform_products(of_bfloat16: bool, channels: int, outputs: int) -> bool: ...
def lut3d_apply(picture: Tensor, lut: Tensor, out: Tensor, threads: int, path: str) -> None: ...
def naf_block(
    x: Tensor, scale: Tensor, shift: Tensor, layers: list[Tensor], out: Tensor, threads: int, path: str
) -> None: ...
def resample(
    planes: Tensor,
    row_first: Tensor,
    row_weight: Tensor,
    col_first: Tensor,
    col_weight: Tensor,
    out: Tensor,
    threads: int,
    path: str,
) -> None: ...
def resample_codes(
    picture: Tensor,
    row_first: Tensor,
    row_weight: Tensor,
    col_first: Tensor,
    col_weight: Tensor,
    out: Tensor,
    threads: int,
    path: str,
) -> None: ...
def value_range(values: Tensor) -> tuple[float, float]: ...
def is_tame(lut: Tensor) -> bool: ...
def lut3d_forward(picture: Tensor, lut: Tensor, out: Tensor, threads: int) -> None: ...
def lut3d_backward(
    grad: Tensor,
    picture: Tensor,
    lut: Tensor,
    grad_picture: Tensor | None,
    grad_lut: Tensor | None,
    threads: int,
) -> None: ...
def modulated_mlp(
    modulations: Tensor,
    base: Tensor,
    row_floor: Tensor,
    row_part: Tensor,
    col_floor: Tensor,
    col_part: Tensor,
    weights: Tensor,
    out: Tensor,
    threads: int,
    path: str,
) -> None: ...
def modulated_mlp_predict(
    modulations: Tensor,
    here: Tensor,
    rows: Tensor,
    cols: Tensor,
    layers: Tensor,
    out: Tensor,
    threads: int,
    path: str,
) -> None: ...
def modulated_mlp_predict_backward(
    grad: Tensor,
    modulations: Tensor,
    here: Tensor,
    rows: Tensor,
    cols: Tensor,
    layers: Tensor,
    by_modulations: Tensor,
    by_here: Tensor,
    by_layers: Tensor,
    threads: int,
    path: str,
) -> None: ...
