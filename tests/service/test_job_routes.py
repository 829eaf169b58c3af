"""The life of a job as a client sees it: waiting, 202, events, cancel, results, ranges, health, metrics."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.living import Lutra, as_file, opened, photo, running_lutra, wait_until

PHOTO = as_file(photo(), quality=95)
LONG = "/upscale?scale=4&model=liif&format=png"
ASYNC = {"Prefer": "respond-async"}


def long_photo(seed: int = 0) -> bytes:
    """Takes liif some seconds."""
    return as_file(photo(112, 112, seed))


@pytest.fixture(scope="module")
def tiling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """Of small tiles, after each of which a job can be cancelled."""
    settings = {"LUTRA_TILE": "48"}
    with running_lutra(tmp_path_factory.mktemp("tiling"), **settings) as running:
        yield running


def state(lutra: Lutra, job: str) -> str:
    return str(lutra.client.get(f"/jobs/{job}").json()["state"])


def events(lutra: Lutra, job: str, after: str | None = None) -> list[tuple[str, str, dict[str, object]]]:
    """(id, kind, data) of the whole stream."""
    headers = {"Last-Event-ID": after} if after else {}
    text = lutra.client.get(f"/jobs/{job}/events", headers=headers).text
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


def test_respond_async_gives_a_job_that_can_be_followed_and_fetched(lutra: Lutra) -> None:
    answer = lutra.post("/upscale?scale=2&model=bicubic", PHOTO, headers=ASYNC)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert int(answer.headers["retry-after"]) >= 1
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    wait_until(lambda: state(lutra, job["id"]) == "succeeded", 20, "the job succeeds")
    told = lutra.client.get(job["links"]["self"]).json()
    assert told["progress"] == 1
    assert told["output"] == {"format": "jpeg", "width": 128, "height": 96, "bytes": told["output"]["bytes"]}
    result = lutra.client.get(job["links"]["result"])
    assert len(result.content) == told["output"]["bytes"]
    assert opened(result.content).size == (128, 96)
    expected = {
        "id",
        "operation",
        "model",
        "parameters",
        "state",
        "progress",
        "created_at",
        "started_at",
        "finished_at",
        "expires_at",
    }
    expected |= {
        "attempts",
        "input",
        "output",
        "found",
        "timings_s",
        "lane",
        "queue_position",
        "eta_s",
        "error",
        "links",
    }
    assert expected == set(told)


def test_a_wait_that_is_too_short_ends_in_202_and_the_job_goes_on(lutra: Lutra) -> None:
    answer = lutra.post(LONG, long_photo(), headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"
    job = answer.json()["id"]
    early = lutra.client.get(f"/jobs/{job}/result")
    assert early.status_code == 409
    wait_until(lambda: state(lutra, job) == "succeeded", 60, "the job succeeds")


def test_events_tell_states_and_tiles_and_can_be_replayed(lutra: Lutra) -> None:
    job = lutra.post(LONG, long_photo(), headers=ASYNC).json()["id"]
    told = events(lutra, job)
    assert [data["state"] for _, kind, data in told if kind == "state"] == ["queued", "running", "succeeded"]
    progress = [(data["done"], data["total"]) for _, kind, data in told if kind == "progress"]
    assert progress and progress[-1][0] == progress[-1][1]
    assert told[-1][1:] == ("end", {"state": "succeeded"})
    assert events(lutra, job, after=told[1][0]) == told[2:]


def test_a_running_job_is_cancelled_between_tiles_and_the_worker_goes_on(tiling: Lutra) -> None:
    job = tiling.post("/upscale?scale=4&model=liif", as_file(photo(500, 500)), headers=ASYNC).json()["id"]
    wait_until(lambda: state(tiling, job) == "running", 20, "the job runs")
    assert tiling.client.delete(f"/jobs/{job}").status_code in (200, 202)
    wait_until(lambda: state(tiling, job) == "cancelled", 20, "the job is cancelled")
    assert tiling.client.delete(f"/jobs/{job}").status_code == 200
    assert tiling.client.get(f"/jobs/{job}/result").status_code == 409
    assert tiling.post("/upscale?scale=2&model=nearest", PHOTO).status_code == 200


def test_a_client_that_leaves_while_waiting_cancels_its_job(tiling: Lutra) -> None:
    before = tiling.samples("lutra_jobs_finished_total")
    leaving = http.client.HTTPConnection("127.0.0.1", tiling.port)
    leaving.request("POST", "/upscale?scale=4&model=liif", as_file(photo(500, 500)))
    wait_until(lambda: in_progress(tiling) == 1, 20, "the job runs")
    leaving.close()
    key = '{model="liif",operation="upscale",outcome="cancelled"}'

    def cancelled() -> bool:
        return tiling.samples("lutra_jobs_finished_total")[key] == before[key] + 1

    wait_until(cancelled, 20, "the job is cancelled")


def in_progress(lutra: Lutra) -> float:
    return lutra.samples("lutra_jobs_in_progress").get('{operation="upscale"}', 0.0)


def test_a_failed_job_answers_with_its_problem_everywhere(lutra: Lutra) -> None:
    broken = PHOTO[:-800]
    direct = lutra.post("/upscale?scale=2", broken)
    assert direct.status_code == 422
    assert direct.json()["type"] == "urn:lutra:problem:corrupt-picture"
    job = lutra.post("/upscale?scale=2", broken, headers=ASYNC).json()["id"]
    wait_until(lambda: state(lutra, job) == "failed", 20, "the job fails")
    assert lutra.client.get(f"/jobs/{job}").json()["error"]["status"] == 422
    assert lutra.client.get(f"/jobs/{job}/result").status_code == 422
    assert events(lutra, job)[-1][1:] == ("end", {"state": "failed"})


def test_results_have_an_etag_conditions_ranges_and_head(lutra: Lutra) -> None:
    posted = lutra.post("/upscale?scale=2&model=bicubic", PHOTO)
    path, whole = posted.headers["content-location"], posted.content
    head = lutra.client.head(path)
    assert (head.status_code, int(head.headers["content-length"]), head.content) == (200, len(whole), b"")
    assert head.headers["etag"] == posted.headers["etag"]
    assert lutra.client.get(path, headers={"If-None-Match": head.headers["etag"]}).status_code == 304
    assert lutra.client.get(path, headers={"If-None-Match": '"other"'}).content == whole
    part = lutra.client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert lutra.client.get(path, headers={"Range": "bytes=-5"}).content == whole[-5:]
    assert lutra.client.get(path, headers={"Range": "bytes=5-"}).content == whole[5:]
    assert lutra.client.get(path, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    assert lutra.client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).content == whole
    stages = {part.split(";")[0].strip() for part in posted.headers["server-timing"].split(",")}
    assert stages == {"queue", "decode", "infer", "encode"}


def test_an_unknown_job_is_404_in_every_way(lutra: Lutra) -> None:
    paths = ("/jobs/none", "/jobs/none/result", "/jobs/none/events")
    assert [lutra.client.get(path).status_code for path in paths] == [404] * 3
    assert lutra.client.delete("/jobs/none").status_code == 404


def test_many_waiting_clients_share_one_subscription(lutra: Lutra) -> None:
    answers: list[int] = []

    def post(seed: int) -> None:
        url = f"http://127.0.0.1:{lutra.port}/upscale?scale=2&model=bicubic"
        answers.append(httpx.post(url, content=as_file(photo(seed=seed)), timeout=60).status_code)

    threads = [threading.Thread(target=post, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 20


def test_an_event_source_that_comes_back_after_the_end_is_told_to_stay_away(lutra: Lutra) -> None:
    job = lutra.post("/upscale?scale=2&model=nearest", PHOTO, headers=ASYNC).json()["id"]
    last = events(lutra, job)[-1][0]
    assert lutra.client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": last}).status_code == 204
    for odd in ("18446744073709551615-18446744073709551615", "99999999999999999999", "x", "-1"):
        assert lutra.client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": odd}).status_code in (200, 204)


def test_odd_ids_methods_and_ranges_are_problems(lutra: Lutra) -> None:
    assert lutra.client.get(f"/jobs/{'x' * 100}").status_code == 404
    assert lutra.client.put("/jobs/x").headers["allow"] == "DELETE, GET, HEAD"
    path = lutra.post("/upscale?scale=2&model=nearest", PHOTO).headers["content-location"]
    beyond = lutra.client.get(path, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-type"] == "application/problem+json"
    assert beyond.headers["content-range"].startswith("bytes */")


def test_what_would_take_longer_than_allowed_is_refused_with_what_fits(lutra: Lutra) -> None:
    data = as_file(photo(2000, 2000), quality=50)
    answer = lutra.post("/upscale?scale=7&model=liif", data, headers=ASYNC)
    told = answer.json()
    assert answer.status_code in (202, 422)
    if answer.status_code == 202:  # a machine fast enough for 196 megapixels in 15 minutes
        lutra.client.delete(f"/jobs/{told['id']}")
        return
    assert 1 < told["largest_scale"] < 7
    assert "bicubic" in told["faster_models"]
