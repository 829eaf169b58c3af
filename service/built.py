"""Which compiled kernels are imported, and whether they are those of the checkout that Lutra was installed from.

An installed copy lies before an editable installation of the same name, and hides what is built there; and sources that
have changed since count in neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

SOURCES = ("CMakeLists.txt", "kernels/csrc/*/*.cpp", "kernels/csrc/*/*.h")  # as in the Makefile


@dataclass(frozen=True)
class Checkout:
    """A folder that Lutra was installed from; `is_editable`: what is there is meant to be used as it lies there."""

    folder: Path
    is_editable: bool

    def changed_at(self) -> float:
        """The time of the newest source of the kernels."""
        return max(path.stat().st_mtime for pattern in SOURCES for path in self.folder.glob(pattern))


def checkouts(installed: Iterable[Distribution] | None = None) -> list[Checkout]:
    """Those that are still there, editable ones first. A wheel or a registry is none (PEP 610)."""
    found = []
    for one in distributions(name="lutra") if installed is None else installed:
        origin = json.loads(one.read_text("direct_url.json") or "{}")
        folder = Path(url2pathname(urlsplit(origin.get("url", "")).path))
        if "dir_info" in origin and (folder / SOURCES[0]).is_file():
            found.append(Checkout(folder, origin["dir_info"].get("editable", False)))
    return sorted(found, key=lambda one: not one.is_editable)


def what_differs(module: Path, extension: Path, checkout: Checkout) -> str | None:
    """In what the kernels that are imported (`module` in Python, `extension` compiled) are not the checkout's."""
    if checkout.is_editable and checkout.folder not in module.parents:
        return f"they hide those of {checkout.folder}, which is installed as editable: uninstall the copy"
    if extension.stat().st_mtime < checkout.changed_at():
        return f"they are older than the sources in {checkout.folder}: `make build` there, or install Lutra again"
    return None
