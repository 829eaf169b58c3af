"""Runs the gateway's ASGI application under uvicorn on a socket that we opened, so that a port in use is a sentence."""

from __future__ import annotations

import uvicorn

from service.app import create_app
from service.supervisor import StartupError, listen
from workers.settings import Settings

GRACE_S = 30
KEEP_ALIVE_S = 75


def serve(settings: Settings, redis_url: str) -> int:
    """Serve until SIGTERM or Ctrl-C; requests in flight get GRACE_S. Raises StartupError."""
    try:
        server_socket = listen(settings.bind, settings.port)
    except OSError as error:
        where = f"{settings.bind}:{settings.port}"
        raise StartupError(f"cannot listen on {where}: {error.strerror}; set LUTRA_PORT to another port") from None
    config = uvicorn.Config(
        create_app(settings, redis_url),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=2048,
    )
    with server_socket:
        uvicorn.Server(config).run(sockets=[server_socket])
    return 0
