"""Landlock: a process takes from itself what the file system lets it, but for reading below some folders.

Source: Linux, Documentation/userspace-api/landlock.rst; the numbers of its calls are the same on every machine.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Rights over files by version (truncate came with 3, devices with 5); over TCP with 4, abstract sockets and signals 6.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_FILE_RIGHTS = 16
_TCP, _SCOPES = 0b11, 0b11


def version(libc: ctypes.CDLL) -> int:
    """Of the running kernel's Landlock. Raises OSError where there is none."""
    return _call(libc, _CREATE_RULESET, None, 0, _VERSION)


def read_only(libc: ctypes.CDLL, readable: Iterable[Path]) -> None:
    """From here on files can be opened below these paths alone, and for reading; nothing can be made or removed, no
    program started, no TCP connection opened. Descriptors that are open stay so. Raises OSError.
    """
    ruleset = _ruleset(libc, version(libc))
    try:
        for path in readable:
            _allow_reading(libc, ruleset, path)
        _call(libc, _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _ruleset(libc: ctypes.CDLL, version: int) -> int:
    files = (1 << _FILE_RIGHTS.get(version, _NEWEST_FILE_RIGHTS)) - 1
    handled = struct.pack("QQQ", files, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    return _call(libc, _CREATE_RULESET, ctypes.c_char_p(handled), size, 0)


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it cannot be read in any case
        return
    try:
        rights = _READ_FILE | (_READ_DIR if path.is_dir() else 0)
        _call(libc, _ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(struct.pack("=Qi", rights, descriptor)), 0)
    finally:
        os.close(descriptor)


def _call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    answer: int = libc.syscall(ctypes.c_long(number), *wide)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
