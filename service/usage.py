"""Wrong usage of the command line, told so that one can go on: where the help is, and how a file is named that looks
like an option.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from service.folders import shown


class Parser(argparse.ArgumentParser):
    """argparse's, of `lutra` and each of its commands; a command refuses itself what it does not know."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's, with nothing left over."""
        self._words = sys.argv[1:] if args is None else tuple(args)
        known, unknown = super().parse_known_args(self._words, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        files = [word for word in self._words if word.startswith("-") and _is_there(word)]
        if files:
            message += f"\n{shown(files[0])} is a file here: name it ./{shown(files[0])}, or put all files behind --"
        super().error(f"{message}\nsee {self.prog} --help")


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:
        return False
