"""A job survives a reload, a lost connection and a service without room; and it can be called off."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import numpy as np
import pytest

from tests.browser.between import between
from tests.browser.driving import Sight
from tests.living import Lutra, as_file, opened, photo, wait_until

pytestmark = pytest.mark.browser

LONG = "/upscale?scale=4&model=lmliif"  # seconds on any machine that runs these tests


def long_photo() -> bytes:
    """Another one each time, or a stored result would answer."""
    return as_file(photo(500, 660, seed=time.time_ns() % 2**32))


def start_long(sight: Sight) -> None:
    sight.choose(("long.jpg", long_photo()))
    sight.scale("4", "lmliif")
    sight.go()
    sight.shows("running")


def from_address(address: str, service: Lutra) -> httpx.Client:
    """Another client, as the service tells them apart."""
    return httpx.Client(base_url=service.client.base_url, transport=httpx.HTTPTransport(local_address=address))


def is_cancelled(client: httpx.Client, job: str) -> bool:
    return bool(client.get(job).json()["state"] == "cancelled")


@contextmanager
def filled_queue(service: Lutra) -> Iterator[None]:
    """No place is left in its queue: four are one client's share, the fifth is another's."""
    jobs = []
    with from_address("127.0.0.2", service) as one, from_address("127.0.0.3", service) as two:
        for client in (one, one, one, one, two):
            answer = client.post(LONG, content=long_photo(), headers={"Prefer": "respond-async"})
            assert answer.status_code == 202, answer.text
            jobs.append((client, answer.headers["location"]))
        try:
            yield
        finally:
            for client, job in jobs:
                client.delete(job)
            for client, job in jobs:
                wait_until(partial(is_cancelled, client, job), 60, "it is cancelled")


def test_a_reload_finds_the_running_job_and_its_photo_again(sight: Sight) -> None:
    start_long(sight)
    assert "#job=" in sight.page.url
    sight.page.reload()
    sight.shows("succeeded")
    assert sight.at("#list b").all_inner_texts() == ["long.jpg"]
    assert sight.at(".tag.left").inner_text() == "Original, enlarged by bicubic"
    name, data = sight.saved()
    assert (name, opened(data).size) == ("long-x4.jpg", (2640, 2000))
    assert len(sight.posts) == 1


def test_tiles_and_the_seconds_left_are_told_while_it_runs(sight: Sight) -> None:
    start_long(sight)
    sight.at("#running-text").get_by_text(re.compile(r"^Tile \d+ of \d+, (about .* left|nearly done)$")).wait_for()
    sight.shows("succeeded")


PROGRESS = """async ([entry, seconds]) => {
  const {progressOf} = await import("./web/progress.js");
  const {text, brief} = progressOf({...entry, etaAt: seconds === null ? null : Date.now() + 1000 * seconds});
  return [text, brief];
}"""


def test_a_line_of_the_list_has_room_for_what_it_tells(sight: Sight) -> None:
    told = partial(sight.page.evaluate, PROGRESS)
    runs, waits = {"phase": "running", "done": 1, "total": 6}, {"phase": "queued", "position": 3}
    assert told([runs, 300]) == ["Tile 2 of 6, about 5 minutes left", "About 5 minutes left"]
    assert told([runs, 0]) == ["Tile 2 of 6, nearly done", "Nearly done"]
    assert told([runs, None]) == ["Tile 2 of 6", "Tile 2 of 6"]
    assert told([waits, 300]) == ["3rd in the queue, done in about 5 minutes", "3rd in the queue"]


def test_a_running_job_is_called_off(sight: Sight, service: Lutra) -> None:
    start_long(sight)
    sight.at("#cancel").click()
    sight.shows("cancelled")
    job = f"/jobs/{sight.page.url.partition('#job=')[2]}"
    wait_until(partial(is_cancelled, service.client, job), 60, "it is cancelled")
    sight.press("Send it again")
    sight.shows("succeeded")


def test_a_lost_connection_is_waited_for(sight: Sight) -> None:
    start_long(sight)
    sight.page.context.set_offline(True)
    sight.shows("waiting")
    assert sight.at("#running-text").inner_text().startswith("The connection is lost; trying again")
    sight.page.context.set_offline(False)
    sight.shows("succeeded")
    assert len(sight.posts) == 1


def test_what_cannot_be_sent_now_is_sent_when_the_connection_is_back(sight: Sight) -> None:
    sight.choose(("photo.jpg", as_file(photo(seed=5))))
    sight.scale("2", "nearest")
    sight.at("#estimate").get_by_text("128 × 96 pixels").wait_for()
    sight.page.context.set_offline(True)
    sight.go()
    sight.shows("waiting")
    sight.page.context.set_offline(False)
    sight.shows("succeeded")


def test_an_answer_that_is_lost_makes_no_second_job(sight: Sight, service: Lutra) -> None:
    before = service.client.get("/jobs?limit=100").json()["jobs"]
    with between(service.port, lost_posts=1) as port:
        sight.port = port
        sight.visit()
        sight.choose(("photo.jpg", as_file(photo(seed=9))))
        sight.scale("2", "nearest")
        sight.go()
        sight.shows("succeeded")
    assert len(sight.posts) == 2
    after = service.client.get("/jobs?limit=100").json()["jobs"]
    assert len({job["id"] for job in after} - {job["id"] for job in before}) == 1


def test_a_service_without_room_is_asked_again_when_it_says_so(sight: Sight, service: Lutra) -> None:
    sight.choose(("photo.jpg", as_file(photo(seed=6))))
    sight.scale("2", "nearest")
    with filled_queue(service):
        sight.go()
        sight.shows("waiting")
        assert sight.at("#running-text").inner_text().startswith("The queue is full; trying again in ")
    sight.shows("succeeded")


def test_the_place_in_the_queue_is_told(sight: Sight, service: Lutra) -> None:
    with from_address("127.0.0.2", service) as other:
        answers = [other.post(LONG, content=long_photo(), headers={"Prefer": "respond-async"}) for _ in range(2)]
        sight.choose(("photo.jpg", as_file(photo(seed=7))))
        sight.scale("2", "nearest")
        sight.go()
        sight.at("#running-text").get_by_text(re.compile(r"^(Next|\d+\w+) in the queue, done in about")).wait_for()
        for answer in answers:
            other.delete(answer.headers["location"])
    sight.shows("succeeded")


def test_a_job_that_the_service_no_longer_has_says_so_and_can_be_sent_again(sight: Sight, service: Lutra) -> None:
    sight.choose(("photo.jpg", as_file(photo(seed=8))))
    sight.scale("2", "nearest")
    sight.go()
    sight.shows("succeeded")
    service.client.delete(f"/jobs/{sight.page.url.partition('#job=')[2]}").raise_for_status()
    sight.page.reload()
    sight.shows("failed")
    assert sight.at("#trouble-title").inner_text() == "The result is no longer here"
    sight.press("Send it again")
    sight.shows("succeeded")


def test_how_much_is_sent_is_told(sight: Sight) -> None:
    noise = np.random.default_rng(time.time_ns()).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    sight.choose(("noise.png", as_file(noise, "PNG")))
    sight.scale("2", "nearest")
    sight.at("#estimate").get_by_text("1,200 × 800 pixels").wait_for()
    network = sight.page.context.new_cdp_session(sight.page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 250_000}
    network.send("Network.emulateNetworkConditions", slow)
    sight.go()
    sight.at("#running-text").get_by_text(re.compile(r"^Sending, [1-9]\d? %$")).wait_for()
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    sight.shows("succeeded")
