"""`lutra rate`: blind scores on a page of this machine, and the means that come of them."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.cli import main
from service.rate import KEPT, Session, find_stimuli, interval, make_server, report
from tests.living import as_file, photo
from workers.errors import LutraError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for variant in ("bicubic", "lmliif"):
        (tmp_path / variant).mkdir()
        for number, name in enumerate(("a.png", "b.jpg")):
            (tmp_path / variant / name).write_bytes(as_file(photo(seed=number), "PNG" if "png" in name else "JPEG"))
    (tmp_path / "notes.txt").touch()
    return tmp_path


@pytest.fixture
def session(folder: Path) -> Session:
    return Session(find_stimuli(folder), folder / KEPT)


@pytest.fixture
def client(session: Session) -> Iterator[httpx.Client]:
    server = make_server(session, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=30) as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_picture_of_every_variant_is_shown_and_none_is_named(session: Session, client: httpx.Client) -> None:
    home = f"/{session.token}/"
    for at, one in enumerate(session.stimuli):
        page = client.get(home).text
        assert f"{at + 1} of 4" in page and not re.search(r"bicubic|lmliif|a\.png|b\.jpg", page)
        picture = client.get(f"{home}picture")
        assert picture.content == one.path.read_bytes() and picture.headers["content-type"].startswith("image/")
        assert not session.has_ended.is_set()
        answer = client.post(home, data={"at": str(at), "grade": "4"})
        assert (answer.status_code, answer.headers["location"]) == (303, home)
    assert "Thank you" in client.get(home).text and session.has_ended.is_set()
    kept = [json.loads(line) for line in session.kept.read_text().splitlines()]
    assert [(one["variant"], one["picture"], one["score"]) for one in kept] == [
        (one.variant, one.path.name, 4) for one in session.stimuli
    ]


def test_a_page_sent_twice_counts_once_and_what_is_no_grade_not_at_all(session: Session, client: httpx.Client) -> None:
    home = f"/{session.token}/"
    for data in ({"at": "0", "grade": "5"}, {"at": "0", "grade": "1"}, {"at": "1", "grade": "9"}, {"at": "x"}, {}):
        client.post(home, data=data)
    assert session.at == 1 and len(session.kept.read_text().splitlines()) == 1


def test_who_does_not_know_the_address_sees_nothing(client: httpx.Client) -> None:
    assert client.get("/").status_code == client.get("/guessed/picture").status_code == 404
    assert client.post("/guessed/", data={"at": "0", "grade": "5"}).status_code == 404


def test_means_are_told_with_their_intervals_the_best_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [("bicubic", 2), ("bicubic", 4), ("lmliif", 4), ("lmliif", 5), ("lmliif", 5)]
    (folder / KEPT).write_text("".join(json.dumps({"variant": one, "score": score}) + "\n" for one, score in scores))
    assert [one.variant for one in report(folder / KEPT)] == ["lmliif", "bicubic"]
    assert main(["rate", str(folder), "--report", "--json"]) == 0
    best = json.loads(capsys.readouterr().out.splitlines()[0])
    assert best["mos"] == pytest.approx(14 / 3) and best["scores"] == 3
    assert best["interval"] == pytest.approx(1.96 * math.sqrt(1 / 3) / math.sqrt(3))
    assert main(["rate", str(folder), "--report"]) == 0
    assert "lmliif               4.67 +- 0.65  (3 scores)" in capsys.readouterr().out
    assert interval([3]) == math.inf and report(folder / "none") == []


def test_a_folder_with_nothing_to_compare_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LutraError, match="at least two folders"):
        find_stimuli(folder / "bicubic")
    with pytest.raises(LutraError, match="is no folder"):
        find_stimuli(folder / "notes.txt")
