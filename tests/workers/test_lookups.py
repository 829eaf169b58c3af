"""Pictures through tables: what the GPU's kernels are asked for, run on a processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.cuda import lut3d as stored
from kernels.reference.lut3d import identity_lut, lut3d_apply
from tests.kernels import cuda_on_host
from workers.engine import lookups
from workers.engine.passes import Array
from workers.pictures.picture import Picture


def through_prepared(pixels: Array, lut: torch.Tensor) -> Array:
    apply = lookups.prepared_table(lut)
    picture = Picture(pixels, None, None, None, "png", False)
    bands = lookups.through(
        picture, lambda band: apply(torch.from_numpy(band.copy())).numpy(), lambda done, total: None, 1000
    )
    return bands.pixels


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_bands_of_a_picture_share_one_prepared_table(
    kind: type, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda_on_host.stand_in(monkeypatch)
    prepared: list[str | None] = []

    prepare_table = stored.prepare

    def prepare(lut: torch.Tensor, path: stored.Way | None = None) -> stored.Table:
        prepared.append(path)
        return prepare_table(lut, path)

    monkeypatch.setattr(stored, "prepare", prepare)
    pixels = np.random.default_rng(4).integers(0, np.iinfo(kind).max, (50, 70, channels), kind, endpoint=True)
    lut = identity_lut(33).flip(0) ** 0.7
    found = through_prepared(pixels, lut)
    assert prepared == ["nodes" if kind == np.uint16 or channels == 1 else None]
    if channels == 3:
        expected = lut3d_apply(torch.from_numpy(pixels), lut).numpy()
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_table_of_values_that_are_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_on_host.stand_in(monkeypatch)
    with pytest.raises(ValueError, match="not finite"):
        through_prepared(np.zeros((2, 2, 3), np.uint8), identity_lut(9) * torch.nan)
