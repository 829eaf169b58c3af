"""What a run of `make load` found becomes a page and plots; and, marked slow, one short real run."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.load import kinds, page, peers, plot
from benchmarks.load.accounts import Account
from benchmarks.load.here import Faulted, Recovery
from benchmarks.load.knee import Knee, Step
from benchmarks.load.memory import MB
from benchmarks.load.page import Found, Steady
from benchmarks.load.peers import Compared
from benchmarks.load.summary import Summary
from tests.living import opened

ROOT = Path(__file__).parents[2]
LOADING = ROOT / "build" / "load" / "bin" / "python"
SVG = "{http://www.w3.org/2000/svg}"


def summary(users: int, rate: float) -> Summary:
    return Summary(users, 10, rate, rate / 4, 40, 80, 90, int(rate * 10), 2, 0)


def found() -> Found:
    steps = (Step(summary(4, 4), ""), Step(summary(16, 9), "p95 is 2000 ms"), Step(summary(8, 8), ""))
    memory = {
        "gateway": [(10.0 * look, 90 * MB) for look in range(30)],
        "store": [(10.0 * look, 50 * MB + look * MB) for look in range(30)],
    }
    return Found(
        "2026-11-29, a machine",
        "python -m benchmarks.load",
        {"mixed": Knee(steps, steps[2].summary)},
        Steady("mixed", Summary(6, 300, 6, 1.5, 40, 80, 90, 1800, 0, 0), memory),
        Faulted(
            summary(4, 4), Account(100, 100, 0, 0, 1, 0), (Recovery("a fault", 2.5), Recovery("another", None)), 7.5
        ),
        [Compared("Lutra", 30, 100, 33, 5, 1, 1, 0), Compared("LitServe", 20, 200, 40, 9, 1.5, 0.8, 0)],
        same_bytes=True,
        versions=peers.versions(),
    )


def test_the_page_in_docs_takes_what_was_found(tmp_path: Path) -> None:
    template = (page.DOCS / "load.md").read_text()
    (tmp_path / "load.md").write_text(template)
    page.write_docs(found(), tmp_path)
    written = (tmp_path / "load.md").read_text()
    assert written.startswith(template[: template.index("<!-- measured: begin -->")])
    assert "2026-11-29, a machine; `python -m benchmarks.load`." in written
    assert re.search(r"LitServe \d[.\d]+, BentoML \d[.\d]+; all answer with the same bytes\.", written)
    assert "The knee: 8 users, 8.0 jobs/s; beyond it p95 is 2000 ms." in written
    assert "| gateway | 90 | 90 | 90 | +0.00 |" in written
    assert "| store | 50 | 79 | 79 | +6.00 |" in written
    assert "| a fault | 2.5 |" in written
    assert "| another | never |" in written
    assert "| LitServe | 20.0 | 200 | 40.0 | 9.0 | 0 | 1.50 | 0.80 |" in written
    assert "| memory of a process, MB a minute at last | 6.000 | at most 1 | missed |" in written
    assert "| jobs/s of /enhance, times LitServe's | 1.5 | at least 1 | reached |" in written
    ElementTree.parse(tmp_path / "load.svg")


def test_steps_are_told_by_users_whatever_their_order_was() -> None:
    lines = page.knee_table(found().knees["mixed"])
    assert [line[0] for line in lines] == ["users", "4", "8", "16"]
    assert [line[-1] for line in lines[1:]] == ["holds", "holds", "p95 is 2000 ms"]


def test_what_was_left_out_is_not_told() -> None:
    assert [title for title, _, _ in page.sections(Found("a machine", ""))] == []


def test_lines_keep_to_their_panel_and_names_do_not_cover_one_another() -> None:
    drawn = plot.svg([plot.Panel("a & b", "x", "y", [plot.Line(f"<{name}>", [(0, 0), (3, 7)]) for name in "abc"])])
    root = ElementTree.fromstring(drawn)
    (first, *_) = [line.get("points", "").split() for line in root.iter(f"{SVG}polyline")]
    right, top = map(float, first[-1].split(","))
    assert first[0] == f"{plot.LEFT:.1f},{plot.HEIGHT - plot.BOTTOM:.1f}"
    assert right == plot.WIDTH - plot.RIGHT
    assert top >= plot.TOP
    bases = [float(text.get("y", "")) for text in root.iter(f"{SVG}text") if (text.text or "").startswith("<")]
    assert bases == sorted(bases)
    assert all(below - above >= plot.NAME_HEIGHT for above, below in itertools.pairwise(bases))


def test_names_of_lines_at_the_bottom_go_up_where_there_is_no_room_below() -> None:
    assert plot.name_bases([260, 20, 261, 259], 260) == [246, 20, 260, 232]
    assert plot.name_bases([100, 101], 260) == [100, 114]


@pytest.mark.parametrize("largest", [0.03, 0.9, 1, 7, 59, 60, 61, 12345])
def test_ticks_are_few_and_reach_the_largest_value(largest: float) -> None:
    ticks = plot.ticks(largest)
    assert ticks[0] == 0
    assert ticks[-2] < largest <= ticks[-1]
    assert 3 <= len(ticks) <= plot.TICKS + 2


def test_pictures_are_jpegs_of_the_sides_that_users_send(tmp_path: Path) -> None:
    kinds.write_pictures(tmp_path)
    for side in (512, 192):
        file = kinds.picture_file(tmp_path, side, kinds.PICTURES - 1).read_bytes()
        assert opened(file).size == (side, side)
        assert opened(file).format == "JPEG"
        assert file != kinds.picture_file(tmp_path, side, 0).read_bytes()


def test_a_mix_is_drawn_by_its_weights() -> None:
    parts = kinds.MIXES["mixed"]
    rng = random.Random(0)
    drawn = [kinds.draw(parts, rng) for _ in range(14000)]
    for part in parts:
        assert drawn.count(part) == pytest.approx(1000 * part.weight, rel=0.15)
    assert kinds.described("mixed").startswith("10 of 14 POST /enhance with 512x512 (wait 6, poll 2, events 2); ")


@pytest.mark.slow
@pytest.mark.skipif(not LOADING.exists(), reason="Locust is not there: `make load` installs it")
def test_a_short_run_finds_a_knee_holds_it_and_accounts_for_every_job(tmp_path: Path) -> None:
    few = ["--mixes", "enhance", "--seconds", "2", "--first-users", "2", "--most-users", "2"]
    few += ["--steady-seconds", "2", "--fault-seconds", "6", "--peer-seconds", "0", "--p95-ms", "60000"]
    command = [sys.executable, "-m", "benchmarks.load", "--python", str(LOADING), "--json", str(tmp_path / "found")]
    settings = {**os.environ, "LUTRA_MODELS": "lut3d"}
    done = subprocess.run([*command, *few], cwd=ROOT, env=settings, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "found").read_text())
    assert told["knees"]["enhance"]["held"]["succeeded"] > 0
    assert told["steady"]["summary"]["failed"] == 0
    assert {"gateway", "worker", "worker child", "store"} <= set(told["steady"]["series"])
    account = told["faulted"]["account"]
    assert account["accepted"] > 0
    assert (account["lost"], account["doubled"]) == (0, 0)
    assert all(one["seconds"] is not None for one in told["faulted"]["recoveries"])
