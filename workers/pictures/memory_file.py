"""A file that lies in memory and has no name: two processes can map it, and C code can print into it."""

from __future__ import annotations

import os
import tempfile


def memory_file(name: str) -> int:
    """Its descriptor, which the caller closes. `name` is for those who look at a process; on a disk where the system
    has no such files.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
