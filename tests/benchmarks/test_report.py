"""Rows become tables, pages and plots without anything being measured."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import cost, kernels, plot, report, upscale
from benchmarks.report import Goal, Row

OURS = Row(kernels.PHOTO, "lutra, avx2", 1, "ours", 12.34, 12.0, 13.0, {"Pillow": 10.5}, error=0.5, differs=0.25)
COPY = Row(kernels.PHOTO, "copy of the same bytes", 1, "limit", 1.5, 1.4, 1.6, {"Pillow": 99.0})
SVG = "{http://www.w3.org/2000/svg}"


def test_a_table_leaves_out_what_nothing_has() -> None:
    head, first = report.table([COPY])
    assert head == ["", "threads", "ms", "quartiles", "times Pillow"]
    assert first == ["copy of the same bytes", "1", "1.50", "1.40 to 1.60", "99.00"]


def test_a_table_leaves_a_cell_empty_that_only_others_have() -> None:
    head, ours, copy = report.table([OURS, COPY])
    assert head[-2:] == ["largest error", "differ"]
    assert ours[-2:] == ["0.5000", "25.0000%"]
    assert copy[-2:] == ["", ""]


def test_text_is_aligned_to_the_longest_cell_of_a_column() -> None:
    lines = report.as_text(report.table([OURS, COPY])).splitlines()
    assert lines[1].index("12.3 ") + len("12.3") == lines[2].index("1.50 ") + len("1.50")
    assert lines[1].startswith("lutra, avx2" + " " * (len(COPY.name) - len(OURS.name)))


def test_markdown_has_as_many_cells_in_each_line() -> None:
    lines = report.as_markdown(report.table([OURS, COPY])).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


def test_json_holds_the_row_and_the_machine() -> None:
    told = json.loads(report.as_json(OURS, "a machine"))
    assert told["machine"] == "a machine"
    assert told["faster"] == {"Pillow": 10.5}


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("speed", 10.0, 10), "reached"),
        (Goal("speed", 9.99, 10), "missed"),
        (Goal("error", 0.51, 0.51, is_ceiling=True), "reached"),
        (Goal("error", 0.52, 0.51, is_ceiling=True), "missed"),
        (Goal("speed", None, 10), "not measured"),
    ],
)
def test_a_goal_says_whether_it_was_reached(goal: Goal, verdict: str) -> None:
    assert goal.verdict() == verdict


def test_goals_take_their_figures_from_the_rows() -> None:
    found = {goal.what: goal.found for goal in kernels.goals([OURS, COPY])}
    assert found["look-up, photo, one thread, avx2: times Pillow Color3DLUT"] == 10.5
    assert found["look-up, photo, one thread, avx512: times Pillow Color3DLUT"] is None
    assert found["largest error, tame table"] == 0.5
    upscaled = Row(kernels.upscaling(4), kernels.upscaler("lr"), 1, "ours", 4.0, 4.0, 4.0, {"Pillow": 1.75})
    verdicts = {goal.found: goal.verdict() for goal in kernels.goals([upscaled]) if goal.wanted == 1.5}
    assert verdicts == {1.75: "reached"}


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.replace_block(page, "new\n")
    assert once == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.replace_block(once, "new") == once


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="measured: end"):
        report.replace_block(f"{report.BEGIN} and no end", "new")


def test_the_page_in_docs_takes_the_tables_and_the_plot(tmp_path: Path) -> None:
    page = (kernels.DOCS / "kernels.md").read_text()
    (tmp_path / "kernels.md").write_text(page)
    kernels.write_docs([OURS, COPY], "2026-11-20, a machine", tmp_path)
    written = (tmp_path / "kernels.md").read_text()
    assert written.startswith(page[: page.index(report.BEGIN)])
    assert "2026-11-20, a machine." in written
    assert "| lutra, avx2 | 1 | 12.3 | 12.0 to 13.0 | 10.50 |" in written
    assert "times Pillow Color3DLUT | 10.5 | at least 10 | reached |" in written
    assert "lutra, avx2" in (tmp_path / "kernels.svg").read_text()


def test_bars_are_drawn_from_fast_to_slow_on_a_logarithmic_axis() -> None:
    bars = [plot.Bar("slow", 100, "peer"), plot.Bar("fast", 1, "ours"), plot.Bar("middle", 10, "limit")]
    root = ElementTree.fromstring(plot.svg([plot.Panel("a panel", bars)]))
    drawn = [(bar.get("class"), float(bar.get("width", ""))) for bar in root.iter(f"{SVG}rect")]
    assert [role for role, _ in drawn] == ["ours", "limit", "peer"]
    one, two, three = (width for _, width in drawn)
    assert two == pytest.approx(2 * one, abs=0.2)
    assert three == pytest.approx(3 * one, abs=0.2)
    assert three == plot.WIDTH - plot.RIGHT - plot.LEFT


def test_names_are_escaped_and_panels_do_not_overlap() -> None:
    panel = plot.Panel("a & b", [plot.Bar("<peer>", 3, "peer")])
    root = ElementTree.fromstring(plot.svg([panel, panel]))
    assert [text.text for text in root.iter(f"{SVG}text")].count("<peer>") == 2
    first, second = (float(bar.get("y", "")) for bar in root.iter(f"{SVG}rect"))
    assert second - first == plot.HEAD + plot.ROW + plot.FOOT


def test_equal_values_on_a_power_of_ten_still_have_an_axis() -> None:
    assert plot.decades([10, 10]) == (1, 10)


def test_the_plot_shows_the_rows_of_its_cases() -> None:
    (panel,) = kernels.panels([OURS, COPY])
    assert [bar.name for bar in panel.bars] == [OURS.name, COPY.name]


def timing(name: str, scale: float, *seconds: float, precision: str = "fp32") -> upscale.Timing:
    return upscale.Timing(upscale.Case(100, 100, scale, precision, 2), name, tuple(map(upscale.Spent, seconds)))


def test_the_service_is_held_against_span_round_by_round_without_what_a_request_may_cost() -> None:
    span = timing(upscale.SPAN, 4.0, 1.0, 2.0, 4.0)
    ours = timing(upscale.SERVICE, 4.0, *(upscale.HTTP_S + 1.5 * one for one in (1.0, 2.0, 4.0)))
    (goal,) = upscale.goals([ours, span])
    assert goal.found == pytest.approx(1.5) and goal.verdict() == "reached"
    assert upscale.table([ours, span])[1][4] == "1.50"
    slower = timing(upscale.SERVICE, 4.0, 3.0, 6.0, 12.0)
    assert upscale.goals([slower, span])[0].verdict() == "missed"


def test_a_scale_between_is_held_against_x4_for_each_megapixel_of_output() -> None:
    fixed, span = timing(upscale.SERVICE, 4.0, 1.6, 1.6), timing(upscale.SPAN, 4.0, 1.0, 1.0)
    between = timing(upscale.SERVICE, 3.7, 1.369, 1.369)  # 370x370 samples, not 400x400
    found = upscale.goals([fixed, span, between])[-1].found
    assert found == pytest.approx(1.0)


def test_the_plot_of_costs_takes_processor_milliseconds_of_everything_that_is_served_and_of_the_peer() -> None:
    assert cost.cpu_ms([(9.0, 0.03), (0.01, 0.04), (0.02, 0.05)]) == 40.0
    names = cost.plotted(None)
    assert {"lmliif", "eclut", "bicubic", cost.PEER} <= set(names) and "span" not in names
