"""A service that keeps keys, whole: a round with a key, a key that is replaced while it runs, and no word of either in
what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.keys import add_key, hash_of
from tests.living import Lutra, opened, running_lutra, wait_until
from tests.service.asgi import ASYNC, NEAREST, PHOTO

SCRAPE = "the-key-of-the-metrics"


@dataclass
class Keyed:
    lutra: Lutra
    file: Path
    key: str

    def ask(self, method: str, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        sent = {**headers, "Authorization": f"Bearer {key or self.key}"}
        return self.lutra.client.request(method, path, headers=sent, content=PHOTO if method == "POST" else None)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    file = folder / "keys.jsonl"
    key = add_key(file, "phone")
    with running_lutra(
        folder,
        LUTRA_API_KEYS_FILE=str(file),
        LUTRA_METRICS_KEY=SCRAPE,
        LUTRA_LOG_LEVEL="debug",
        LUTRA_MODELS="nearest,lut3d",
    ) as lutra:
        yield Keyed(lutra, file, key)


def test_a_whole_round_with_a_key_tells_nobody_of_it(keyed: Keyed) -> None:
    wrong = "0" * 64
    said: list[str] = []

    def ask(method: str, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        answer = keyed.ask(method, path, key, **headers)
        said.append(f"{answer.headers}")
        if not answer.headers["content-type"].startswith("image/"):
            said.append(answer.text)
        return answer

    picture = ask("POST", NEAREST)
    assert picture.status_code == 200 and opened(picture.content).size == (128, 96)
    job = ask("POST", "/enhance", **ASYNC).headers["location"]
    assert "event: end" in ask("GET", f"{job}/events").text
    assert ask("GET", f"{job}/result").status_code == 200
    assert ask("DELETE", job).status_code == 200
    assert ask("GET", f"{job}/result").status_code == 410
    assert ask("POST", NEAREST, wrong).status_code == 401
    assert ask("POST", NEAREST, hash_of(keyed.key)).status_code == 401  # the hash is no key
    assert ask("POST", "/upscale?scale=nonsense").status_code == 422
    assert ask("GET", "/nothing").status_code == 404

    said.append(keyed.lutra.client.get("/readyz?verbose=1").text)
    assert keyed.lutra.client.get("/metrics").status_code == 401
    metrics = ask("GET", "/metrics", SCRAPE)
    assert "lutra_jobs_finished_total" in metrics.text
    said += [keyed.lutra.client.get("/openapi.json").text, keyed.lutra.client.get("/").text]
    log = keyed.lutra.log.read_text()
    assert '"client": "key:phone"' in log  # by its name it is told of

    for secret in (keyed.key, hash_of(keyed.key).removeprefix("sha256:"), wrong, hash_of(wrong)[7:], SCRAPE):
        assert not [text for text in [*said, log] if secret in text]


def test_a_key_is_replaced_without_a_restart_and_its_jobs_stay_its_clients(keyed: Keyed) -> None:
    old, pid = keyed.key, keyed.lutra.pids("service.cli", "gateway")
    job = keyed.ask("POST", NEAREST, **ASYNC).headers["location"]
    new = add_key(keyed.file, "phone")
    wait_until(lambda: keyed.ask("GET", job, new).status_code == 200, 30, "the new key is good")
    assert keyed.ask("GET", job, old).status_code == 200  # and so is the old one, until its line goes

    keyed.file.write_text(keyed.file.read_text() + "not json\n")
    wait_until(lambda: "cannot be read anew" in keyed.lutra.log.read_text(), 30, "the mistake is told of")
    assert keyed.ask("GET", job, new).status_code == keyed.ask("GET", job, old).status_code == 200

    keyed.file.write_text("".join(line for line in keyed.file.read_text().splitlines(True) if hash_of(new) in line))
    wait_until(lambda: keyed.ask("GET", job, old).status_code == 401, 30, "the old key is no longer good")
    assert keyed.ask("GET", job, new).status_code == 200
    assert keyed.lutra.pids("service.cli", "gateway") == pid
    keyed.key = new
