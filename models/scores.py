"""Scores of the models, {model: {benchmark: value}}, and how they were measured; the cards carry them to users.

Written by `python -m models.train evaluate NAME --data DIR --write`; not to be edited by hand. PSNR in dB.
"""

SCORES: dict[str, dict[str, float]] = {
    "lut3d": {
        "fivek9 RGB": 23.61,
        "fivek9 RGB spread": 5.24,
        "fivek9 RGB dE 76": 10.25,
        "fivek9 RGB teacher": 22.89,
        "fivek9 RGB input": 21.53,
        "kodak24 RGB against teacher": 36.7,
        "kodak24 RGB against teacher spread": 4.81,
        "kodak24 RGB against teacher dE 76": 2.03,
        "kodak24 RGB against teacher input": 20.87,
    },
    "liif": {
        "Set5 x2 Y": 37.18,
        "Set5 x2 RGB": 34.91,
        "Set5 x3 Y": 33.29,
        "Set5 x3 RGB": 31.26,
        "Set5 x4 Y": 31.09,
        "Set5 x4 RGB": 29.12,
        "Set14 x2 Y": 32.85,
        "Set14 x2 RGB": 30.74,
        "Set14 x3 Y": 29.66,
        "Set14 x3 RGB": 27.74,
        "Set14 x4 Y": 27.93,
        "Set14 x4 RGB": 26.1,
        "BSD100 x2 Y": 31.68,
        "BSD100 x2 RGB": 30.32,
        "BSD100 x3 Y": 28.67,
        "BSD100 x3 RGB": 27.31,
        "BSD100 x4 Y": 27.16,
        "BSD100 x4 RGB": 25.81,
        "Set5 x6 Y": 27.94,
        "Set5 x6 RGB": 26.1,
        "Set5 x8 Y": 26.13,
        "Set5 x8 RGB": 24.34,
        "Set14 x6 Y": 25.76,
        "Set14 x6 RGB": 24.02,
        "Set14 x8 Y": 24.38,
        "Set14 x8 RGB": 22.69,
    },
}

MEASURED: dict[str, str] = {
    "lut3d": "python -m models.train evaluate lut3d --data DIR; 1 core AMD EPYC, fp32, 2026-11-20, weights 74188e31c4c4",  # noqa: E501
    "liif": "python -m models.train evaluate liif --data DIR; 2 cores AMD EPYC (Zen 5, AVX-512), 2026-11-20",
}
