"""What a process that decodes strangers' bytes gives up before it reads the first: a codec that is broken into can then
reach neither the network nor programs, other processes, or files, but for reading Python's own.

Limits, capabilities, no new privileges, Landlock for files (`landlock`), seccomp for system calls (`seccomp`); for
good, and for the threads that are started afterwards. It gives up what this kernel lets it, and says what is lacking.

    python -m workers.pictures.sandbox      enters, tries what must not be possible, prints what is lacking (JSON)
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import workers
from workers.pictures import landlock, seccomp

OPEN_FILES = 64  # at a time; decoding needs a tenth
TRIAL_S = 60.0
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_CAPABILITY_VERSION_3, _CAP_DAC_READ_SEARCH = 0x20080522, 2
# Where the dynamic linker and libraries look, beside Python's own folders; `/nix` and `/gnu` hold every library there.
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/nix/store", "/gnu/store")
_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


def enter() -> list[str]:
    """Give it all up, from here on. What could not be given up, in words; call it before there are other threads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    if not sys.platform.startswith("linux"):
        return ["system calls and files are free: only Linux can forbid them"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # pictures of strangers are in this memory: no dump, no debugger
    _drop_capabilities(libc)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return [f"new privileges: {os.strerror(ctypes.get_errno())}"]
    walls: dict[str, Callable[[], None]] = {
        "files are free (Landlock)": lambda: landlock.read_only(libc, readable()),
        "system calls are free (seccomp)": lambda: seccomp.forbid(libc),
    }
    lacking = []
    for name, build in walls.items():
        try:
            build()
        except OSError as error:
            lacking.append(f"{name}: {error.strerror}")
    return lacking


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """All of root's but to read what belongs to others, without which root may not find this code in a user's home."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()
    if libc.capget(header, held) == 0:
        kept = held[1] & 1 << _CAP_DAC_READ_SEARCH
        libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0))


def readable() -> list[Path]:
    """Folders and files that decoding reads: Python and its packages, libraries, facts about the machine.

    Not the folder that the process was started in, though `python -m` puts it on the path.
    """
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    own = [sysconfig.get_path(name) for name in names] + [str(Path(workers.__file__).parent)]
    given = [entry for entry in sys.path if entry and Path(entry) != Path.cwd()]
    linked = [entry for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    every = dict.fromkeys([*own, *given, *linked, *_loaded_from(), *_SYSTEM, *_FACTS, *_DEVICES])
    return [Path(entry) for entry in every if Path(entry).exists() and Path(entry) != Path("/")]


def _loaded_from() -> list[str]:
    """Folders of the libraries that are loaded already: others beside them may be wanted."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    files = (line.split(None, 5)[5] for line in lines if ".so" in line and line.count("/"))
    return [str(Path(file).parent) for file in files if file.startswith("/")]


# ---- whether it holds --------------------------------------------------------------------------------------------


def lacking_here() -> list[str]:
    """What is lacking in a process of its own, which tries it; for `lutra doctor`."""
    command = [sys.executable, "-m", "workers.pictures.sandbox"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_S, check=False)
    try:
        lacking: list[str] = json.loads(done.stdout)
    except ValueError:
        return [f"it ended with {done.returncode}"]
    return lacking


def _connect() -> None:
    with socket.socket() as one:
        one.settimeout(1)
        one.connect_ex(("127.0.0.1", 9))


_FORBIDDEN: dict[str, Callable[[], object]] = {
    "a socket can be opened": _connect,
    "a program can be started": lambda: os.execv("/bin/true", ["true"]),
    "a process can be started": os.fork,
    "a file can be written": lambda: os.open("/tmp/lutra-sandbox", os.O_WRONLY | os.O_CREAT, 0o600),
    "files can be read": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "other processes can be ended": lambda: os.kill(os.getppid(), 0),
}


def _trial() -> list[str]:
    """What of the forbidden can be done all the same."""
    found = []
    for name, act in _FORBIDDEN.items():
        try:
            act()
        except PermissionError:
            continue
        except OSError:
            pass
        found.append(name)
    return found


if __name__ == "__main__":
    told = enter()
    print(json.dumps(told or _trial()))
