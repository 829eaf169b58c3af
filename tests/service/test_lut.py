"""POST /enhance with a table of the user's own: a form with the parts `file` and `lut`."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import Request

from models.cards import OWN_LUT
from models.cube import MAX_BYTES, read_cube
from service.cli import main
from service.upload import Budget, read_upload
from tests.living import Lutra, as_file, opened, photo
from workers.errors import UploadTooLarge
from workers.jobs.job import PictureFacts, new_job
from workers.operations.enhance import Enhance, EnhanceParameters, TableFacts
from workers.operations.operation import Plan

PHOTO = as_file(photo(), "PNG")
HALVING = "LUT_1D_SIZE 2\n0 0 0\n0.5 0.5 0.5\n"
SWAPPING = "LUT_3D_SIZE 2\n0 0 0\n0 0 1\n0 1 0\n0 1 1\n1 0 0\n1 0 1\n1 1 0\n1 1 1\n"  # red for blue


def send(lutra: Lutra, lut: str | bytes, query: str = "", data: bytes = PHOTO, **headers: str) -> httpx.Response:
    files = {"file": ("a.png", data), "lut": ("a.cube", lut)}
    return lutra.client.post(f"/enhance{query}", files=files, headers=headers)


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(opened(answer.content))


@pytest.mark.parametrize("strength", ["1", "0.37"])
def test_the_table_of_a_picture_sent_back_with_it_gives_the_same_picture(lutra: Lutra, strength: str) -> None:
    query = f"?strength={strength}&format="
    table = lutra.post(f"/enhance{query}cube", PHOTO).content
    ours = lutra.post(f"/enhance{query}png", PHOTO)
    assert np.array_equal(pixels(send(lutra, table)), pixels(ours))
    whole = lutra.post("/enhance?format=cube", PHOTO).content
    assert np.array_equal(pixels(send(lutra, whole, f"?strength={strength}")), pixels(ours))
    assert not np.array_equal(pixels(ours), photo())
    assert send(lutra, whole, f"?strength={strength}&format=cube").content == table


def test_ffmpeg_finds_the_same_picture_with_the_table_to_one_level(lutra: Lutra, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not here")
    source, table, out = tmp_path / "a.png", tmp_path / "a.cube", tmp_path / "b.png"
    source.write_bytes(PHOTO)
    table.write_bytes(lutra.post("/enhance?format=cube", PHOTO).content)
    through = ["-vf", f"lut3d=file={table}:interp=trilinear", "-pix_fmt", "rgb24"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *through, out], check=True)
    ours, theirs = pixels(lutra.post("/enhance", PHOTO)), np.asarray(opened(out.read_bytes()))
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.abs(ours.astype(int) - photo()).max() > 8


def test_tables_of_one_and_of_three_dimensions_are_applied(lutra: Lutra) -> None:
    assert np.array_equal(pixels(send(lutra, SWAPPING)), photo()[..., ::-1])
    halved = np.floor(photo() / 2 + 0.5).astype(np.uint8)
    assert np.array_equal(pixels(send(lutra, HALVING)), halved)


def test_the_job_tells_the_table_and_lets_it_go(lutra: Lutra) -> None:
    answer = send(lutra, 'TITLE "Half"\n' + HALVING, "?strength=0.5", Prefer="respond-async")
    assert answer.status_code == 202
    path = answer.headers["location"]
    assert "event: end" in lutra.client.get(f"{path}/events").text
    job = lutra.client.get(path).json()
    assert (job["state"], job["model"]) == ("succeeded", "lut")
    told = job["parameters"]["lut"]
    assert (told["title"], told["nodes_1d"], told["nodes_3d"]) == ("Half", 2, 0)
    assert lutra.client.get(f"{path}/result").headers["x-lutra-model"] == "lut"


@pytest.mark.parametrize(
    ("lut", "query", "words"),
    [
        (SWAPPING.replace("0 1 1", "0 1"), "", "line 5: saw '0 1', wanted three numbers"),
        ("", "", "neither LUT_1D_SIZE nor LUT_3D_SIZE"),
        (PHOTO, "", "this is no text"),
        (SWAPPING, "?model=lut3d", "leave model=lut3d out"),
        (HALVING, "?format=cube", "curves (LUT_1D_SIZE)"),
        ("DOMAIN_MAX 2 2 2\n" + SWAPPING, "?format=cube", "domain other than 0 to 1"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_problem_that_says_why(
    lutra: Lutra, lut: str | bytes, query: str, words: str
) -> None:
    answer = send(lutra, lut, query)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "urn:lutra:problem:bad-parameter"
    assert words in problem["detail"]
    assert "line 5" not in words or problem["line"] == 5


def test_the_part_belongs_to_enhance_alone_and_comes_once(lutra: Lutra) -> None:
    table = ("lut", ("a.cube", SWAPPING))
    picture = ("file", ("a.png", PHOTO))
    cases: list[tuple[str, list[Any], int, str]] = [
        ("/upscale?scale=2&model=nearest", [picture, table], 422, "belongs to /enhance"),
        ("/enhance", [picture, table, table], 422, "more than one part named lut"),
        ("/enhance", [picture, picture], 422, "more than one part named file"),
        ("/enhance", [picture, ("luts", ("a.cube", SWAPPING))], 422, "no part is named 'luts'; known are file, lut"),
        ("/enhance", [table], 400, "no part named file"),
        ("/enhance?lut=a.cube", [picture], 422, "no parameter is named 'lut'"),
    ]
    for path, files, status, words in cases:
        answer = lutra.client.post(path, files=files)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_a_form_in_which_no_table_was_chosen_is_one_without(lutra: Lutra) -> None:
    def form(table: bytes) -> httpx.Response:
        body = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.png\r\n\r\n" + PHOTO + b"\r\n" + table
        return lutra.post("/enhance", body + b"--x--\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"})

    unchosen = form(b'--x\r\nContent-Disposition: form-data; name="lut"; filename=""\r\n\r\n\r\n')
    assert unchosen.headers["x-lutra-model"] == "lut3d"
    assert np.array_equal(pixels(unchosen), pixels(lutra.post("/enhance", PHOTO)))
    empty = form(b'--x\r\nContent-Disposition: form-data; name="lut"; filename="a.cube"\r\n\r\n\r\n')
    assert (empty.status_code, empty.json()["parameter"]) == (422, "lut")
    many = form(20 * b"--x\r\nContent-Disposition: form-data; name=lut\r\n\r\n\r\n")
    assert (many.status_code, "more than 16 parts" in many.json()["detail"]) == (400, True)


def test_a_form_beyond_both_limits_is_told_both() -> None:
    """By what it declares; nothing of it is read."""
    head = [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"200000000")]
    sent = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, object]:
        return sent.pop()

    async def read() -> None:
        request = Request({"type": "http", "method": "POST", "headers": head}, receive)
        with Budget(1000).hold() as hold:
            await read_upload(request, 1000, hold, takes_lut=True)

    with pytest.raises(UploadTooLarge, match=f"1000 bytes allowed for the picture and {MAX_BYTES} for") as refused:
        asyncio.run(read())
    assert refused.value.members == {"limit": 1000, "limit_lut": MAX_BYTES}


def test_a_table_beyond_its_limit_is_refused_and_says_the_limit(lutra: Lutra) -> None:
    answer = send(lutra, b"#" * (MAX_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["limit"] == MAX_BYTES


def test_depth_grey_and_alpha_are_kept(lutra: Lutra) -> None:
    import cv2

    deep = (photo().astype(np.uint16) * 257)[..., ::-1]
    answer = send(lutra, HALVING, data=cv2.imencode(".png", deep)[1].tobytes())
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None and found.dtype == np.uint16
    assert np.array_equal(found, np.floor(deep / 2 + 0.5).astype(np.uint16))
    grey = send(lutra, SWAPPING, data=as_file(photo()[..., 0], "PNG"))
    assert np.array_equal(pixels(grey), photo()[..., 0])
    clear = np.dstack([photo(), photo(seed=3)[..., 0]])
    assert np.array_equal(pixels(send(lutra, SWAPPING, data=as_file(clear, "PNG"))), clear[..., [2, 1, 0, 3]])


# ---- The command line ------------------------------------------------------------------------------------------------


def test_the_command_line_takes_the_same_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, table, out = tmp_path / "a.png", tmp_path / "a.cube", tmp_path / "b.png"
    source.write_bytes(PHOTO)
    table.write_text(SWAPPING)
    enhance = ["enhance", str(source), "-o", str(out), "--lut"]
    assert main([*enhance, str(table)]) == 0
    assert np.array_equal(np.asarray(opened(out.read_bytes())), photo()[..., ::-1])
    out.unlink()
    assert main([*enhance, str(table), "--model", "lut3d"]) == 2
    assert main([*enhance, str(tmp_path / "none.cube")]) == 1
    table.write_text(SWAPPING.replace("0 1 1", "0 1"))
    assert main([*enhance, str(table)]) == 1
    told = capsys.readouterr().err
    assert "--model" in told and "none.cube: No such file" in told and "a.cube: line 5: saw '0 1'" in told
    assert not out.exists()


# ---- Identity --------------------------------------------------------------------------------------------------------


def test_another_table_is_another_computation_and_how_it_is_written_is_not() -> None:
    def key(text: str) -> str:
        lut = TableFacts.model_validate(read_cube(text.encode()).facts())
        parameters = EnhanceParameters(format="png", strength=1.0, lut=lut)
        facts = PictureFacts("png", 64, 48, len(PHOTO))
        return new_job(PHOTO, facts, Plan(Enhance(), OWN_LUT, parameters, (48, 64))).computation.key

    assert key(SWAPPING) == key("# a comment\n" + SWAPPING.replace(" 1", " 1.000"))
    others = [SWAPPING.replace("1 1 1", "1 1 0.9"), "DOMAIN_MAX 2 2 2\n" + SWAPPING, HALVING]
    assert len({key(SWAPPING), *map(key, others)}) == 4
