"""Connections that say too much, too little or nothing: bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import resource
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.connections import MAX_HEAD_BYTES, MAX_HEADERS, MAX_PIPELINED, MAX_URL_BYTES, confirmed_bytes
from tests.living import wait_until
from tests.service.asgi import succeed
from tests.service.gateway import Gateway, ends, read_answer, running_gateway, send
from tests.workers.stored import put
from workers.jobs.store import Store

FEW_FILES = 1024
HEAD_S, STALLED_S, LINGER_SILENCE_S = 3.0, 5.0, 2.0  # instead of what a client really has
HURRY = {
    "connections.HEAD_S": HEAD_S,
    "connections.STALLED_S": STALLED_S,
    "connections.LINGER_SILENCE_S": LINGER_SILENCE_S,
}
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /enhance HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "header": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"a" * 65536, 431),
    "name of a header": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"a" * 65536, 431),
    "headers": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n" * 8192, 431),
    "url": (b"GET /livez?", b"a" * 65536, 414),
    "trailer": (CHUNKED + b"0\r\nX-A: ", b"a" * 65536, 400),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 8192, 400),
    "chunk extension": (CHUNKED + b"5;a=", b"a" * 65536, 400),
    "chunk extensions": (CHUNKED, b"1;a=bcdefghijklmnopqrstuvwxyz\r\nx\r\n" * 2000, 400),
    "pieces": (CHUNKED, b"1\r\nx\r\n" * 11000, 400),
    "empty lines": (b"", b"\r\n" * 32768, 431),
    "method": (b"", b"A" * 65536, 400),
    "nonsense": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 65536, 400),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))  # for our own ends
    with running_gateway(tmp_path_factory.mktemp("gateway"), files=FEW_FILES) as running:
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def hurried(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With the jobs of `store`, and soon out of patience."""
    with running_gateway(tmp_path_factory.mktemp("hurried"), hurry=HURRY, LUTRA_REDIS_URL=redis_url) as running:
        yield running


@pytest.mark.parametrize("space", [" ", "\t", " \t "])
def test_white_space_around_the_value_of_a_header_is_none_of_it(gateway: Gateway, space: str) -> None:
    with gateway.connect() as line:
        send(line, f"GET /livez HTTP/1.1\r\nHost:{space}localhost{space}\r\nX-Request-ID: a{space}\r\n\r\n".encode())
        answer = read_answer(line)
    assert answer is not None and (answer.status, answer.headers["x-request-id"]) == (200, "a")


def close(lines: list[socket.socket]) -> None:
    for line in lines:
        line.close()


@pytest.mark.parametrize("said", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: b", LIVEZ])
def test_more_silent_connections_than_descriptors_leave_the_gateway_reachable(gateway: Gateway, said: bytes) -> None:
    lines = []
    for _ in range(FEW_FILES + 76):
        lines.append(gateway.connect())
        send(lines[-1], said)
    try:
        for _ in range(3):
            assert gateway.is_alive()
        assert "fewer connections than asked for" in gateway.log.read_text()
    finally:
        close(lines)


def drip(line: socket.socket, seconds: float) -> float:
    """Seconds until the other end says something to one byte every half second."""
    start, poll = time.monotonic(), select.poll()
    poll.register(line, select.POLLIN)
    while not poll.poll(500):
        if time.monotonic() - start > seconds:
            pytest.fail(f"nothing was said in {seconds:g} s")
        send(line, b"a")
    return time.monotonic() - start


def test_a_connection_that_says_nothing_or_half_a_head_is_closed_after_a_time(hurried: Gateway) -> None:
    lines = [hurried.connect() for _ in range(3)]
    _, half, slow = lines
    send(half, LIVEZ[:-2])
    send(slow, LIVEZ[:-2] + b"X-A: ")
    assert drip(slow, HEAD_S + 30) > HEAD_S - 1
    for line in (half, slow):
        answer = read_answer(line)
        assert answer is not None and answer.status == 408
        assert answer.problem["type"] == "urn:lutra:problem:request-timeout"
    assert all(ends(line, 60) for line in lines)
    close(lines)


def test_a_connection_kept_alive_answers_again_and_half_a_head_on_it_is_closed_too(hurried: Gateway) -> None:
    with hurried.connect() as line:
        for _ in range(3):
            send(line, LIVEZ)
            answer = read_answer(line)
            assert answer is not None and answer.status == 200
            assert "connection" not in answer.headers
        send(line, LIVEZ[:20])
        answer = read_answer(line)
        assert answer is not None and answer.status == 408
        assert ends(line, 60)


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_refused_and_costs_no_memory(gateway: Gateway, what: str) -> None:
    begin, piece, status = ENDLESS[what]
    before = gateway.memory_bytes()
    with gateway.connect() as line:
        send(line, begin, *[piece] * 500)
        answer = read_answer(line)
    assert answer is not None and answer.status == status
    assert len(str(answer.problem["detail"])) > 10
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] in str(answer.problem["instance"])
    assert gateway.is_alive()
    assert gateway.memory_bytes() - before < 16 * 1024**2


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /livez?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * (MAX_URL_BYTES - 7)), 200),
        (b"GET /livez?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * (MAX_URL_BYTES - 6)), 414),
        (b"GET /livez HTTP/1.0\r\n%s\r\n" % (b"X-A: b\r\n" * MAX_HEADERS), 200),
        (b"GET /livez HTTP/1.0\r\n%s\r\n" % (b"X-A: b\r\n" * (MAX_HEADERS + 1)), 431),
        (b"GET /livez HTTP/1.0\r\nX: %s\r\n\r\n" % (b"a" * (MAX_HEAD_BYTES - 1)), 200),
        (b"GET /livez HTTP/1.0\r\nX: %s\r\n\r\n" % (b"a" * MAX_HEAD_BYTES), 431),
    ],
)
@pytest.mark.parametrize("step", [100_000, 1_000])
def test_the_bounds_of_a_head_are_where_they_are_said_to_be(
    gateway: Gateway, head: bytes, status: int, step: int
) -> None:
    with gateway.connect() as line:
        send(line, *(head[at : at + step] for at in range(0, len(head), step)))
        answer = read_answer(line)
        assert answer is not None and answer.status == status


