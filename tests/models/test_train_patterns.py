"""What a model makes of patterns of single pixels: bicubic nothing, and each fault that was put into one is found."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.cards import BY_NAME, Card
from models.cards.upscale import LEARNT
from models.classical import KERNELS, Resampler
from models.contract import View
from models.train import __main__ as command
from models.train import patterns, report
from models.train.patterns import AROUND, CONTRASTS, PATTERNS, Patterned

WEAK = "20 to 70 %"
NO_COLOUR = 1e-3  # levels of 255: float32
BICUBIC = Resampler(KERNELS["bicubic"])


class Changed:
    """Bicubic, whose samples (C, H, W) then go through `change`, which also sees the window they came of."""

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.change = change

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        return [self.change(out, one) for out, one in zip(BICUBIC(windows, views), windows, strict=True)]


def worst(rows: Sequence[Patterned], figure: str, inside: bool | None = None) -> float:
    return max(float(getattr(row, figure)) for row in rows if inside in (None, row.inside))


def test_bicubic_leaves_patterns_neutral_their_means_within_rounding_and_spots_in_their_place() -> None:
    rows, off_centre = patterns.judge("bicubic", BICUBIC, (2, 3, 3.7, 4))
    assert len(rows) == 2 * len(CONTRASTS) * len(PATTERNS)
    assert worst(rows, "tint") < NO_COLOUR
    weak = [row for row in rows if row.contrast == WEAK]
    assert worst(weak, "moved") < 0.5 and worst(weak, "local") < 0.5
    cut_off = {row.pattern for row in rows if row.moved >= 1}  # what is darker than black is cut off
    assert cut_off == {"diagonals, one pixel in three"}
    assert off_centre < 0.001


def tinted(out: Tensor, window: Tensor) -> Tensor:
    """More blue where neighbours differ."""
    detail = (out[:, 1:, 1:] - out[:, :-1, :-1]).abs().mean(0)
    changed = out.clone()
    changed[2, 1:, 1:] += detail / 2
    return changed


def tinted_among_colours(out: Tensor, window: Tensor) -> Tensor:
    is_grey = bool((window[0] == window[2]).all())
    return out if is_grey else tinted(out, window)


def parted(out: Tensor, window: Tensor) -> Tensor:
    """As much darker on the left as it is brighter on the right."""
    half = out.shape[2] // 2
    return torch.cat([out[..., :half] - 0.1, out[..., half:] + 0.1], 2)


def test_a_network_that_finds_colour_in_patterns_is_found() -> None:
    rows, _ = patterns.judge("bicubic", Changed(tinted), [2])
    assert worst(rows, "tint", inside=False) > 20 and worst(rows, "tint", inside=True) > 20


def test_a_network_that_finds_colour_only_inside_coloured_pictures_is_found() -> None:
    rows, _ = patterns.judge("bicubic", Changed(tinted_among_colours), [2])
    assert worst(rows, "tint", inside=False) < NO_COLOUR
    assert worst(rows, "tint", inside=True) > 20


def test_a_network_that_darkens_is_found_and_tints_nothing() -> None:
    rows, _ = patterns.judge("bicubic", Changed(lambda out, _: out * 0.9), [2])
    checker = next(row for row in rows if row.pattern == "checker of 1 px" and row.contrast == "full")
    assert checker.moved == pytest.approx(12.75, abs=0.01)
    assert worst(rows, "tint") < NO_COLOUR


def test_a_network_that_darkens_one_place_and_brightens_another_is_found_by_the_place() -> None:
    rows, _ = patterns.judge("bicubic", Changed(parted), [2])
    weak = [row for row in rows if row.contrast == WEAK]
    assert worst(weak, "moved") < 0.5
    assert 15 < worst(weak, "local") < 25.5  # a window on one side reaches a little to the other


@pytest.mark.parametrize("scale", [2, 3.7, 4])
def test_a_network_that_moves_its_picture_by_a_sample_is_found_at_each_scale(scale: float) -> None:
    right = Changed(lambda out, _: torch.roll(out, 1, 2))
    _, off_centre = patterns.judge("bicubic", right, [scale])
    assert off_centre == pytest.approx(1 / scale, rel=0.05)


def test_one_scale_of_several_that_is_wrong_counts() -> None:
    """The broken network spoils what is more than 60 samples a side."""
    rows, _ = patterns.judge("bicubic", Changed(lambda out, _: out * 0.9 if out.shape[1] > 60 else out), [3, 2])
    alone = [row for row in rows if not row.inside]
    assert min(row.moved for row in alone if row.contrast == WEAK) > 8


def test_patterns_are_grey_alone_and_the_same_inside_a_picture_in_colour() -> None:
    seen = set()
    for pattern in PATTERNS.values():
        for contrast, (low, high) in CONTRASTS.items():
            alone, picture = (patterns.draw(pattern, contrast, inside) for inside in (False, True))
            assert np.array_equal(picture[AROUND:-AROUND, AROUND:-AROUND], alone)
            assert (np.ptp(alone, axis=2) == 0).all() and np.ptp(picture[:AROUND], axis=2).mean() > 50
            assert low <= alone.min() <= low + 2 and high - 2 <= alone.max() <= high
            seen.add(alone.tobytes())
    assert len(seen) == len(PATTERNS) * len(CONTRASTS)


def test_a_dither_of_a_half_is_the_checker_and_one_of_a_quarter_the_dots() -> None:
    y, x = np.mgrid[: patterns.SIDE, : patterns.SIDE].astype(float)
    for share, name in ((1 / 2, "checker of 1 px"), (1 / 4, "dots, one pixel in four")):
        wanted, found = PATTERNS[name](y, x), patterns.dither(share)(y, x)
        assert any(np.array_equal(found, np.roll(wanted, (0, by), (0, 1))) for by in (0, 1))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Places:
    found = report.Places(tmp_path / "results", tmp_path / "RESULTS.md", patterns=tmp_path / "patterns")
    found.tables.write_text("# Runs\n\n<!-- patterns -->\nold\n<!-- end of patterns -->\n\nafter\n")
    monkeypatch.setattr(report, "Places", lambda: found)
    return found


def measure(*words: str) -> None:
    command.main(["patterns", *words, "--device", "cpu", "--threads", str(torch.get_num_threads())])


def test_what_is_measured_is_kept_and_one_model_measured_again_leaves_the_others_as_they_are(
    places: report.Places,
) -> None:
    measure("bicubic", "nearest", "--scales", "2", "--write")
    before = places.tables.read_text()
    assert before.startswith("# Runs\n\n<!-- patterns -->\n| model |") and "old" not in before and "\nafter\n" in before
    kept = {path.stem: report.read_patterns(path) for path in places.patterns.iterdir()}
    assert set(kept) == {"bicubic", "nearest"}
    assert kept["bicubic"].scales == (2.0,) and len(kept["bicubic"].rows) == 4 * len(PATTERNS)

    measure("nearest", "--scales", "2.5", "--write")
    after = places.tables.read_text()
    for name, stays in (("bicubic", True), ("nearest", False)):
        first, last = f"<!-- patterns {name} -->", f"<!-- end of patterns {name} -->"
        sections = [text.partition(first)[2].partition(last)[0] for text in (before, after)]
        assert sections[0].count("\n| ") == len(PATTERNS) + 1 and (sections[0] == sections[1]) == stays
        assert f"| {name} | 0.0 |" in after.partition("<!-- end of patterns -->")[0]
    assert "patterns nearest --scales 2.5; " in after


def test_nothing_is_kept_unless_asked_and_the_table_is_printed(
    places: report.Places, capsys: pytest.CaptureFixture[str]
) -> None:
    before = places.tables.read_text()
    measure("bicubic", "--scales", "2")
    assert "| checker of 1 px | 0.0 | 0.0 |" in capsys.readouterr().out
    assert places.tables.read_text() == before and not places.patterns.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["airnet"], "airnet do not enlarge, known are eclut"),
        (["bicubic", "nearest", "--weights", "x"], "--weights needs the name of its model"),
        (["bicubic", "--scales", "0.5"], "--scales are from 1 to 8"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure(*words)
    assert told in capsys.readouterr().err


TOLD = re.compile(r"patterns of single pixels.*?(neutral|tints them by up to (\d+) levels).*?mean by up to (\d+)")


@pytest.mark.parametrize("card", LEARNT, ids=lambda card: card.name)
def test_the_figures_on_a_card_are_those_that_were_measured(card: Card) -> None:
    """Rounded up, the worst of all patterns at all scales, of a card that names any."""
    told = [found for sentence in (*card.good_at, *card.bad_at) if (found := TOLD.search(sentence))]
    if not told:
        return
    (found,), kept = told, report.read_patterns(report.Places().patterns / f"{card.name}.json")
    assert kept.scales == patterns.SCALES and card.sha256 in (None, kept.sha256)
    tint, moved = (math.ceil(max(kept.worst(figure))) for figure in ("tint", "moved"))
    assert int(found[2] or 0) == tint and int(found[3]) == moved


@pytest.mark.parametrize("name", ["liif", "liif-real", "eclut", "srresnet", "srgan", "span"])
def test_who_spoils_patterns_says_so(name: str) -> None:
    assert any(TOLD.search(sentence) for sentence in BY_NAME[name].bad_at)
