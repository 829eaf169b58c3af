"""`lutra rate FOLDER`: people score pictures without knowing what made them, and the mean opinion scores are told.

FOLDER holds a folder for each variant, with pictures of the same names (`lutra upscale photos/ -o FOLDER/lmliif`). They
are shown one at a time in random order on a page of this machine alone, and scored 1 (bad) to 5 (excellent): single
stimulus, absolute category rating. Scores are kept in FOLDER/ratings.jsonl, so several people can add theirs; what is
told is the mean of each variant with its 95 % interval, 1.96 standard deviations of the mean (ITU-R BT.500-15, 2.2.1).
"""

from __future__ import annotations

import argparse
import html
import json
import math
import random
import secrets
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.folders import find_pictures, shown
from service.policy import policy
from workers.errors import LutraError
from workers.pictures import imageio

GRADES = {5: "excellent", 4: "good", 3: "fair", 2: "poor", 1: "bad"}
KEPT = "ratings.jsonl"
POLICY = policy(img_src="'self'", style_src="'unsafe-inline'", form_action="'self'")
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; font: 18px/1.5 system-ui, sans-serif; }}
body {{ margin: 0 auto; max-width: 1200px; padding: 12px; text-align: center; }}
img {{ max-width: 100%; max-height: 75vh;
  background: repeating-conic-gradient(#687276 0 25%, #868f93 0 50%) 0 0 / 24px 24px; }}
button {{ font: inherit; min-height: 44px; margin: 4px; padding: 4px 16px; }}
</style></head><body>{body}</body></html>"""


@dataclass(frozen=True)
class Stimulus:
    """One picture by one variant."""

    variant: str
    path: Path


@dataclass
class Session:
    """One person's way through the stimuli; `at` is the one that is shown. `has_ended`: the last page was, too."""

    stimuli: Sequence[Stimulus]
    kept: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    at: int = 0
    has_ended: threading.Event = field(default_factory=threading.Event)

    def score(self, at: int, grade: int) -> None:
        """Keep a score of the one that is shown; of another (the page was sent twice) it counts for nothing."""
        if at != self.at or grade not in GRADES or self.is_over:
            return
        one = self.stimuli[at]
        line = {"variant": one.variant, "picture": one.path.name, "score": grade, "session": self.token[:8]}
        with self.kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.at += 1

    @property
    def is_over(self) -> bool:
        return self.at >= len(self.stimuli)

    def page(self) -> str:
        """The picture that is shown, without a word about what made it."""
        if self.is_over:
            return PAGE.format(
                title="Thank you", body="<h1>Thank you</h1><p>That was all; this page can be closed.</p>"
            )
        grades = "".join(f'<button name="grade" value="{one}">{one} {word}</button>' for one, word in GRADES.items())
        place = f"{self.at + 1} of {len(self.stimuli)}"
        picture = f'<img src="picture?at={self.at}" alt="picture {place}">'
        ask = f'<form method="post"><input type="hidden" name="at" value="{self.at}">{grades}</form>'
        return PAGE.format(title=html.escape(place), body=f"<p>{place}: how good is this picture?</p>{picture}{ask}")


def rate(arguments: argparse.Namespace) -> int:
    """Raises LutraError for a folder with nothing to compare."""
    stimuli = find_stimuli(arguments.folder)
    kept = arguments.folder / KEPT
    if not arguments.report:
        random.shuffle(stimuli)
        _serve(Session(stimuli, kept), arguments.port)
    for one in report(kept):
        told = f"{one.variant:20} {one.mos:.2f} +- {one.interval:.2f}  ({one.scores} scores)"
        print(json.dumps(asdict(one)) if arguments.json else told)
    return 0


def find_stimuli(folder: Path) -> list[Stimulus]:
    """Every picture of every variant. Raises LutraError."""
    if not folder.is_dir():
        raise LutraError(f"{shown(folder)} is no folder")
    variants = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [
        Stimulus(variant.name, entry.path)
        for variant in variants
        for entry in find_pictures([variant])
        if not entry.left_out
    ]
    if len({one.variant for one in found}) < 2:
        raise LutraError(f"{shown(folder)} needs at least two folders with pictures in them, one for each variant")
    return found


@dataclass(frozen=True)
class Opinion:
    """Of one variant: the mean opinion score and half the width of its 95 % interval."""

    variant: str
    mos: float
    interval: float
    scores: int


def report(kept: Path) -> list[Opinion]:
    """Of each variant that has scores, the best first."""
    scores: dict[str, list[int]] = {}
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    for one in map(json.loads, lines):
        scores.setdefault(one["variant"], []).append(int(one["score"]))
    told = [Opinion(variant, mean(of), interval(of), len(of)) for variant, of in scores.items()]
    return sorted(told, key=lambda one: -one.mos)


def interval(scores: Sequence[int]) -> float:
    """1.96 S / sqrt(N); of one score nothing is known."""
    return 1.96 * stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else math.inf


def _serve(session: Session, port: int) -> None:
    """Until every picture is scored, or Ctrl-C."""
    server = make_server(session, port)
    print(f"lutra: rate at http://127.0.0.1:{server.server_port}/{session.token}/", file=sys.stderr, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        session.has_ended.wait()
    except KeyboardInterrupt:
        print(f"lutra: {session.at} of {len(session.stimuli)} are kept", file=sys.stderr)
    finally:
        server.shutdown()
        server.server_close()


def make_server(session: Session, port: int) -> ThreadingHTTPServer:
    """Of this machine alone, below an address that nobody guesses."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, session))


class Handler(BaseHTTPRequestHandler):
    """The page, its picture, and the scores that it sends."""

    def __init__(self, session: Session, *connection: Any) -> None:
        self._session, self._home = session, f"/{session.token}/"
        super().__init__(*connection)

    def do_GET(self) -> None:
        path, session = urlsplit(self.path).path, self._session
        if path == self._home:
            self._answer(session.page().encode(), "text/html; charset=utf-8")
            if session.is_over:
                session.has_ended.set()
        elif path == f"{self._home}picture" and not session.is_over:
            data = session.stimuli[session.at].path.read_bytes()
            self._answer(data, imageio.MEDIA_TYPE[imageio.sniff(data)])
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        if self.path != self._home:
            self.send_error(404)
            return
        length = min(1000, int(self.headers.get("Content-Length") or 0))
        asked = parse_qs(self.rfile.read(length).decode("ascii", "replace"))
        at, grade = (asked.get(name, [""])[0] for name in ("at", "grade"))
        if at.isdecimal() and grade.isdecimal():
            self._session.score(int(at), int(grade))
        self.send_response(303)
        self.send_header("Location", self._home)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        """Nothing: standard error is a person's."""

    def _answer(self, data: bytes, media_type: str) -> None:
        self.send_response(200)
        headers = {"Content-Type": media_type, "Content-Length": str(len(data)), "Cache-Control": "no-store"}
        for name, value in {**headers, "Content-Security-Policy": POLICY}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
