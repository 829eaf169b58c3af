"""`lutra completion`: what a shell completes commands, options, choices and the names of files by; shtab makes it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

FILES = frozenset({"input", "inputs", "output", "lut", "file", "folder"})  # arguments that name some


def script_of(parser: argparse.ArgumentParser, shell: str) -> str:
    """For bash, zsh or tcsh."""
    for action in _actions(parser):
        if action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell=shell)
    return script


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Of the parser and of all below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
