"""Log lines: what strangers send cannot make one entry look like two, nor one fact like several."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from workers.log import JsonLines, Text, about

ENTRY = re.compile(r"\d\d:\d\d:\d\d \w+ +")
ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
CURSOR = [
    "\x1b[2K\x1b[1G",
    "\x1b]0;title\x07",
    "\b\b\b",
    "\x7f",
    "\x9b2K",
    "\u202e",
    "\u2066",
    "\0",
    "\ud800",
    "\ufeff",
]
FORGED = "22:00:00 info    request  status=200"


def record(event: str = "request", **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("service.guard", logging.INFO, "guard.py", 1, event, (), None)
    made.facts = facts
    return made


@pytest.mark.parametrize("sign", [*ENDS, *CURSOR])
def test_no_value_ends_a_line_or_moves_the_cursor(sign: str) -> None:
    for formatter in (Text(), JsonLines()):
        with about(request_id=f"a{sign}b"):
            line = formatter.format(record(f"gone{sign}{FORGED}", path=f"/x{sign}{FORGED}", model=sign))
        assert len(line.splitlines()) == 1
        if isinstance(formatter, Text):
            assert line.isprintable()
        else:
            assert json.loads(line)["path"] == f"/x{sign}{FORGED}"


@pytest.mark.parametrize("path", ["/x status=200", '/x" status="200', '/x\\" status=200 "', '"', "=", "", "\\"])
def test_a_value_cannot_pass_for_another_fact(path: str) -> None:
    line = Text().format(record(path=path, status=404))
    found = re.findall(r' (\w+)=("(?:[^"\\]|\\.)*"|[^ "]+)(?= |$)', line)
    assert [name for name, _ in found] == ["path", "status"]
    assert dict(found)["status"] == "404"
    assert json.loads(dict(found)["path"]) == path


def test_plain_values_stay_plain() -> None:
    line = Text().format(record(method="GET", path="/jobs/ä/result", seconds=0.5, models=["a"]))
    assert line.endswith("request  method=GET path=/jobs/ä/result seconds=0.5 models=['a']")


def test_no_line_of_a_traceback_looks_like_an_entry() -> None:
    try:
        raise ValueError(f"bad\n{FORGED}\r{FORGED}")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    first, *rest = Text().format(made).splitlines()
    assert ENTRY.match(first)
    assert not any(ENTRY.match(line) for line in rest)
    assert "    ValueError: bad" in rest
