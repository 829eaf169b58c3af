"""Every job that was taken in, accounted for: each id has to end once, and well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from benchmarks.load.samples import Outcome, Sample

Get = Callable[[str], tuple[int, bytes]]  # a path -> status and body


@dataclass(frozen=True)
class Ending:
    """What the service says of a job: its state (`gone` where it knows none), its `end` events, its attempts."""

    job: str
    state: str
    ends: int
    attempts: int


@dataclass(frozen=True)
class Account:
    """`lost`: taken in, and did not succeed or left no picture. `doubled`: a key with two jobs, a job that ended twice,
    or one that nobody asked for. `again`: computed a second time, after its worker was lost. `unanswered`: a user gave
    up before it was told of a job."""

    accepted: int
    succeeded: int
    lost: int
    doubled: int
    again: int
    unanswered: int


def account_for(samples: Sequence[Sample], endings: Sequence[Ending], listed: Sequence[str]) -> Account:
    """`endings`: of every job in the samples; `listed`: the ids of all jobs that the service has."""
    asked = {sample.job for sample in samples if sample.job}
    well = {ending.job for ending in endings if ending.state == "succeeded" and ending.ends > 0}
    without_picture = {one.job for one in samples if one.job and one.outcome is not Outcome.SUCCEEDED}
    jobs_of_key = Counter(key for key, _ in {(one.key, one.job) for one in samples if one.key and one.job})
    doubled = sum(count - 1 for count in jobs_of_key.values())
    doubled += sum(ending.ends > 1 for ending in endings) + len(set(listed) - asked)
    return Account(
        accepted=len(asked),
        succeeded=len(well & asked),
        lost=len(asked - well | without_picture),
        doubled=doubled,
        again=sum(ending.attempts > 1 for ending in endings),
        unanswered=sum(not sample.job for sample in samples),
    )


def ending_of(get: Get, job: str) -> Ending:
    """The job as it stands, and its events from the first on."""
    status, body = get(f"/jobs/{job}")
    if status != 200:
        return Ending(job, "gone", 0, 0)
    told = json.loads(body)
    if told["state"] in ("queued", "running"):  # its events would be listened to for as long
        return Ending(job, told["state"], 0, told["attempts"])
    events = get(f"/jobs/{job}/events")[1].decode()
    return Ending(job, told["state"], events.splitlines().count("event: end"), told["attempts"])


def listed_jobs(get: Get) -> list[str]:
    """The ids of all of the client's jobs, page by page."""
    ids: list[str] = []
    path = first = "/jobs?limit=100"
    while path:
        page = json.loads(get(path)[1])
        ids += [job["id"] for job in page["jobs"]]
        path = f"{first}&cursor={quote(page['next'], safe='')}" if page["next"] else ""
    return ids
