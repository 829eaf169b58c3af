"""The gateway as a process: where it listens, and how it ends."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from service.serve import serve
from service.supervisor import StartupError
from tests.living import wait_until
from tests.service.asgi import NEAREST, PHOTO
from tests.service.gateway import Gateway, running_gateway
from workers.jobs.store import Store
from workers.settings import read_settings

ASYNC = {"Prefer": "respond-async"}


def submitted(gateway: Gateway, store: Store) -> str:
    """The path of a job that nobody computes."""
    store.beat({"test:1": {}})
    answer = httpx.post(f"{gateway.url}{NEAREST}", content=PHOTO, headers=ASYNC, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


def test_a_port_in_use_is_a_sentence_that_says_what_to_set(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}: .*; set LUTRA_BIND and LUTRA_PORT"):
            serve(read_settings(port=port), redis_url)


def test_it_says_nothing_of_the_server_and_keeps_connections(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
        answers = [client.get("/livez") for _ in range(3)]
        assert "server" not in answers[0].headers
        assert len({answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}) == 1


def test_a_signal_ends_open_streams_at_once_and_the_process_in_order(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    told: list[str] = []
    with running_gateway(tmp_path, LUTRA_REDIS_URL=redis_url) as gateway:
        path = submitted(gateway, store)

        def listen() -> None:
            with httpx.stream("GET", f"{gateway.url}{path}/events", timeout=60) as events:
                told.extend(events.iter_lines())

        listener = threading.Thread(target=listen)
        listener.start()
        wait_until(lambda: len(store.client.client_list(_type="pubsub")) == 1, 20, "the gateway listens")
        wait_until(lambda: any(line.startswith("event: state") for line in told) or not listener.is_alive(), 20, "told")
        gateway.process.send_signal(signal.SIGTERM)
        listener.join(20)
        assert not listener.is_alive()
        assert gateway.process.wait(20) == -signal.SIGTERM  # by which uvicorn ends itself once all is closed
    assert "event: state" in told and "event: end" not in told
    assert store.status(path.removeprefix("/jobs/")).state == "queued"


@pytest.mark.slow
def test_who_waits_while_it_stops_is_answered_with_the_job(store: Store, redis_url: str, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with running_gateway(tmp_path, LUTRA_REDIS_URL=redis_url) as gateway:

        def post() -> None:
            url = f"{gateway.url}{NEAREST}"
            answers.append(httpx.post(url, content=PHOTO, headers={"Prefer": "wait=300"}, timeout=120))

        store.beat({"test:1": {}})
        client = threading.Thread(target=post)
        client.start()
        wait_until(lambda: store.queue().queued == 1, 20, "the job waits")
        gateway.process.send_signal(signal.SIGTERM)
        client.join(60)
        assert gateway.process.wait(60) == -signal.SIGTERM
    (answer,) = answers
    assert answer.status_code == 202
    assert store.status(answer.json()["id"]).state == "queued"
