"""Prints what pyproject.toml asks for, one requirement a line: the core and the extras named as arguments.

An image installs its dependencies from this before the sources are copied, so that a change of the sources does not
download them again. It installs nothing and resolves no extra that names the project itself.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The requirements of the core and of `extras`. Raises KeyError for an extra that the project does not have."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    named = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *named]


if __name__ == "__main__":
    print("\n".join(requirements(Path("pyproject.toml"), sys.argv[1:])))
