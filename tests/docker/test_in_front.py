"""The service behind real proxies by the committed examples: whatever it does without one, it does behind them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import lutra_client
import numpy as np
import pytest

from tests.docker import http2
from tests.docker.in_front import PREFIX, PROXIES, Front
from tests.living import FEW_MODELS, Lutra, as_file, free_port, opened, photo, running_lutra, wait_until
from tests.service.gateway import running_gateway

PHOTO = as_file(photo())
NEAREST = "/upscale?scale=2&model=nearest"
ASYNC = {"Prefer": "respond-async"}
PUBLIC = f"https://photos.example{PREFIX}"
MEGABYTE = 10**6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lutra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lutra]:
    """Below a path, with proxies on its own machine; of small tiles, after each of which a job can be cancelled."""
    settings = {"LUTRA_PUBLIC_URL": PUBLIC, "LUTRA_TRUSTED_PROXIES": "127.0.0.1", "LUTRA_TILE": "48"}
    settings |= {"LUTRA_MODELS": f"{FEW_MODELS},lut3d"}
    with running_lutra(tmp_path_factory.mktemp("lutra"), **settings) as running:
        yield running


@pytest.fixture(scope="module", params=["caddy-kept", "caddy-taken", "nginx-kept", "nginx-taken"])
def front(request: pytest.FixtureRequest, lutra: Lutra, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Each proxy, once with the path left on and once with the path taken off."""
    proxy, _, place = request.param.partition("-")
    with PROXIES[proxy](tmp_path_factory.mktemp(request.param), lutra.port, place) as running:
        yield running


@pytest.fixture(scope="module", params=list(PROXIES))
def whole_host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway without a worker behind each proxy's example as it lies there; one request a minute for each client."""
    folder = tmp_path_factory.mktemp(request.param)
    starting = running_gateway(folder, LUTRA_RATE_LIMIT="1", LUTRA_TRUSTED_PROXIES="127.0.0.1")
    with starting as gateway, PROXIES[request.param](folder, gateway.port) as running:
        yield running


@pytest.fixture
def client(front: Front) -> Iterator[httpx.Client]:
    with front.client(headers={"Cache-Control": "no-cache"}) as client:
        yield client


def of(front: Front, told: str) -> str:
    """An address that was told, as whoever asked at the proxy reads it."""
    return urljoin(f"{front.url}/", told)


def state(lutra: Lutra, job: str) -> str:
    return str(lutra.client.get(f"/jobs/{job}").json()["state"])


def start_long(client: httpx.Client, lutra: Lutra) -> dict[str, Any]:
    """A job that runs for longer than a test looks at it, and runs now."""
    picture = as_file(photo(500, 500, seed=7))
    job: dict[str, Any] = client.post("/upscale?scale=4&model=liif", content=picture, headers=ASYNC).json()
    wait_until(lambda: state(lutra, job["id"]) == "running", 60, "the job runs")
    return job


def test_a_picture_comes_back_and_what_is_told_of_it_can_be_followed(front: Front, client: httpx.Client) -> None:
    answer = client.post(NEAREST, content=PHOTO)
    assert (answer.status_code, opened(answer.content).size) == (200, (128, 96))
    assert client.get(of(front, answer.headers["content-location"])).content == answer.content

    taken = client.post(NEAREST, content=PHOTO, headers=ASYNC)
    assert taken.status_code == 202
    job = of(front, taken.headers["location"])
    assert job.startswith(f"{front.url}/jobs/") and of(front, taken.json()["links"]["self"]) == job
    wait_until(lambda: client.get(job).json()["state"] == "succeeded", 60, "the job ends")
    assert client.get(of(front, taken.json()["links"]["result"])).content == answer.content
    following = client.get("/jobs?limit=1").links["next"]["url"]
    assert client.get(of(front, following)).json()["jobs"]


def test_events_arrive_when_they_happen(front: Front, client: httpx.Client, lutra: Lutra) -> None:
    job = start_long(client, lutra)
    kinds = []
    with client.stream("GET", of(front, job["links"]["events"])) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
                if len(kinds) == 1:  # it was here before the end was
                    assert state(lutra, job["id"]) == "running"
                    assert client.delete(of(front, job["links"]["self"])).status_code == 202
    assert kinds[-1] == "end" and len(kinds) > 1
    assert state(lutra, job["id"]) == "cancelled"


def test_the_job_of_a_client_that_leaves_is_cancelled(front: Front, client: httpx.Client, lutra: Lutra) -> None:
    def newest() -> dict[str, Any]:
        """Its client reads no job by its id: that would keep it alive."""
        return dict(lutra.client.get("/jobs?limit=1").json()["jobs"][0])

    before = newest()["id"]
    with pytest.raises(httpx.ReadTimeout):
        client.post(
            "/upscale?scale=4&model=liif",
            content=as_file(photo(500, 500, seed=8)),
            headers={"Prefer": "wait=600"},
            timeout=httpx.Timeout(60, read=3),
        )
    assert newest()["id"] != before
    wait_until(lambda: newest()["state"] == "cancelled", 60, "the job ends")


