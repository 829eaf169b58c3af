"""Logs: the event first, the facts as fields; JSON lines for machines, one readable line for a terminal.

`request_id` and `job_id` of the work at hand travel in context variables. Nothing is set up at import; an entrance
calls `configure` once. No image content and no key belongs in a log.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_CONTEXT: ContextVar[dict[str, str] | None] = ContextVar("lutra_log_context", default=None)


@contextmanager
def about(**facts: str) -> Iterator[None]:
    """Every line logged inside carries these facts (`request_id`, `job_id`)."""
    token = _CONTEXT.set({**(_CONTEXT.get() or {}), **facts})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def facts_at_hand() -> dict[str, str]:
    """What every line says here: to be handed to a process that does a part of the work."""
    return dict(_CONTEXT.get() or {})


def level_and_form() -> tuple[str, str]:
    """What `configure` was called with, in words, for a process that is started: its level, and `text` or `json`."""
    handlers = logging.getLogger().handlers
    as_text = bool(handlers) and isinstance(handlers[0].formatter, Text)
    return logging.getLevelName(logging.getLogger("workers").getEffectiveLevel()), "text" if as_text else "json"


class Log:
    """A named logger whose lines take facts as keyword arguments."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **facts: Any) -> None:
        self._say(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._say(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._say(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._say(logging.ERROR, event, facts)

    def exception(self, event: str, **facts: Any) -> None:
        """As `error`, with the traceback of the exception being handled."""
        self._say(logging.ERROR, event, facts, exc_info=True)

    def _say(self, level: int, event: str, facts: dict[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"facts": facts}, exc_info=exc_info)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {**(_CONTEXT.get() or {}), **getattr(record, "facts", {})}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, logger, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            **_facts(record),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


def printable(text: str) -> str:
    """Without what could end a line, move the cursor or turn the direction of writing: that is shown by its code."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def as_value(value: object) -> str:
    """A fact as text that ends where it seems to; in quotes where it could pass for more facts than one."""
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


class Text(logging.Formatter):
    """One line for a person: time, level, event, then `name=value`; strangers' values cannot make it look like two.

    The lines of a traceback are set in, so that none looks like the beginning of an entry.
    """

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        facts = " ".join(f"{name}={as_value(value)}" for name, value in _facts(record).items())
        line = f"{clock} {record.levelname.lower():7} {printable(record.getMessage())}"
        line += f"  {facts}" if facts else ""
        if record.exc_info:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            line += "".join(f"\n    {printable(part)}" for part in trace.split("\n"))
        return line


def configure(level: str, *, as_text: bool) -> None:
    """Send every logger of this process to standard error; what libraries say below WARNING is left out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Text() if as_text else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    for room in ("service", "workers", "models", "kernels"):
        logging.getLogger(room).setLevel(level.upper())
