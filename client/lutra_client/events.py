"""Server-Sent Events, line by line (WHATWG HTML, 9.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    kind: str
    data: dict[str, Any]


class EventReader:
    """Lines in, events out; `last_id` is where to go on from when the connection is lost."""

    def __init__(self) -> None:
        self.last_id = ""
        self._kind, self._data, self._id = "", list[str](), ""

    def begin(self) -> None:
        """A new connection: what was half there is not coming any more."""
        self._kind, self._data, self._id = "", [], self.last_id

    def feed(self, line: str) -> Event | None:
        """The event that this line completes, if it does."""
        if not line:
            return self._finish()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value
        return None

    def _finish(self) -> Event | None:
        kind, text = self._kind, "\n".join(self._data)
        self._kind, self._data, self.last_id = "", [], self._id
        if not kind or not text:
            return None
        data = json.loads(text)
        return Event(kind, data if isinstance(data, dict) else {})
