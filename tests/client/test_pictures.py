"""Pictures in and out: paths, bytes and files; a name that says a format; never half a file."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest
from lutra_client.pictures import Result, format_named, read_picture, write_whole

HEADERS = {
    **{"Content-Type": "image/jpeg", "X-Job-Id": "a1", "X-Lutra-Model": "liif", "X-Cache": "hit"},
    **{"X-Lutra-Found": "noise 0.8", "Server-Timing": "queue;dur=1500.0, infer;dur=20.5"},
}
RESULT = Result.of(httpx.Response(200, content=b"jpeg", headers=HEADERS))


def test_a_picture_is_a_path_bytes_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"photo")
    for picture in (path, str(path), b"photo", io.BytesIO(b"photo")):
        assert read_picture(picture) == b"photo"


def test_a_result_is_read_from_its_answer() -> None:
    assert (RESULT.format, RESULT.job_id, RESULT.model, RESULT.cache) == ("jpeg", "a1", "liif", "hit")
    assert (RESULT.found, RESULT.seconds) == ("noise 0.8", {"queue": 1.5, "infer": 0.0205})
    table = Result.of(httpx.Response(200, content=b"", headers={"Content-Type": "text/plain; charset=utf-8"}))
    assert (table.format, dict(table.seconds)) == ("cube", {})


@pytest.mark.parametrize(("name", "format_"), [("a.JPG", "jpeg"), ("a.tif", "tiff"), ("a.cube", "cube"), ("a", None)])
def test_a_name_says_a_format(name: str, format_: str | None) -> None:
    assert format_named(Path(name)) == format_


def test_a_result_is_saved_under_names_of_its_format_alone(tmp_path: Path) -> None:
    assert RESULT.save(tmp_path / "a.jpeg").read_bytes() == b"jpeg"
    with pytest.raises(ValueError, match=r"b.png names png, and this is jpeg"):
        RESULT.save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"no format is named \.gif"):
        RESULT.save(tmp_path / "b.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpeg"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
