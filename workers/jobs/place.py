"""Names of worker children, PLACE:PARENT:PID, and whether one of this place is stale: its process is gone.

A place is a host name and a PID namespace (Linux), so that equal pids of two containers are not taken for one another.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_place() -> str:
    """Host name and PID namespace; outside Linux the host name alone."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        namespace = "0"
    return f"{socket.gethostname()}:{namespace}"


def name_of(parent_pid: int, pid: int) -> str:
    """The name of a child of this place."""
    return f"{this_place()}:{parent_pid}:{pid}"


def pid_of(name: str) -> int:
    """The child's pid, which means something in its own place only."""
    return int(name.rpartition(":")[2])


def is_stale(name: str) -> bool:
    """True where `name` is of this place and its process is gone; unknown counts as alive."""
    place, _, pid = name.rpartition(":")
    if place.rpartition(":")[0] != this_place() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