def test_trailers_are_read_and_change_nothing(gateway: Gateway) -> None:
    with gateway.connect() as line:
        for _ in range(2):
            send(line, CHUNKED, b"3\r\nabc\r\n", b"0\r\nIdempotency-Key: a\r\nX-Request-ID: forged\r\n\r\n")
            answer = read_answer(line)
            assert answer is not None and answer.status == 415
            assert answer.headers["x-request-id"] != "forged"


def test_a_body_in_small_pieces_is_read(gateway: Gateway) -> None:
    for size, count in ((1, 5_000), (64, 20_000), (1000, 2_000)):
        with gateway.connect() as line:
            piece = b"%x\r\n" % size + b"x" * size + b"\r\n"
            send(line, CHUNKED, piece * count, b"0\r\n\r\n")
            answer = read_answer(line)
            assert answer is not None and answer.status == 415


def test_requests_one_behind_the_other_are_answered_in_order_and_thousands_end_the_connection(gateway: Gateway) -> None:
    with gateway.connect() as line:
        send(line, (LIVEZ + LIVEZ.replace(b"livez", b"nothing")) * (MAX_PIPELINED // 2))
        told = b""
        while told.count(b"HTTP/1.1 ") < MAX_PIPELINED or not told.endswith(b"}"):
            told += line.recv(65536)
        found = [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]]
        assert found == [b"200", b"404"] * (MAX_PIPELINED // 2)
    before = gateway.memory_bytes()
    with gateway.connect() as line:
        assert not send(line, *[LIVEZ * 1000] * 500)
    assert gateway.is_alive()
    assert gateway.memory_bytes() - before < 16 * 1024**2


def test_a_wish_for_another_protocol_is_passed_over(gateway: Gateway) -> None:
    for protocol in (b"h2c", b"websocket", b"TLS/1.3"):
        with gateway.connect() as line:
            for _ in range(2):
                send(line, LIVEZ[:-2], b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n")
                answer = read_answer(line)
                assert answer is not None and answer.status == 200


def test_an_answer_before_the_body_ends_the_connection_however_slowly_the_rest_comes(hurried: Gateway) -> None:
    with hurried.connect() as line:
        send(line, b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        answer = read_answer(line)
        assert answer is not None and (answer.status, answer.headers["connection"]) == (404, "close")
        for _ in range(120):
            if not send(line, b"x"):
                return
            time.sleep(0.5)
        pytest.fail("all of it was taken")


def test_an_address_has_so_many_connections_at_work_and_others_have_theirs(tmp_path: Path) -> None:
    upload = b"POST /enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"

    def is_at_work(line: socket.socket) -> bool:
        """Its body is asked for."""
        send(line, upload)
        return line.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"

    limits: dict[str, Any] = {"LUTRA_MAX_CONNECTIONS": "6", "LUTRA_MAX_CONNECTIONS_PER_ADDRESS": "3"}
    with running_gateway(tmp_path, **limits) as gateway:
        stranger = [gateway.connect("127.0.0.2") for _ in range(3)]
        assert all(is_at_work(line) for line in stranger)
        for _ in range(3):  # and again: those that were refused do not add up
            with gateway.connect("127.0.0.2") as line:
                send(line, LIVEZ)
                answer = read_answer(line)
                assert answer is not None and answer.status == 503
                assert answer.problem["type"] == "urn:lutra:problem:too-many-connections"
                assert int(answer.headers["retry-after"]) > 0
        assert gateway.is_alive()
        another = [gateway.connect("127.0.0.3") for _ in range(3)]
        assert all(is_at_work(line) for line in another)
        assert not gateway.is_alive()  # all six are at work
        stranger.pop().close()
        wait_until(gateway.is_alive, 10, "a place is free")
        for line in stranger + another:  # none of those at work made room
            send(line, b"x" * 1000)
            answer = read_answer(line)
            assert answer is not None and answer.status == 415
        crowd = [gateway.connect("127.0.0.2") for _ in range(50)]
        assert gateway.is_alive()
        close(stranger + another + crowd)


def test_a_trusted_proxy_s_connections_are_many_clients(tmp_path: Path) -> None:
    """As many as there may be in all, where another address has its few."""
    upload = b"POST /enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    limits: dict[str, Any] = {"LUTRA_MAX_CONNECTIONS": "8", "LUTRA_MAX_CONNECTIONS_PER_ADDRESS": "2"}
    with running_gateway(tmp_path, **limits, LUTRA_TRUSTED_PROXIES="127.0.0.2") as gateway:
        told: dict[str, list[bytes]] = {}
        for address in ("127.0.0.3", "127.0.0.2"):
            lines = []
            for _ in range(4):  # one after the other: what is not yet at work makes room for the next
                lines.append(gateway.connect(address))
                send(lines[-1], upload)
                told.setdefault(address, []).append(lines[-1].recv(12))
            close(lines)
        assert told["127.0.0.3"] == [b"HTTP/1.1 100"] * 2 + [b"HTTP/1.1 503"] * 2
        assert told["127.0.0.2"] == [b"HTTP/1.1 100"] * 4


def large(store: Store) -> tuple[str, int]:
    """The path and size of a result that is more than buffers on the way take."""
    job, size = put(store), 25_000_000
    succeed(store, job.computation.id, bytes(size))
    return f"/jobs/{job.id}/result", size


@pytest.mark.parametrize("more", [b"", b"Content-Length: 5\r\n"])  # or a body that never comes
def test_a_client_that_takes_its_time_gets_all_of_a_large_answer(hurried: Gateway, store: Store, more: bytes) -> None:
    path, size = large(store)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.settimeout(60)
        line.connect(("127.0.0.1", hurried.port))
        send(line, b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (path.encode(), more))
        taken = 0
        while taken < size:
            piece = line.recv(65536)
            assert piece, f"{taken} of {size}"
            taken += len(piece)
            time.sleep(0.03 if taken < 15_000_000 else 0)  # longer than any patience


def test_what_the_other_end_has_confirmed_is_told_although_our_buffer_is_as_full_as_before() -> None:
    async def story() -> None:
        come: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda _, writer: come.put_nowait(writer), "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.setblocking(False)
            await loop.sock_connect(line, server.sockets[0].getsockname())
            transport = (await come.get()).transport
            transport.write(bytes(16_000_000))
            before, unsent = confirmed_bytes(transport), transport.get_write_buffer_size()
            assert unsent > 1_000_000
            while confirmed_bytes(transport) < before + 10_000:
                assert await loop.sock_recv(line, 1000)
            assert transport.get_write_buffer_size() == unsent  # the kernel's buffer alone has shrunk
        transport.abort()
        server.close()

    asyncio.run(story())


def test_a_client_that_takes_little_of_its_answer_is_not_closed(hurried: Gateway, store: Store) -> None:
    """So little that the kernel's buffer, of megabytes, takes nothing more in that time."""
    path, size = large(store)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.settimeout(60)
        line.connect(("127.0.0.1", hurried.port))
        send(line, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        begun, taken = time.monotonic(), 0
        while taken < size:
            little = time.monotonic() < begun + 2 * STALLED_S
            piece = line.recv(4000 if little else 65536)
            assert piece, f"closed after {taken} of {size}"
            taken += len(piece)
            time.sleep(0.1 if little else 0)


def test_a_client_that_takes_nothing_of_its_answer_is_closed(hurried: Gateway, store: Store) -> None:
    path, _ = large(store)
    files = Path(f"/proc/{hurried.process.pid}/fd")
    before = len(list(files.iterdir()))
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", hurried.port))
    send(line, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until(lambda: len(list(files.iterdir())) > before, 10, "the connection is open")
    assert wait_until(lambda: len(list(files.iterdir())) <= before, STALLED_S + 60, "it is closed") > STALLED_S / 2
    line.close()
