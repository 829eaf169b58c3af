"""What a published SPAN makes of photographs: once for each, the same however they are turned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from models.span import Span, SpanConfig
from models.train import teacher
from models.train.data import Photos, find_photos, shrink_bicubic
from tests.models.drawn_span import plain


@torch.no_grad()
def test_the_teacher_answers_once_for_each_photograph(taught: Path, tmp_path: Path) -> None:
    photos = Photos.read(find_photos(taught))
    known = teacher.find_teacher(taught, 8)
    assert known is not None
    assert set(known.networks) == {2, 4}
    assert teacher.lessons(photos, known, 4, tmp_path, make=False) == {}
    found = teacher.lessons(photos, known, 4, tmp_path)
    assert found.keys() == set(range(len(photos.pixels)))
    height, width = (side // 4 for side in photos.pixels[0].shape[:2])
    assert found[0].small.shape == (height, width, 3)
    assert (found[0].small == shrink_bicubic(photos.pixels[0][: 4 * height, : 4 * width], (height, width))).all()
    x = torch.from_numpy(np.array(found[0].small)).permute(2, 0, 1)[None].float() / 255
    wanted = teacher.ensemble(known.networks[4], x)[0].clamp(0, 1) * 255
    assert (torch.from_numpy(np.array(found[0].answer)).permute(2, 0, 1) - wanted).abs().max() <= 0.51
    nobody = dataclasses.replace(known, networks={})
    assert teacher.lessons(photos, nobody, 4, tmp_path).keys() == found.keys()
    assert teacher.find_teacher(taught, 52) is None


@torch.no_grad()
def test_the_ensemble_turns_with_its_picture() -> None:
    span = Span(SpanConfig(8, (2,)))
    span.load_state_dict({f"of.x2.{key}": value for key, value in plain(8, 2).items()})
    x = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    whole = teacher.ensemble(span.largest, x)
    for which in range(8):
        turned = teacher.turned(teacher.ensemble(span.largest, teacher.turned(x, which)), which, back=True)
        assert (turned - whole).abs().max() < 1e-4 * whole.abs().max()
        assert torch.equal(teacher.turned(teacher.turned(x[..., :5], which), which, back=True), x[..., :5])
    assert (span.largest.enlarge(x) - whole).abs().max() > 1e-2 * whole.abs().max()
