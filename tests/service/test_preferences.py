"""Prefer and Accept, as their RFCs mean them."""

from __future__ import annotations

import pytest

from service.preferences import MAX_WAIT_S, choose_format, read_prefer
from workers.errors import NotAcceptable


@pytest.mark.parametrize(
    ("values", "seconds", "detached", "applied"),
    [
        ([], 30, False, ""),
        (["respond-async"], 0, True, "respond-async"),
        (["wait=5"], 5, False, "wait=5"),
        (["Respond-Async, Wait=10"], 10, True, "respond-async, wait=10"),
        (["respond-async", "wait=10"], 10, True, "respond-async, wait=10"),
        (["wait=99999"], MAX_WAIT_S, False, f"wait={MAX_WAIT_S:.0f}"),
        (["wait=-1"], 30, False, ""),
        (["wait=soon; x=y, return=minimal,,"], 30, False, ""),
        (['wait="7"'], 7, False, "wait=7"),
        (["wait=1, wait=2"], 1, False, "wait=1"),
    ],
)
def test_prefer_says_how_long_to_wait(values: list[str], seconds: float, detached: bool, applied: str) -> None:
    wait = read_prefer(values, 30)
    assert (wait.seconds, wait.detached, wait.applied) == (seconds, detached, applied)


@pytest.mark.parametrize(
    ("accept", "format_in", "chosen"),
    [
        (None, "jpeg", "jpeg"),
        ("", "png", "png"),
        ("*/*", "gif", "png"),
        ("image/*", "heic", "jpeg"),
        ("image/png", "jpeg", "png"),
        ("image/webp;q=0.4, image/png;q=0.9", "jpeg", "png"),
        ("image/avif,image/webp,image/*;q=0.8,*/*;q=0.5", "jpeg", "webp"),
        ("image/avif,image/webp,image/*;q=0.8", "avif", "avif"),
        ("image/*, image/jpeg;q=0", "jpeg", "webp"),
        ("image/png;q=nonsense", "jpeg", "png"),
        ("text/html, */*;q=0.1", "tiff", "tiff"),
        ("application/octet-stream", "png", "png"),
        ("application/json, application/octet-stream;q=0.5, image/webp", "png", "webp"),
    ],
)
def test_accept_chooses_the_format_it_likes_best_and_the_own_one_before_others(
    accept: str | None, format_in: str, chosen: str
) -> None:
    assert choose_format("auto", accept, format_in) == chosen


def test_the_format_that_is_asked_for_stands_above_accept() -> None:
    assert choose_format("tiff", "text/html", "jpeg") == "tiff"


def test_a_client_that_takes_no_picture_is_told_unless_it_fetches_it_later() -> None:
    with pytest.raises(NotAcceptable):
        choose_format("auto", "application/json", "jpeg")
    with pytest.raises(NotAcceptable):
        choose_format("auto", "image/*;q=0", "jpeg")
    assert choose_format("auto", "application/json", "jpeg", detached=True) == "jpeg"
