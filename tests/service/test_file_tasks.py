"""What goes where: beside its picture, into a folder, into a file, or on to the next command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.file_tasks import FileTask, Wanted, check, plan_tasks
from service.folders import FolderEntry
from workers.errors import LutraError, ParameterError
from workers.operations import OPERATIONS
from workers.operations.operation import Query

FORMATS = ("jpeg", "png", "webp", "avif", "tiff", "cube")
BESIDE = Wanted(inputs=("a.jpg",), output=None, format="auto", formats=FORMATS, done="-x2")


def entry(path: str, format_: str | None = "jpeg", **facts: object) -> FolderEntry:
    return FolderEntry(Path(path), format_, **facts)  # type: ignore[arg-type]


def targets(entries: list[FolderEntry], wanted: Wanted) -> list[str]:
    check(wanted)
    return [str(task.target) for task in plan_tasks(entries, wanted)[0]]


@pytest.mark.parametrize(
    ("source", "came_in", "format_", "suffix", "target"),
    [
        ("in/a.jpg", "jpeg", "auto", None, "in/a-x2.jpg"),
        ("in/a.JPG", "jpeg", "auto", None, "in/a-x2.JPG"),
        ("in/a.jpg", "jpeg", "png", None, "in/a-x2.png"),
        ("in/a.gif", "gif", "auto", None, "in/a-x2.png"),
        ("in/a", "png", "auto", "-large", "in/a-large.png"),
        ("in/a.b.jpg", "jpeg", "cube", "", "in/a.b.cube"),
    ],
)
def test_without_an_output_a_result_goes_beside_its_picture(
    source: str, came_in: str, format_: str, suffix: str | None, target: str
) -> None:
    wanted = replace(BESIDE, inputs=(source,), format=format_, suffix=suffix)
    assert targets([entry(source, came_in)], wanted) == [target]


def test_in_a_folder_it_keeps_its_name_and_its_place_below(tmp_path: Path) -> None:
    wanted = replace(BESIDE, inputs=("in", "b.png"), output=str(tmp_path))
    entries = [entry("in/deep/a.jpg", below=Path("deep"), was_found=True), entry("b.png", "png")]
    assert targets(entries, wanted) == [str(tmp_path / "deep/a.jpg"), str(tmp_path / "b.png")]
    assert targets(entries[1:], replace(wanted, inputs=("b.png",), suffix="-l")) == [str(tmp_path / "b-l.png")]


def test_one_picture_may_go_into_a_file_whose_name_says_the_format(tmp_path: Path) -> None:
    wanted = replace(BESIDE, output=str(tmp_path / "b.webp"))
    check(wanted)
    assert plan_tasks([entry("a.jpg")], wanted) == ([FileTask(Path("a.jpg"), tmp_path / "b.webp", "webp")], [])
    (tmp_path / "c.png").mkdir()  # a folder, whatever it is called
    assert targets([entry("a.jpg")], replace(wanted, output=str(tmp_path / "c.png"))) == [str(tmp_path / "c.png/a.jpg")]


@pytest.mark.parametrize("output", [None, "-"])
def test_standard_input_goes_to_standard_output_unless_a_file_is_named(output: str | None) -> None:
    wanted = replace(BESIDE, inputs=("-",), output=output)
    check(wanted)
    assert plan_tasks([], wanted) == ([FileTask(None, None, "auto")], [])
    assert plan_tasks([], replace(wanted, output="b.png")) == ([FileTask(None, Path("b.png"), "png")], [])
    assert plan_tasks([entry("a.jpg")], replace(BESIDE, output="-"))[0][0].target is None


def test_results_beside_their_pictures_are_left_out_of_the_next_run() -> None:
    found = [entry(f"in/{name}.jpg", was_found=True) for name in ("a", "a-x2", "b", "c-x2")]
    tasks, results = plan_tasks(found, replace(BESIDE, inputs=("in",)))
    assert [task.source.name for task in tasks if task.source] == ["a.jpg", "b.jpg", "c-x2.jpg"]
    assert [one.path.name for one in results] == ["a-x2.jpg"]
    named = [entry("in/a.jpg"), entry("in/a-x2.jpg")]  # who names one means it
    assert len(plan_tasks(named, replace(BESIDE, inputs=("in/a.jpg", "in/a-x2.jpg")))[0]) == 2


@pytest.mark.parametrize(
    ("inputs", "output", "suffix", "sentence"),
    [
        (("-", "a.jpg"), None, None, "standard input is one picture"),
        (("a.jpg", "b.jpg"), "-", None, "is one place"),
        (("a.jpg", "b.jpg"), "c.png", None, "is one place"),
        (("a.jpg",), "c.png", "-x", "--suffix goes with a folder"),
        (("a.jpg",), "c.xyz", None, r"no format is named \.xyz"),
        (("-",), "folder", None, "standard input has no name"),
    ],
)
def test_what_cannot_be_is_wrong_usage_before_a_picture_is_looked_at(
    inputs: tuple[str, ...], output: str | None, suffix: str | None, sentence: str
) -> None:
    with pytest.raises(ParameterError, match=sentence):
        check(replace(BESIDE, inputs=inputs, output=output, suffix=suffix))


def test_what_only_the_pictures_tell_is_an_error_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    two = [entry("a.jpg", was_found=True), entry("b.jpg", was_found=True)]
    for output in ("-", "c.png"):
        with pytest.raises(ParameterError, match="is one place"):
            plan_tasks(two, replace(BESIDE, inputs=(str(tmp_path),), output=output))
    with pytest.raises(LutraError, match="is a file"):
        plan_tasks(two, replace(BESIDE, output=str(tmp_path / "file")))
    with pytest.raises(LutraError, match="no picture"):
        plan_tasks([], BESIDE)
    with pytest.raises(LutraError, match=r"both become a\.jpg"):
        twins = [entry("a.jpg"), entry("a.png", "jpeg")]
        plan_tasks(twins, replace(BESIDE, inputs=("a.jpg", "a.png"), output=str(tmp_path), format="jpeg"))
    with pytest.raises(LutraError, match="--format says png"):
        check(replace(BESIDE, output="b.jpg", format="png"))


@pytest.mark.parametrize(
    ("operation", "asked", "mark"),
    [
        ("enhance", {}, "-enhanced"),
        ("restore", {}, "-restored"),
        ("upscale", {"scale": "3.7"}, "-x3.7"),
        ("upscale", {"scale": "7/2"}, "-x7_2"),
        ("upscale", {"width": "3000"}, "-3000w"),
        ("upscale", {"height": "2000"}, "-2000h"),
        ("upscale", {"width": "3000", "height": "2000"}, "-3000x2000"),
        ("upscale", {"max_pixels": "8000000"}, "-8000000px"),
    ],
)
def test_a_name_says_what_was_done(operation: str, asked: dict[str, str], mark: str) -> None:
    query: Query = OPERATIONS[operation].query(**asked)
    assert OPERATIONS[operation].mark(query) == mark


def test_a_task_is_shown_by_its_picture() -> None:
    assert FileTask(None, None, "auto").name == "standard input"
    assert FileTask(Path("a\n.jpg"), None, "auto").name == r"a\n.jpg"
