"""The tree of errors: every code once, each way from code to class, and what the docstring draws of it."""

from __future__ import annotations

import re

import pytest

from workers import errors
from workers.errors import InternalError, LutraError, error_class, error_codes


def classes() -> list[type[LutraError]]:
    """Those of this module; other modules may have their own."""
    found = (value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LutraError))
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_a_code_leads_to_its_class_and_to_no_other(kind: type[LutraError]) -> None:
    assert error_class(kind.code) is kind
    assert kind.code in error_codes()


def test_a_code_that_nobody_knows_is_a_fault_of_ours() -> None:
    assert error_class("nobody knows this") is InternalError


def test_codes_are_words_of_their_own() -> None:
    codes = [kind.code for kind in classes()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"(?m)^    ([|+ -]*)(\w+)  +(\w+)(  +yes| yes)?$", errors.__doc__ or "")
    drawn = [row for row in drawn if row[1] != "LutraError"]
    leaves = {(name, code, bool(again)) for _, name, code, again in drawn}
    inner = {base.__name__ for kind in classes() for base in kind.__mro__[1:]}
    expected = {(kind.__name__, kind.code, kind.retryable) for kind in classes() if kind.__name__ not in inner}
    assert expected <= leaves


def test_an_error_carries_its_sentence_and_its_facts() -> None:
    error = errors.TooManyPixels("20 is more than 10", limit=10)
    assert (str(error), error.message, error.members) == ("20 is more than 10", "20 is more than 10", {"limit": 10})
