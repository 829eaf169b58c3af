"""What a restorer says of damage that is known: what it found, asked for one kind alone, its codes as points."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.airnet_u import UNSURE
from models.look import Look
from models.train import __main__ as command
from models.train import kinds
from models.train.data import list_pictures
from tests.models.brought import bring_airnet_u, drawn_airnet_u

LABELS = ("noise", "rain", "haze", "jpeg")


class Oracle(nn.Module):
    """Finds what it is told to, and brightens by a level for each place of the kind that it is asked for."""

    bytes_per_pixel, reach = 1, 0

    def __init__(self, likely: dict[str, float]) -> None:
        super().__init__()
        self.likely = likely

    def examine(self, look: Look, only: str | None = None) -> tuple[Tensor, dict[str, float]]:
        levels = 0 if only is None else 1 + LABELS.index(only)
        return torch.full((1, 3), levels / 255), self.likely

    def forward(self, windows: Tensor, condition: Tensor) -> Tensor:
        return windows + condition[0, 0]


def answer(kind: str, **found: float) -> kinds.Answer:
    code = np.random.default_rng(len(kind)).standard_normal(6).astype(np.float32)
    return kinds.Answer(kind, code, dict.fromkeys(LABELS, 0.1) | found)


def test_a_picture_is_told_as_its_likeliest_kind_and_as_clean_below_one_half() -> None:
    assert answer("rain", rain=0.6, noise=0.7).told == "noise"
    assert answer("rain", rain=0.49).told == "clean"


def test_the_table_counts_what_was_told_as_what_and_the_share_told_right() -> None:
    lines = kinds.confusion([answer("rain", rain=0.9), answer("rain", haze=0.8), answer("clean")]).splitlines()
    assert next(line for line in lines if line.startswith("| rain |")).startswith(
        "| rain | 0 | 1 | 1 | 0 | 0 | noise 0.10"
    )
    assert lines[-1] == "told right: 2 of 3"


def test_each_photograph_is_spoilt_by_each_kind_and_alike_each_time(data: Path) -> None:
    photos = list_pictures(data / "bench" / "kodak24")
    first, again = (list(kinds.spoil(photos, 32)) for _ in range(2))
    assert [one.kind for one in first] == len(photos) * [*LABELS, "clean"]
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one.pixels, same.pixels)
        assert one.pixels.shape == one.clean.shape
        assert np.array_equal(one.pixels, one.clean) <= (one.kind in ("clean", "rain")), (
            "of 32 pixels rain may miss all"
        )


def test_asked_for_one_kind_gain_and_change_are_those_of_that_answer() -> None:
    clean = np.full((16, 16, 3), 100, np.uint8)
    one = kinds.Spoilt("haze", clean - 6, clean)
    model = Oracle({})
    for only, levels in ((None, 0), ("noise", 1), ("haze", 3)):
        found = kinds.change(model, one, only)
        assert found.levels == pytest.approx(levels, abs=1e-4)
        assert found.gain == pytest.approx(20 * np.log10(6 / (6 - levels)), abs=1e-4)
    assert kinds.change(model, kinds.Spoilt("clean", clean, clean), "rain").gain is None
    table = kinds.only_table(model, [one, kinds.Spoilt("clean", clean, clean)], LABELS)
    assert "| haze | +0.00 (0.00) | +1.58 (1.00) | +3.52 (2.00) | +6.02 (3.00) | +9.54 (4.00) |" in table
    assert "| clean | (0.00) | (1.00) | (2.00) | (3.00) | (4.00) |" in table


def test_what_the_map_lets_through_is_told_beside_what_the_correction_would_do_freely() -> None:
    network = drawn_airnet_u().served()
    clean = np.full((16, 16, 3), 100, np.uint8)
    with torch.no_grad():
        assert network.R.tail.bias is not None
        network.R.tail.weight.zero_()
        network.R.tail.bias.copy_(torch.tensor([6 / 255, 6 / 255, 6 / 255, 0]))
    figures = kinds.weighed(network, kinds.Spoilt("haze", clean - 6, clean))
    share = (0.5 - UNSURE) / (1 - UNSURE)
    assert figures[:2] == pytest.approx([20 * np.log10(255 / 6), 20 * np.log10(255 / (6 - 6 * share))], abs=1e-3)
    assert figures[2] > 90 and figures[3:] == pytest.approx([share, 1], abs=1e-4)
    sound = kinds.Spoilt("clean", clean, clean)
    assert kinds.weighed(network, sound)[0] == 100 and kinds.weighed(network, sound)[4] == 0
    assert "| haze | 32.57 |" in kinds.map_table(network, [kinds.Spoilt(k, clean - 6, clean) for k in kinds.DRAWN])


def test_components_are_the_two_directions_in_which_codes_differ_most() -> None:
    rng = np.random.default_rng(0)
    far = rng.standard_normal((40, 1)) * [9, 0, 0, 0] + rng.standard_normal((40, 1)) * [0, 0, 3, 0]
    places, shares = kinds.components((far + 0.01 * rng.standard_normal((40, 4))).astype(np.float32))
    assert shares.sum() > 0.999 and shares[0] > shares[1]
    assert abs(np.corrcoef(places[:, 0], far[:, 0])[0, 1]) > 0.99
    assert abs(np.corrcoef(places[:, 1], far[:, 2])[0, 1]) > 0.99


def test_the_command_tells_tables_and_draws_a_point_for_each_picture(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring_airnet_u(tmp_path / "own")
    path, plot = tmp_path / "own" / "airnet-u.safetensors", tmp_path / "codes.svg"
    words = ["kinds", "airnet-u", "--data", str(data), "--weights", str(path), "--photos", "1", "--side", "32"]
    command.main([*words, "--plot", str(plot), "--only", "--map", "--threads", str(torch.get_num_threads())])
    said = capsys.readouterr().out
    assert "of 5\n" in said and "| is, asked for | all | only noise |" in said
    assert "| is | input | restored | freely | share | cosine |" in said
    points = [one for one in ElementTree.parse(plot).iter() if one.tag.endswith("circle")]
    assert [one.attrib["class"] for one in points] == 2 * [*LABELS, "clean"], "and those of the legend"
    with pytest.raises(SystemExit):
        command.main(["kinds", "airnet", "--data", str(data)])
