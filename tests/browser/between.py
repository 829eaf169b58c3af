"""A small HTTP proxy between browser and service: below a path prefix, or one that loses answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OF_ONE_HOP = ("transfer-encoding", "connection")


@contextmanager
def between(port: int, *, prefix: str = "", lost_posts: int = 0) -> Iterator[int]:
    """The proxy's port. The answers to the first `lost_posts` POSTs never arrive, although the service gave them."""
    left = [lost_posts]

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.removeprefix(prefix) if self.path.startswith(prefix) else "/nothing"
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_HOP}
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as upstream:
                upstream.request(self.command, path, body, headers)
                answer = upstream.getresponse()
                if self.command == "POST" and left[0]:
                    left[0] -= 1
                    answer.read()
                else:
                    self.pass_on(answer)

        def pass_on(self, answer: http.client.HTTPResponse) -> None:
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_ONE_HOP:
                    self.send_header(name, value)
            self.end_headers()  # HTTP/1.0: the end of the connection is the end of the body
            while piece := answer.read1():
                self.wfile.write(piece)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
