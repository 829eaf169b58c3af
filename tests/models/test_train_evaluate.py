from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from models import scores as known
from models import weights
from models.cards import ALL, CARDS
from models.classical import KERNELS, Resampler
from models.train import __main__ as command
from models.train import evaluate, loop, report
from models.train.evaluate import BICUBIC, Retouched, Task, Upscaled
from models.train.recipes import lut3d
from models.train.run import Budget, Options
from tests.models.drawn import real_set

BUDGET = Budget(minutes=1, batch=2, lr=1e-4, patch=256, queries=16, steps=1)


@pytest.fixture
def places(tmp_path: Path) -> report.Places:
    tables = tmp_path / "RESULTS.md"
    tables.write_text("# Runs\n\n<!-- scores bicubic -->\nold\n<!-- end of scores bicubic -->\n\nafter\n")
    return report.Places(tmp_path / "results", tables, tmp_path / "scores")


def bicubic() -> Resampler:
    return Resampler(KERNELS["bicubic"])


def test_our_bicubic_scores_what_pillows_scores(data: Path) -> None:
    ours, pillows = evaluate.evaluate_upscaler("bicubic", bicubic(), [Task("Set5", data / "bench" / "Set5", 2)])
    assert (ours.model, pillows.model) == ("bicubic", BICUBIC)
    assert ours.psnr_y == pytest.approx(pillows.psnr_y, abs=0.3)
    assert ours.ssim_y == pytest.approx(pillows.ssim_y, abs=0.02)
    assert ours.ms_per_mp > 0


def test_pillows_bicubic_has_the_published_scores_on_set5() -> None:
    folder = real_set("Set5")
    for scale, decibels, similarity in ((2, 33.67, 0.9292), (3, 30.40, 0.8678), (4, 28.43, 0.8101)):
        _, row = evaluate.evaluate_upscaler("bicubic", bicubic(), [Task("Set5", folder, scale)])
        assert row.psnr_y == pytest.approx(decibels, abs=0.005)
        assert row.ssim_y == pytest.approx(similarity, abs=0.0005)


def test_a_grey_picture_is_scored_by_its_own_values(data: Path) -> None:
    folder = data / "bench" / "Set5" / "HR"
    for path in folder.iterdir():
        Image.open(path).convert("L").save(path)
    task = Task("Set5", folder.parent, 2)
    _, grey = evaluate.evaluate_upscaler("bicubic", bicubic(), [task])
    for path in folder.iterdir():
        Image.open(path).convert("RGB").save(path)
    _, colour = evaluate.evaluate_upscaler("bicubic", bicubic(), [task])
    assert colour.psnr_y - grey.psnr_y == pytest.approx(20 * math.log10(255 / 219), abs=1e-6)
    assert grey.psnr_y == pytest.approx(grey.psnr_rgb, abs=1e-9)


def test_what_is_measured_unless_told(data: Path) -> None:
    tasks = evaluate.plan(data)
    assert [(task.scale, task.jpeg) for task in tasks if task.jpeg is None] == [(s, None) for s in (2, 3, 4, 6, 8)]
    assert [(task.scale, task.jpeg) for task in tasks if task.jpeg] == [(s, 75) for s in (2, 3, 4)]
    assert [(t.scale, t.jpeg) for t in evaluate.plan(data, ["Set5"], [2.5], [0])] == [(2.5, None)]
    with pytest.raises(FileNotFoundError, match=r"no set Set9 below .* found Set5"):
        evaluate.plan(data, ["Set9"])


def test_an_evaluation_ends_in_a_table_a_file_and_the_cards(
    data: Path, places: report.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "Places", lambda: places)
    words = ["evaluate", "bicubic", "--data", str(data), "--scales", "2", "2.5", "--write", "--device", "cpu"]
    command.main([*words, "--threads", str(torch.get_num_threads())])
    text = places.tables.read_text()
    assert text.startswith("# Runs\n\n<!-- scores bicubic -->\n| set |")
    assert text.endswith("<!-- end of scores bicubic -->\n\nafter\n")
    assert "old" not in text
    assert text.count("\n| Set5 ") == 2
    assert text.count("\n| Set5, JPEG 75 ") == 2
    kept = report.read(places.results / "bicubic.json")
    assert kept is not None
    assert len(kept.rows) == 8
    written = known.read("bicubic", places.scores)
    upscaled = [row for row in kept.rows if isinstance(row, evaluate.Upscaled)]
    ours = next(row for row in upscaled if row.model == "bicubic" and row.scale == 2.5 and row.jpeg is None)
    assert written.scores["Set5 x2.5 Y"] == round(ours.psnr_y, 2)
    assert written.source == kept.source
    assert str(data) not in text + (places.scores / "bicubic.json").read_text()


def row(**changed: object) -> Upscaled:
    plain = Upscaled("liif", "Set5", 2.0, None, 5, 37.0, 0.96, 35.0, 0.95, 4000.0)
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def test_rows_of_the_same_weights_are_joined_and_others_replaced() -> None:
    before = report.Report("liif", "a", "cpu", "fp32", "2026-01-01", (row(), row(scale=3.0)))
    again = dataclasses.replace(before, rows=(row(psnr_y=38.0),))
    joined = report.join(before, again)
    assert [(one.scale, one.psnr_y) for one in joined.rows if isinstance(one, Upscaled)] == [(2.0, 38.0), (3.0, 37.0)]
    assert report.join(before, dataclasses.replace(again, sha256="b")).rows == again.rows


def test_a_retoucher_is_measured_against_its_teacher_and_the_expert(data: Path) -> None:
    teacher = lut3d.read_teacher(data / "weights" / "ia3dlut_fivek_paired")
    rows = [one for one in evaluate.evaluate_retoucher("lut3d", teacher, data) if isinstance(one, Retouched)]
    found = {(one.model, one.set): one for one in rows}
    assert found["lut3d", "kodak24"].psnr == math.inf
    assert found["lut3d", "fivek9"].psnr == found["teacher", "fivek9"].psnr
    assert found["lut3d", "kodak24"].delta_e == 0
    given = found["input", "fivek9"]
    assert given.psnr_min <= given.psnr <= given.psnr_max
    assert given.psnr_spread > 0
    assert "| fivek9, 3 | target | lut3d |" in report.retouched_table(rows)
    assert evaluate.scores_of(rows, "lut3d")["fivek9 RGB teacher"] == round(found["teacher", "fivek9"].psnr, 2)


def test_scores_are_kept_in_the_header_and_the_tensors_stay(data: Path, tmp_path: Path) -> None:
    path, _ = loop.train(lut3d.Recipe(BUDGET), Options(data, tmp_path / "run"))
    before = weights.load(path)
    words = ["evaluate", "lut3d", "--data", str(data), "--weights", str(path), "--keep", "--device", "cpu"]
    command.main([*words, "--threads", str(torch.get_num_threads())])
    after = weights.load(path)
    assert after.facts["scores"].keys() >= {"fivek9 RGB", "fivek9 RGB spread", "kodak24 RGB against teacher"}
    assert all(torch.equal(after.state_dict[key], value) for key, value in before.state_dict.items())


def test_the_scores_on_the_cards_are_those_of_the_weights_that_are_served() -> None:
    for path in report.Places().results.glob("*.json"):
        found = report.read(path)
        assert found is not None
        card = CARDS.get(found.model)
        if card is None:  # measured with the files of its authors, which do not lie here
            assert found.model in {one.name for one in ALL}
            continue
        assert found.sha256 == card.sha256
        assert evaluate.scores_of(list(found.rows), found.model) == card.measured.scores
        assert json.loads(path.read_text())["model"] == path.stem
