"""The decoding side of the line: what it answers, over a real pipe and shared memory, and that it ends with it."""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

from tests.attacks import files, profiles
from workers.errors import CorruptPicture
from workers.pictures import imageio
from workers.pictures.decoder import SharedMemory
from workers.pictures.decoder_process import main

LIMIT = 1_000_000


@dataclass
class Line:
    """Our end of the line, and the thread that serves the other."""

    ours: Connection
    memory: SharedMemory
    thread: threading.Thread

    def ask(self, data: bytes, **options: Any) -> dict[str, Any]:
        self.memory.of(len(data))[: len(data)] = data
        asked = {"place": 0, "bytes": len(data), "colour": "keep", "max_pixels": LIMIT, "about": {}, **options}
        self.ours.send_bytes(json.dumps(asked).encode())
        assert self.ours.poll(60)
        told: dict[str, Any] = json.loads(self.ours.recv_bytes())
        return told


@pytest.fixture
def line() -> Iterator[Line]:
    ours, theirs = Pipe()
    memory = SharedMemory()
    thread = threading.Thread(target=main, args=(theirs, [memory]))
    thread.start()
    assert ours.poll(60) and ours.recv_bytes() == b""
    yield Line(ours, memory, thread)
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    theirs.close()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_alpha_profile_and_exif_lie_where_the_answer_says(line: Line, dtype: str) -> None:
    profile = profiles.matrix_profile(profiles.DISPLAY_P3, 2.2)
    values = files.photo(31, 47, 4, dtype)
    picture = imageio.Picture(values[:, :, :3], values[:, :, 3], profile, files.exif_block(), "png", False)
    data = imageio.encode(picture, "png")
    told, here = line.ask(data), imageio.decode(data, max_pixels=LIMIT)
    assert (told["format"], told["lossy"], told["dtype"], told["shape"]) == ("png", False, dtype, [31, 47, 3])
    assert told["sizes"] == [here.pixels.nbytes, values[:, :, 3].nbytes, len(profile), len(here.exif or b"")]
    held = bytes(line.memory.of(sum(told["sizes"]) + 4096))
    np.testing.assert_array_equal(np.frombuffer(held, dtype, here.pixels.size).reshape(here.pixels.shape), here.pixels)
    assert profile in held and (here.exif or b"") in held


def test_a_problem_is_told_with_its_facts_and_the_next_picture_is_decoded(line: Line) -> None:
    told = line.ask(files.png(files.ihdr(9000, 9000), files.idat(b"")))["error"]
    assert (told["code"], told["members"]) == ("too_many_pixels", {"limit": LIMIT, "pixels": 81_000_000})
    assert line.ask(b"no picture at all")["error"]["code"] == "not_a_picture"
    assert line.ask(files.saved(files.rgb(), "JPEG"))["shape"] == [96, 128, 3]


def test_a_fault_of_ours_tells_nothing_of_itself_and_is_logged_with_what_it_was_about(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    told = line.ask(files.saved(files.rgb(), "JPEG"), max_pixels="no number", about={"job_id": "a1"})["error"]
    assert (told["code"], told["message"]) == ("internal", "something went wrong on our side")
    assert "decoding failed by our fault" in caplog.text and "TypeError" in caplog.text


def test_pixels_of_a_jpeg_are_put_where_they_are_wanted_unless_more_is_to_be_done() -> None:
    def lies_there(data: bytes) -> bool:
        memory = SharedMemory()
        there, here = imageio.decode(data, max_pixels=LIMIT, room=memory.of), imageio.decode(data, max_pixels=LIMIT)
        np.testing.assert_array_equal(there.pixels, here.pixels)
        shared = np.frombuffer(memory.of(1), np.uint8)
        return bool(np.array_equal(shared[: here.pixels.size].reshape(here.pixels.shape), here.pixels))

    assert lies_there(files.saved(files.rgb(), "JPEG")) and lies_there(files.saved(files.grey(), "JPEG"))
    assert lies_there(files.saved(files.rgb().convert("CMYK"), "JPEG")) is False  # in sRGB it is another picture
    assert lies_there(files.saved(files.rgb(), "PNG")) is False
    turned = files.orientations()
    assert [lies_there(turned[one]) for one in sorted(turned)] == [one == 1 for one in sorted(turned)]


def test_room_that_is_too_small_for_the_frame_is_an_error_and_not_written_beyond() -> None:
    room = mmap.mmap(-1, mmap.PAGESIZE)
    with pytest.raises(CorruptPicture):
        imageio.decode(files.saved(files.rgb(), "JPEG"), max_pixels=LIMIT, room=lambda size_bytes: room)


@pytest.mark.parametrize("name", sorted(files.good()))
def test_a_picture_is_the_same_after_another_one_that_lay_there(line: Line, name: str) -> None:
    line.ask(files.saved(files.rgb(300, 400, seed=5), "JPEG"))
    data = files.good()[name]
    told, here = line.ask(data, colour="srgb"), imageio.decode(data, colour="srgb", max_pixels=LIMIT)
    held = line.memory.of(here.pixels.nbytes)[: here.pixels.nbytes]
    assert told["shape"] == list(here.pixels.shape)
    assert held == here.pixels.tobytes()