def test_30_megabytes_pass_and_what_is_too_large_is_refused_in_our_own_words(client: httpx.Client) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2500, 4000, 3), np.uint8)
    large = as_file(noise, "BMP")
    assert len(large) >= 30 * MEGABYTE
    answer = client.post("/enhance?strength=0&format=jpeg&quality=30", content=large, headers={"Prefer": "wait=110"})
    assert (answer.status_code, opened(answer.content).size) == (200, (4000, 2500))

    pieces = (bytes(MEGABYTE) for _ in range(60))
    for too_large in (bytes(60 * MEGABYTE), pieces):  # by Content-Length, and in pieces that nobody has counted before
        answer = client.post(NEAREST, content=too_large)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert answer.json()["limit"] == 50 * 1024**2


def test_metrics_are_not_shown_however_they_are_asked_for(front: Front, client: httpx.Client, lutra: Lutra) -> None:
    assert "lutra_queue_depth" in lutra.client.get("/metrics").text
    for path in ("/metrics", "/%6detrics", "//metrics", f"{PREFIX}/metrics", f"{PREFIX}//metrics"):
        answer = client.get(front.url + path)
        assert "lutra_" not in answer.text and answer.status_code == 404, path


def test_the_path_without_its_slash_leads_to_the_page(front: Front, client: httpx.Client) -> None:
    answer = client.get(front.url)
    assert answer.status_code in (301, 308)
    assert urljoin(front.url, answer.headers["location"]) == f"{front.url}/"
    for path in ("/", "/docs", "/redoc", "/web/app.js", "/docs/swagger.js", "/openapi.json"):
        assert client.get(path).status_code == 200
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"


def test_the_clients_of_ours_work_below_the_path(front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))
    with lutra_client.Lutra(front.url) as ours:
        assert opened(ours.upscale(PHOTO, scale=2, model="nearest", fresh=True).result().data).size == (128, 96)
        assert any(card["name"] == "nearest" for card in ours.models())
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(PHOTO)
    words = ["upscale", str(picture), "--scale", "3", "--model", "bicubic", "--json", "--url", f"{front.url}/"]
    done = subprocess.run([sys.executable, "-m", "service.cli", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["width"] == 192


def curl(front: Front, path: str, *options: str | Path) -> dict[str, Any]:
    """What curl measured."""
    shown = "%{json}"
    command = ["curl", "--silent", "--cacert", front.authority, "--output", os.devnull, "--write-out", shown, *options]
    done = subprocess.run([*command, front.url + path], capture_output=True, text=True, timeout=120, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def test_http_2_in_front_changes_nothing(front: Front, tmp_path: Path) -> None:
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(PHOTO)
    seen = curl(front, NEAREST, "--http2", "--data-binary", f"@{picture}")
    assert (seen["http_code"], seen["http_version"]) == (200, "2")
    too_large = bytes(60 * MEGABYTE)
    answer = http2.post(front, NEAREST, too_large)
    assert (answer.headers[":status"], answer.headers["content-type"]) == ("413", "application/problem+json")
    assert json.loads(answer.body)["limit"] == 50 * 1024**2
    picture.write_bytes(too_large)
    seen = curl(
        front,
        NEAREST,
        "--http1.1",
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "60",
        "-T",
        picture,
        "-X",
        "POST",
    )
    assert seen["http_code"] == 413


def test_clients_are_counted_apart_and_cannot_say_who_they_are(whole_host: Front) -> None:
    def status(source: str, **headers: str) -> int:
        with whole_host.client(source) as client:
            return client.get("/models", headers=headers).status_code

    assert [status("127.0.0.2"), status("127.0.0.3"), status("127.0.0.2")] == [200, 200, 429]
    made_up = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
    assert [status("127.0.0.4"), status("127.0.0.4", **made_up)] == [200, 429]


def test_the_examples_as_they_lie_there_lead_the_whole_host_to_the_gateway(whole_host: Front) -> None:
    with whole_host.client() as client:
        assert client.get("/livez").json() == {"status": "ok"}
        assert client.get("/readyz").headers["retry-after"] == "5"  # 503 of the gateway's own, which has no worker
        assert "http_requests" not in client.get("/metrics").text
    plain = httpx.get(f"http://localhost:{whole_host.plain_port}/docs?a=b", headers={"Host": "localhost"})
    assert plain.status_code == 308 and plain.headers["location"].startswith("https://localhost")


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_gateway_that_is_not_there_is_a_problem_to_be_tried_again(proxy: str, tmp_path: Path) -> None:
    with PROXIES[proxy](tmp_path, free_port()) as front, front.client() as client:
        answer = client.post(NEAREST, content=PHOTO)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert (answer.headers["retry-after"], answer.json()["status"]) == ("5", 503)
        assert re.fullmatch(r"urn:lutra:request:[\w-]{32,36}", answer.json()["instance"])
