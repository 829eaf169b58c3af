"""The process that decodes beside a worker child: the same pictures, and every way in which it can end."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.attacks import files, jpegs, profiles
from tests.living import wait_until
from workers.errors import CorruptPicture, CostlyPicture, JobCancelled, OutOfMemory, TooManyPixels
from workers.pictures import decoder as decoder_module
from workers.pictures import imageio
from workers.pictures.decoder import Decoder

LIMIT = 50_000_000


@pytest.fixture(scope="module")
def shared() -> Iterator[Decoder]:
    made = Decoder()
    yield made
    made.close()


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """One that a test may break."""
    made = Decoder()
    yield made
    made.close()


def decoded(decoder: Decoder, data: bytes, **options: object) -> imageio.Picture:
    wanted = {"colour": "keep", "max_pixels": LIMIT, "pixels": 10_000, **options}
    return decoder.decode(data, **wanted)  # type: ignore[arg-type]


@cache
def costly() -> bytes:
    """An honest picture that takes some seconds: 6 megapixels of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), np.uint8)
    return imageio.encode(imageio.Picture(noise, None, None, None, "png", False), "avif", quality=95)


@pytest.mark.parametrize("name", sorted(files.good()))
def test_a_picture_is_the_same_as_in_this_process(shared: Decoder, name: str) -> None:
    data = files.good()[name]
    there, here = decoded(shared, data), imageio.decode(data, max_pixels=LIMIT)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert there.pixels.dtype == here.pixels.dtype and there.pixels.flags.writeable
    assert (there.alpha is None) == (here.alpha is None)
    if here.alpha is not None:
        np.testing.assert_array_equal(there.alpha, here.alpha)
    assert (there.icc, there.exif, there.format, there.lossy) == (here.icc, here.exif, here.format, here.lossy)


def test_profile_and_exif_come_along(shared: Decoder) -> None:
    profile = profiles.matrix_profile(profiles.DISPLAY_P3, 2.2)
    made = imageio.Picture(files.photo(), None, profile, files.exif_block(), "png", False)
    there = decoded(shared, imageio.encode(made, "png"))
    assert there.icc == profile and there.exif


def test_problems_come_back_as_they_are(shared: Decoder) -> None:
    with pytest.raises(TooManyPixels) as caught:
        decoded(shared, files.png(files.ihdr(9000, 9000), files.idat(b"")))
    assert caught.value.members == {"limit": LIMIT, "pixels": 81_000_000}
    with pytest.raises(CorruptPicture, match="JPEG"):
        decoded(shared, files.saved(files.rgb(), "JPEG")[:-700])


def test_room_grows_and_is_given_back(shared: Decoder) -> None:
    large = np.zeros((5000, 6000, 3), np.uint8)
    large[-1] = 200
    data = imageio.encode(imageio.Picture(large, None, None, None, "png", False), "png")
    np.testing.assert_array_equal(decoded(shared, data, pixels=30_000_000).pixels, large)
    held = os.fstat(shared._memories[0].descriptor).st_blocks * 512
    shared.tidy()
    assert os.fstat(shared._memories[0].descriptor).st_blocks * 512 <= decoder_module.KEEP_BYTES < held
    np.testing.assert_array_equal(decoded(shared, data, pixels=30_000_000).pixels, large)


def test_what_takes_too_long_is_ended_and_the_next_picture_is_decoded(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded(decoder, files.saved(files.rgb(), "JPEG"))
    slow = costly()
    for name in ("BASE_S", "SECONDS_PER_MEGAPIXEL", "SECONDS_PER_MEGABYTE"):
        monkeypatch.setattr(decoder_module, name, 0.01)
    before = decoder.pid
    with pytest.raises(CostlyPicture, match="pixels and bytes allow"):
        decoded(decoder, slow)
    assert decoder.pid != before
    monkeypatch.undo()
    assert decoded(decoder, files.saved(files.rgb(), "JPEG")).pixels.shape == (96, 128, 3)


def test_what_the_check_raises_ends_the_work(decoder: Decoder) -> None:
    def cancelled() -> None:
        raise JobCancelled("the job was cancelled")

    decoded(decoder, files.saved(files.rgb(), "JPEG"))
    before = decoder.pid
    with pytest.raises(JobCancelled):
        decoded(decoder, costly(), check=cancelled)
    assert decoder.pid != before and not Path(f"/proc/{before}").exists()
    assert decoded(decoder, files.saved(files.rgb(), "JPEG")).pixels.shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGSEGV, CorruptPicture), (signal.SIGABRT, CorruptPicture), (signal.SIGKILL, OutOfMemory)],
)
def test_a_decoder_that_breaks_down_is_a_problem_and_is_replaced(
    decoder: Decoder, number: signal.Signals, error: type[Exception]
) -> None:
    decoded(decoder, files.saved(files.rgb(), "JPEG"))
    asked: list[float] = []

    def strike() -> None:
        if not asked:
            os.kill(decoder.pid, number)
        asked.append(time.monotonic())

    with pytest.raises(error):
        decoded(decoder, costly(), check=strike)
    assert decoded(decoder, files.saved(files.rgb(), "JPEG")).pixels.shape == (96, 128, 3)


