"""Runs the gateway's ASGI application under uvicorn on a socket that we opened, so that a port in use is a sentence."""

from __future__ import annotations

from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.connections import Connection
from service.crowd import Crowd, notice_dead_peers
from service.proxies import Trusted
from service.startup import warn_if_open
from service.supervisor import ELSEWHERE, StartupError, listen
from workers.settings import Settings

GRACE_S = 30
KEEP_ALIVE_S = 75


def serve(settings: Settings, redis_url: str) -> int:
    """Serve until SIGTERM or Ctrl-C; requests in flight get GRACE_S. Raises StartupError or ParameterError."""
    try:
        server_socket = listen(settings.bind, settings.port)
    except OSError as error:
        where = f"{settings.bind}:{settings.port}"
        raise StartupError(f"cannot listen on {where}: {error.strerror}; {ELSEWHERE}") from None
    notice_dead_peers(server_socket)
    crowd = Crowd.within_descriptors(settings.max_connections, settings.max_connections_per_address)
    app = create_app(settings, redis_url)
    warn_if_open(settings)
    config = uvicorn.Config(
        app,
        http=partial(Connection, crowd, Trusted(settings.trusted_proxies)),  # type: ignore[arg-type]  # a class is asked for, and only called
        ws="none",
        log_config=None,
        log_level="error",  # of requests that it cannot read we log ourselves, with the reason
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `service.proxies` believes nobody who is not named
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=2048,
    )
    with server_socket:
        Server(config, app).run(sockets=[server_socket])
    return 0


class Server(uvicorn.Server):
    """Starts closing the gateway as soon as a signal comes, before uvicorn waits for open requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        gateway = getattr(self._app.state, "gateway", None)
        if gateway is not None:
            gateway.start_closing()
        super().handle_exit(sig, frame)
