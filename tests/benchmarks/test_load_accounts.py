"""Jobs accounted for in drawn endings; what a fault cost; rounds with peers as ratios."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.load.accounts import Account, Ending, account_for, ending_of, listed_jobs
from benchmarks.load.faults import Fault, Striker, recovery_s
from benchmarks.load.peers import Turn, compare
from benchmarks.load.samples import Outcome, Sample

GOOD = Sample("enhance", "poll", 0, 1, Outcome.SUCCEEDED, 200, 0.25, "a", "key-a")


def of(job: str, outcome: Outcome = Outcome.SUCCEEDED) -> Sample:
    return replace(GOOD, job=job, key=f"key-{job}", outcome=outcome)


def well(job: str, attempts: int = 1) -> Ending:
    return Ending(job, "succeeded", 1, attempts)


def test_jobs_that_each_ended_once_and_well_are_neither_lost_nor_doubled() -> None:
    account = account_for([of("a"), of("b")], [well("a"), well("b", attempts=2)], ["b", "a"])
    assert account == Account(accepted=2, succeeded=2, lost=0, doubled=0, again=1, unanswered=0)


@pytest.mark.parametrize(
    "ending",
    [
        Ending("b", "failed", 1, 2),
        Ending("b", "gone", 0, 0),
        Ending("b", "running", 0, 1),
        Ending("b", "succeeded", 0, 1),
    ],
)
def test_a_job_that_did_not_succeed_is_lost(ending: Ending) -> None:
    account = account_for([of("a"), of("b", Outcome.FAILED)], [well("a"), ending], ["a", "b"])
    assert (account.succeeded, account.lost, account.doubled) == (1, 1, 0)


def test_a_job_whose_picture_never_came_is_lost_though_the_service_says_that_it_succeeded() -> None:
    account = account_for([of("a", Outcome.FAILED)], [well("a")], ["a"])
    assert account.lost == 1


def test_a_key_with_two_jobs_a_second_end_and_a_job_that_nobody_asked_for_are_each_doubled() -> None:
    two = [of("a"), replace(of("b"), key="key-a")]
    assert account_for(two, [well("a"), well("b")], ["a", "b"]).doubled == 1
    assert account_for([of("a")], [replace(well("a"), ends=2)], ["a"]).doubled == 1
    assert account_for([of("a")], [well("a")], ["a", "stranger"]).doubled == 1


def test_who_was_never_told_of_a_job_is_counted_apart() -> None:
    refused = replace(GOOD, job="", key="key-c", outcome=Outcome.REFUSED)
    account = account_for([of("a"), refused], [well("a")], ["a"])
    assert (account.accepted, account.lost, account.unanswered) == (1, 0, 1)


ANSWERS = {
    "/jobs/a": {"state": "succeeded", "attempts": 2},
    "/jobs/b": {"state": "running", "attempts": 1},
    "/jobs?limit=100": {"jobs": [{"id": "a"}], "next": "x/y"},
    "/jobs?limit=100&cursor=x%2Fy": {"jobs": [{"id": "b"}], "next": None},
}


def get(path: str) -> tuple[int, bytes]:
    if path == "/jobs/a/events":
        return 200, b"retry: 2000\n\nid: 1-0\nevent: state\ndata: {}\n\nid: 2-0\nevent: end\ndata: {}\n\n"
    return (200, json.dumps(ANSWERS[path]).encode()) if path in ANSWERS else (410, b"{}")


def test_an_ending_is_read_from_the_job_and_its_events() -> None:
    assert ending_of(get, "a") == Ending("a", "succeeded", 1, 2)
    assert ending_of(get, "b") == Ending("b", "running", 0, 1)
    assert ending_of(get, "c") == Ending("c", "gone", 0, 0)


def test_all_pages_of_jobs_are_read() -> None:
    assert listed_jobs(get) == ["a", "b"]


def test_recovery_is_until_the_first_picture_that_was_asked_for_after_the_fault() -> None:
    samples = [
        replace(GOOD, start_s=9.9, end_s=10.1),  # was under way
        replace(GOOD, start_s=10.5, end_s=11.0, outcome=Outcome.REFUSED),
        replace(GOOD, start_s=11.0, end_s=14.0),
        replace(GOOD, start_s=10.2, end_s=12.5),
    ]
    assert recovery_s(samples, 10.0) == pytest.approx(2.5)
    assert recovery_s(samples, 11.5) is None


def test_faults_strike_in_their_order_once_their_time_has_come() -> None:
    struck: list[str] = []
    faults = [Fault("later", 0.0, lambda: struck.append("later")), Fault("first", -1.0, lambda: struck.append("first"))]
    striker = Striker([*faults, Fault("never", 1e6, lambda: struck.append("never"))])
    striker.watch()
    striker.watch()
    assert struck == ["first", "later"]
    assert [one.name for one in striker.struck] == struck


def test_peers_are_held_against_the_first_round_by_round() -> None:
    turns = [
        Turn("Lutra", 0, 40, 100, 30, 10, 0),
        Turn("LitServe", 0, 20, 200, 40, 20, 1),
        Turn("Lutra", 1, 20, 100, 60, 10, 0),
        Turn("LitServe", 1, 10, 200, 80, 20, 0),
    ]
    ours, theirs = compare(turns)
    assert (ours.jobs_ratio, ours.cpu_ratio, ours.jobs_per_s) == (1, 1, 30)
    assert theirs.jobs_ratio == pytest.approx(2)  # a busy second round halves both
    assert theirs.cpu_ratio == pytest.approx(0.75)
    assert (theirs.own_ms, theirs.failed) == (20, 1)