def test_one_that_died_between_jobs_is_no_fault_of_the_next_picture(decoder: Decoder) -> None:
    decoded(decoder, files.saved(files.rgb(), "JPEG"))
    os.kill(decoder.pid, signal.SIGKILL)
    decoder._process.wait()
    assert decoded(decoder, files.saved(files.rgb(), "JPEG")).pixels.shape == (96, 128, 3)


def test_too_little_memory_is_said_and_does_not_last(decoder: Decoder) -> None:
    decoded(decoder, files.saved(files.rgb(), "JPEG"))
    size = int(Path(f"/proc/{decoder.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(decoder.pid, resource.RLIMIT_AS, (size + 2**26, resource.RLIM_INFINITY))
    for kind in ("jpeg", "png", "tiff", "webp"):  # libavif does not say why it gives up
        large = imageio.Picture(np.zeros((6000, 8000, 3), np.uint8), None, None, None, "png", False)
        with pytest.raises(OutOfMemory, match="memory"):
            decoded(decoder, imageio.encode(large, kind))
    assert decoded(decoder, files.saved(files.rgb(), "JPEG")).pixels.shape == (96, 128, 3)


def test_samplings_that_another_codec_judges_are_decoded_there_too(shared: Decoder) -> None:
    """It catches what OpenCV prints, which takes a file to print into."""
    data = jpegs.written(files.photo(40, 48), ((3, 1), (1, 1), (1, 1)))
    np.testing.assert_array_equal(decoded(shared, data).pixels, imageio.decode(data, max_pixels=LIMIT).pixels)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has walls")
def test_it_is_walled_in_with_all_its_threads_and_knows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTRA_REDIS_URL", "redis://:password@host")
    monkeypatch.setenv("SOMEBODYS_TOKEN", "password")
    made = Decoder()
    try:
        decoded(made, files.saved(files.rgb(), "JPEG"))
        folder = Path(f"/proc/{made.pid}")
        for thread in (folder / "task").iterdir():
            facts = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines())
            assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
            assert int(facts["CapEff"], 16) & ~(1 << 2) == 0
        limits = (folder / "limits").read_text()
        assert re.search(r"Max open files +64 +64", limits) and re.search(r"Max core file size +0 +0", limits)
        with suppress(PermissionError):  # root alone may look
            assert b"password" not in (folder / "environ").read_bytes()
    finally:
        made.close()


def test_where_a_wall_is_lacking_it_is_said_once_and_pictures_are_decoded(caplog: pytest.LogCaptureFixture) -> None:
    decoder_module._tell_lacking.cache_clear()
    for _ in range(2):
        made = Decoder(is_walled=False)
        assert decoded(made, files.saved(files.rgb(), "JPEG")).pixels.shape == (96, 128, 3)
        made.close()
    assert caplog.text.count("decoders are not walled in") == 1
    assert caplog.records[-1].facts == {"lacking": "it is turned off"}  # type: ignore[attr-defined]


def test_it_ends_with_its_parent_though_it_can_do_nothing_itself() -> None:
    """The parent is killed without a word, and the decoder stands still: it can neither read its pipe nor exit."""
    program = "import time; from workers.pictures.decoder import Decoder; made = Decoder(); "
    program += "made._wait_until_ready(lambda: None); print(made.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
    wait_until(lambda: not _is_alive(pid), 30, "the decoder is gone")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_files_that_are_sent_ahead_are_decoded_in_their_order_and_apart(decoder: Decoder) -> None:
    sent = [files.saved(files.rgb(), "JPEG"), files.saved(files.rgb(), "JPEG")[:-700], files.saved(files.rgb(), "PNG")]
    decoder.send_ahead(sent, colour="keep", max_pixels=LIMIT)
    first = decoded(decoder, sent[0])
    with pytest.raises(CorruptPicture):
        decoded(decoder, sent[1])
    third = decoded(decoder, sent[2])
    for picture, data in ((first, sent[0]), (third, sent[2])):
        np.testing.assert_array_equal(picture.pixels, imageio.decode(data, max_pixels=LIMIT).pixels)


def test_what_nobody_asks_for_any_more_is_passed_over(decoder: Decoder) -> None:
    sent = [files.saved(files.rgb(), "PNG"), files.saved(files.rgb(), "JPEG")]
    decoder.send_ahead(sent, colour="keep", max_pixels=LIMIT)
    before = decoder.pid
    assert decoded(decoder, sent[1]).format == "jpeg"
    decoder.send_ahead(sent, colour="keep", max_pixels=LIMIT)
    other = files.saved(files.rgb(), "WEBP")
    assert decoded(decoder, other).format == "webp"
    assert decoder.pid == before


def test_a_decoder_that_breaks_down_over_one_file_decodes_the_others(decoder: Decoder) -> None:
    sent = [files.saved(files.rgb(), "JPEG") for _ in range(3)]
    decoder.send_ahead(sent, colour="keep", max_pixels=LIMIT)
    assert decoded(decoder, sent[0]).format == "jpeg"
    os.kill(decoder.pid, signal.SIGKILL)
    decoder._process.wait()
    assert [decoded(decoder, data).format for data in sent[1:]] == ["jpeg", "jpeg"]
