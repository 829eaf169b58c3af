"""The users: Locust runs them, and each line that it writes is a `Sample`.

    python -m benchmarks.load.users --url URL --mix mixed --users 8 --seconds 10 --pictures DIR --out FILE

A user has a job done, waits until its next one is due, and goes on; what is under way at the end is let end. It follows
what the service says: 202 and Location, Retry-After. With `--keyed` each job has an Idempotency-Key, and is sent and
asked for again until it has ended, as a client does that must not lose it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import uuid
from pathlib import Path
from typing import Any

import gevent
import locust
import locust.env

from benchmarks.load import kinds
from benchmarks.load.kinds import MIXES, Part
from benchmarks.load.samples import Outcome, Sample, as_line, outcome_of

WAIT_S = 60  # of `Prefer: wait`
POLL_EVERY_S = 0.1
GIVE_UP_S = 90.0  # after which a keyed job counts as failed
LET_END_S = 120.0
LONGEST_PAUSE_S = 5.0  # however long Retry-After is: a run has few minutes
AGAIN = (0, 409, 429, 503)  # nothing came, the key is being taken in, not now


class Job:
    """One job from its POST to its picture."""

    def __init__(self, client: Any, part: Part, picture: bytes, *, is_keyed: bool) -> None:
        self._client = client
        self._part = part
        self._picture = picture
        self._key = str(uuid.uuid4()) if is_keyed else ""
        self._start_s = time.time()
        self._repeats = 0
        self._id = ""

    def run(self) -> tuple[Sample, float]:
        """What became of it, and how long its user has to pause before another."""
        answer = self._ask("POST", self._part.kind.path, data=self._picture, headers=self._headers())
        self._id = header(answer, "X-Job-Id")
        if answer.status_code == 202:
            self._id = header(answer, "Location").rpartition("/")[2]
            self._wait_for_end()
            answer = self._ask("GET", f"/jobs/{self._id}/result")
        outcome = outcome_of(answer.status_code, answer.content or b"", header(answer, "Retry-After") or None)
        pause_s = pause_of(answer) if outcome is Outcome.REFUSED else 0.0
        return self._sample(outcome, answer.status_code), pause_s

    def _headers(self) -> dict[str, str]:
        prefer = f"wait={WAIT_S}" if self._part.way == kinds.WAIT else "respond-async"
        fresh = {"Content-Type": "image/jpeg", "Cache-Control": "no-cache", "Prefer": prefer}
        return {**fresh, "Idempotency-Key": self._key} if self._key else fresh

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        """The answer; of a keyed job the first one that says more than to come again."""
        while True:
            answer = self._client.request(method, path, name=f"{self._part.kind.name} {self._part.way}", **options)
            if not self._key or answer.status_code not in AGAIN or self._is_late():
                return answer
            self._repeats += 1
            gevent.sleep(pause_of(answer))

    def _is_late(self) -> bool:
        return time.time() > self._start_s + GIVE_UP_S

    def _wait_for_end(self) -> None:
        """By the events' end, or by asking; whatever goes wrong shows when the result is asked for."""
        if self._part.way == kinds.EVENTS:
            while b"event: end" not in (self._ask("GET", f"/jobs/{self._id}/events").content or b""):
                if not self._key or self._is_late():
                    return
                gevent.sleep(POLL_EVERY_S)
            return
        while not self._is_late():
            answer = self._ask("GET", f"/jobs/{self._id}")
            if answer.status_code != 200 or answer.json()["state"] not in ("queued", "running"):
                return
            gevent.sleep(POLL_EVERY_S)

    def _sample(self, outcome: Outcome, status: int) -> Sample:
        kind = self._part.kind
        times = self._start_s, time.time()
        return Sample(
            kind.name, self._part.way, *times, outcome, status, kind.megapixels, self._id, self._key, self._repeats
        )


def header(answer: Any, name: str) -> str:
    """Empty where it did not come, or no answer did."""
    return str((answer.headers or {}).get(name) or "")


def pause_of(answer: Any) -> float:
    """What Retry-After says, within reason; half a second where it says nothing."""
    told = header(answer, "Retry-After")
    return min(float(told), LONGEST_PAUSE_S) if told.isdecimal() else 0.5


class LoadUser(locust.FastHttpUser):  # type: ignore[misc]
    """`asked` and `out` are of the whole run."""

    abstract = True
    network_timeout = connection_timeout = WAIT_S + GIVE_UP_S
    asked: argparse.Namespace
    out: Any

    def on_start(self) -> None:
        self._rng = random.Random()
        if self.asked.pace:
            gevent.sleep(self._rng.random() / self.asked.pace)  # all of them in step would be a load of its own

    @locust.task  # type: ignore[untyped-decorator]
    def have_a_job_done(self) -> None:
        part = kinds.draw(MIXES[self.asked.mix], self._rng)
        file = kinds.picture_file(self.asked.pictures, part.kind.side, self._rng.randrange(kinds.PICTURES))
        sample, pause_s = Job(self.client, part, file.read_bytes(), is_keyed=self.asked.keyed).run()
        self.out.write(as_line(sample))
        gevent.sleep(pause_s)


def run(asked: argparse.Namespace) -> None:
    """The first line tells when the users were there."""
    with asked.out.open("w") as out:
        wait_time = locust.constant_throughput(asked.pace) if asked.pace else locust.constant(0)
        own = {"abstract": False, "host": asked.url, "wait_time": wait_time, "asked": asked, "out": out}
        user = type("User", (LoadUser,), own)
        runner = locust.env.Environment(user_classes=[user], stop_timeout=LET_END_S).create_local_runner()
        out.write(json.dumps({"began_s": time.time()}) + "\n")
        runner.start(asked.users, spawn_rate=asked.users)
        gevent.sleep(asked.seconds)
        runner.quit()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--mix", required=True, choices=MIXES)
    parser.add_argument("--users", required=True, type=int)
    parser.add_argument("--seconds", required=True, type=float)
    parser.add_argument("--pace", type=float, default=0.0, help="jobs a second of each user; 0: one after the other")
    parser.add_argument("--keyed", action="store_true")
    parser.add_argument("--pictures", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
