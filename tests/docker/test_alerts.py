"""The alerts by cases: what makes each of them fire, and what does not. promtool comes with Debian's `prometheus`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docker.test_compose import ROOT, read_yaml, rules

CASES = Path(__file__).with_name("alert_cases.yml")


@pytest.fixture(scope="module")
def promtool() -> str:
    """CI's machine has Python and make alone, so it is missing there, too."""
    found = shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return found


def cases() -> list[dict[str, Any]]:
    return [case for test in read_yaml(CASES)["tests"] for case in test["alert_rule_test"]]


def test_the_alerts_are_rules_that_prometheus_reads(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", ROOT / "docker" / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def with_words(cases: dict[str, Any]) -> dict[str, Any]:
    """The cases with the annotations of each alert, which promtool compares as well."""
    words = {rule["alert"]: rule["annotations"] for rule in rules()}
    for test in cases["tests"]:
        for case in test["alert_rule_test"]:
            for alert in case["exp_alerts"]:
                labels = alert["exp_labels"]
                alert["exp_annotations"] = {
                    name: re.sub(r"{{ \$labels\.(\w+) }}", lambda match, of=labels: of[match[1]], text)  # type: ignore[misc]
                    for name, text in words[case["alertname"]].items()
                }
    return cases


def test_each_case_has_the_alerts_that_it_should(promtool: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker" / "alerts.yml", tmp_path)
    (tmp_path / "cases.yml").write_text(json.dumps(with_words(read_yaml(CASES))))
    told = subprocess.run(
        [promtool, "test", "rules", "cases.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = {case["alertname"] for case in cases() if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}
