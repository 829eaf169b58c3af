"""What every connection to Redis has, so that one that was forgotten is found out in time."""

from __future__ import annotations

import socket

import pytest

from tests.proxy import Proxy
from workers.jobs import celery_app
from workers.jobs.store import Store

IN_TIME_S = 15.0  # after so long at most a connection that was forgotten is noticed


def probes_of(sock: socket.socket) -> tuple[int, int, int]:
    """Seconds until the kernel probes an idle connection, between probes, and how many may stay unanswered."""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    idle, every, count = (sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names)
    return idle, every, count


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no such option")
def test_the_kernel_finds_out_in_time_about_an_idle_connection_of_store_and_queue(proxy: Proxy) -> None:
    store = Store.at(proxy.url)
    store.ping()
    ours = store.client.connection_pool.get_connection()
    app = celery_app.make_app(proxy.url, job_timeout_s=10)
    with app.connection_for_read() as connection:
        theirs = connection.default_channel.client.connection_pool.get_connection()
        for sock in (ours._sock, theirs._sock):
            assert sock is not None
            idle, every, count = probes_of(sock)
            assert idle + every * count < IN_TIME_S
        theirs.disconnect()
    store.client.connection_pool.release(ours)
    store.close()
    app.close()
