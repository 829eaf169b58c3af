"""Contact sheets of photos and models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.train import __main__ as command
from models.train import sheet


def test_a_contact_sheet_has_a_row_for_each_photo_and_a_column_for_each_model(data: Path, tmp_path: Path) -> None:
    photos = sorted((data / "train" / "photos").iterdir())[:2]
    words = ["sheet", *map(str, photos), "-o", str(tmp_path / "sheet.png"), "--side", "60", "--scale", "3"]
    command.main([*words, "--models", "nearest", "bicubic", "--threads", str(torch.get_num_threads())])
    found = np.asarray(Image.open(tmp_path / "sheet.png"))
    wide, tall = 60 + sheet.GAP, 60 + sheet.GAP
    assert found.shape == (sheet.HEAD + 2 * tall, sheet.GAP + 4 * wide, 3)
    column = [found[sheet.HEAD : sheet.HEAD + 60, sheet.GAP + k * wide : sheet.GAP + k * wide + 60] for k in range(4)]
    assert np.array_equal(column[0], column[1])
    assert not np.array_equal(column[1], column[2])
    photo = np.asarray(Image.open(photos[0]))
    assert np.array_equal(column[3], photo[2:62, 10:70])
