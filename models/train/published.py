"""Figures that papers print, to stand beside ours. They are others' measurements, of larger networks or other pictures.

Source: LIIF, CVPR 2021, table of benchmarks (RDN encoder; the paper has no EDSR rows there), PSNR on Y; image-adaptive
3D LUT, TPAMI 2022, FiveK 480p, 500 pictures, expert C (MATLAB, dE of CIE76); AirNet, CVPR 2022, one network for all,
as later papers repeat it, with noise drawn in another order. Its figures for haze are of other pictures than ours.
IMDN, ACM MM 2019, table of benchmarks, PSNR on Y: a network that stands in the plot alone.
"""

from __future__ import annotations

LIIF_RDN: dict[str, dict[float, float]] = {
    "Set5": {2: 38.17, 3: 34.68, 4: 32.50, 6: 29.15, 8: 27.14},
    "Set14": {2: 33.97, 3: 30.53, 4: 28.80, 6: 26.64, 8: 25.15},
    "BSD100": {2: 32.32, 3: 29.26, 4: 27.74, 6: 25.98, 8: 24.91},
}
PSNR_Y: dict[str, dict[str, dict[float, float]]] = {"liif": LIIF_RDN, "liif-real": LIIF_RDN}
IMDN: dict[str, dict[float, float]] = {"Set5": {2: 38.00, 4: 32.21}, "Set14": {2: 33.63, 4: 28.58}}

LUT3D_FIVEK_PSNR, LUT3D_FIVEK_DELTA_E = 25.21, 7.61

AIRNET: dict[tuple[str, str], tuple[float, float]] = {  # set and damage: PSNR and SSIM, both in RGB
    ("CBSD68", "sigma 15"): (33.92, 0.933),
    ("CBSD68", "sigma 25"): (31.26, 0.888),
    ("CBSD68", "sigma 50"): (28.00, 0.797),
    ("rain100l", "rain"): (34.90, 0.968),
}
