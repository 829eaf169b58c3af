"""What a folder holds, recognised by the files' first bytes, and how a file's name is shown.

A name says nothing here: `.jfif` is a JPEG, and a page of text named `.jpg` is no picture. It decodes nothing, and
follows no link to a folder.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from service.atomic import is_unfinished
from workers.errors import LutraError, NotAPicture
from workers.pictures import imageio

FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"), "jpeg"),
    **{".png": "png", ".webp": "webp", ".avif": "avif", ".tif": "tiff", ".tiff": "tiff"},
}
CLAIMING = frozenset({*FORMAT_OF, ".bmp", ".gif", ".heic", ".heif"})  # names that say: this is a picture
FIRST_BYTES = 512  # all that `imageio.sniff` looks at
INVISIBLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, halves of pairs, separators of lines


@dataclass(frozen=True)
class FolderEntry:
    """A file that was named or lies in a folder; `format` None: no picture that we know, or not to be read.

    `left_out` says why a thing in a folder is passed over; `is_fault`: it should have been a picture. `below`: where it
    lies below the folder that was named; `was_found`: it lay there, and was not named itself.
    """

    path: Path
    format: str | None = None
    left_out: str = ""
    is_fault: bool = False
    below: Path = Path()
    was_found: bool = False


def find_pictures(inputs: list[Path], *, recursive: bool = False, apart: Path | None = None) -> Iterator[FolderEntry]:
    """What is named and what lies in the folders that are named, by name; `apart`: a folder that is not looked into.

    Raises LutraError for a closed folder that was named.
    """
    for path in inputs:
        if path.is_dir():
            yield from _look_into(path, Path(), recursive, apart)
        else:
            yield FolderEntry(path, format_of(path))


def _look_into(folder: Path, below: Path, recursive: bool, apart: Path | None) -> Iterator[FolderEntry]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        if below.name:
            yield FolderEntry(folder, left_out=error.strerror or str(error), is_fault=True)
            return
        raise LutraError(f"{shown(folder)}: {error.strerror or error}") from None
    for child in children:
        if is_unfinished(child):
            continue
        if recursive and child.is_dir() and not child.is_symlink():
            if apart is None or not apart.exists() or not child.samefile(apart):
                yield from _look_into(child, below / child.name, recursive, apart)
        else:
            yield replace(look_at(child), below=below, was_found=True)


def look_at(path: Path) -> FolderEntry:
    """One thing in a folder. A pipe or device is never opened: it might not answer."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return FolderEntry(path, left_out="a folder in a folder")
        if not stat.S_ISREG(mode):
            return FolderEntry(path, left_out="not a file")
        return FolderEntry(path, imageio.sniff(_first_bytes(path)))
    except OSError as error:
        return FolderEntry(path, left_out=error.strerror or str(error), is_fault=True)
    except NotAPicture as error:
        return FolderEntry(path, left_out=error.message, is_fault=path.suffix.lower() in CLAIMING)


def format_of(path: Path) -> str | None:
    """By its first bytes; None for what is none, cannot be read, or is no file: who opens it says why."""
    try:
        return imageio.sniff(_first_bytes(path)) if path.is_file() else None
    except (OSError, NotAPicture):
        return None


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FIRST_BYTES)


def shown(path: Path | str) -> str:
    r"""A name for people: bytes that are no UTF-8 as `\xe9`, control characters as `\n` or `\x1b`."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(_escaped(one) if unicodedata.category(one) in INVISIBLE else one for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
