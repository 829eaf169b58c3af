"""What the helps show is what the command line takes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from service.cli import build_parser
from service.examples import EXAMPLES, LINKS, examples_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line, _ in lines])
def test_every_example_is_understood(line: str) -> None:
    (part,) = [part for part in line.split(" | ") if "lutra " in part and "jq" not in part]
    words = shlex.split(part.partition(" > ")[0])
    build_parser().parse_args(words[words.index("lutra") + 1 :])


def test_every_command_has_one_and_names_no_other() -> None:
    commands = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert set(EXAMPLES) - {""} == set(commands or ()) - {"help"}
    assert examples_of("help") is None
    assert (examples_of("doctor") or "").splitlines() == ["examples:", "  lutra doctor --json"]


def test_the_links_lead_somewhere() -> None:
    named = [word.strip(",;") for word in LINKS.split() if word.startswith("docs/")]
    assert named and all((ROOT / name).is_file() for name in named)
