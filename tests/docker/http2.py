"""One POST over HTTP/2, read frame by frame: what a proxy sends of an answer that comes before the request's end.

curl 7.88 (Debian 12) cannot tell. It drops what came of the answer's body beside the reset that lets the client stop
sending (RFC 9113, 8.1), and ends with 18; `curl --http1.1` gets all of it.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes

from tests.docker.in_front import Front

RECEIVED_BYTES = 65536
PATIENCE_S = 60
STREAM = 1


@dataclass
class Answer:
    """Of one stream: is it whole, and with which code was the sending of the rest called off, if it was?"""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    called_off: int | None = None

    def take(self, event: events.Event) -> None:
        if isinstance(event, events.ResponseReceived):
            self.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, events.DataReceived):
            self.body += event.data
        elif isinstance(event, events.StreamEnded):
            self.whole = True
        elif isinstance(event, events.StreamReset):
            self.called_off = event.error_code


def post(front: Front, path: str, content: bytes) -> Answer:
    """What is answered; sending ends where all has been sent, or the answer is whole and the rest is called off.

    Raises:
        TimeoutError: nothing comes for a minute.
        AssertionError: the connection ends before the answer does, or is not HTTP/2.
    """
    with closing(_connection(front)) as line:
        stream = H2Connection(H2Configuration(client_side=True))
        stream.initiate_connection()
        address = urlsplit(front.url + path)
        target = f"{address.path}?{address.query}"
        head = {":method": "POST", ":scheme": "https", ":authority": address.netloc, ":path": target}
        stream.send_headers(STREAM, list({**head, "content-length": str(len(content))}.items()))
        answer, sent = Answer(), 0
        while not answer.whole or (sent < len(content) and answer.called_off is None):
            if answer.called_off is None:
                sent += _send(stream, memoryview(content)[sent:])
            line.sendall(stream.data_to_send())
            if sent == len(content) or not _room(stream):
                _receive(line, stream, answer)
        return answer


def _connection(front: Front) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(front.authority))
    context.set_alpn_protocols(["h2"])
    address = urlsplit(front.url)
    plain = socket.create_connection((address.hostname or "", address.port or 443), PATIENCE_S)
    line = context.wrap_socket(plain, server_hostname=address.hostname)
    assert line.selected_alpn_protocol() == "h2"
    return line


def _room(stream: H2Connection) -> int:
    return min(stream.local_flow_control_window(STREAM), stream.max_outbound_frame_size)


def _send(stream: H2Connection, content: memoryview) -> int:
    """How much of it fits into one frame now."""
    piece = content[: _room(stream)]
    if piece:
        stream.send_data(STREAM, bytes(piece), end_stream=len(piece) == len(content))
    return len(piece)


def _receive(line: ssl.SSLSocket, stream: H2Connection, answer: Answer) -> None:
    data = line.recv(RECEIVED_BYTES)
    assert data, "the connection ended before the answer"
    for event in stream.receive_data(data):
        assert not isinstance(event, events.ConnectionTerminated), event
        answer.take(event)
    if answer.called_off is not None:
        assert answer.called_off == ErrorCodes.NO_ERROR
