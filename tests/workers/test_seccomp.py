"""System calls by seccomp alone: the filter in the kernel, and the same filter played through for the other machine."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys

import pytest

from workers.pictures import seccomp
from workers.pictures.system_calls import FORBIDDEN, NUMBERS

ALLOW = 0x7FFF0000
PID = 4711
PROGRAM = """
import ctypes, os, signal, socket, subprocess, threading
from workers.pictures import seccomp
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
seccomp.forbid(libc)
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
for name, act in {
    "read": lambda: open("/etc/hostname").read(),
    "signal to itself": lambda: os.kill(os.getpid(), 0),
    "socket": socket.socket,
    "pair": socket.socketpair,
    "write": lambda: open("/tmp/lutra-seccomp", "w"),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "spawn": lambda: subprocess.run(["/bin/true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "limits of another": lambda: __import__("resource").prlimit(os.getppid(), 7),
    "own limits": lambda: __import__("resource").getrlimit(7),
}.items():
    try:
        act()
        print(name)
    except PermissionError:
        pass
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is Linux's")
def test_the_kernel_refuses_what_the_filter_names_and_lets_the_rest_be() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if "OSError" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["thread", "read", "signal to itself", "own limits", ""]


def answer(machine: str, name: str, *arguments: int, architecture: int | None = None, offset: int = 0) -> int:
    """What the filter answers to a call, by the rules of linux/filter.h."""
    number = NUMBERS[name][machine] + offset
    call = struct.pack("IIQ", number, architecture or seccomp._ARCHITECTURES[machine], 0)
    call += struct.pack("6Q", *arguments, *[0] * (6 - len(arguments)))
    code, at, word = seccomp.program(machine, PID), 0, 0
    while True:
        kind, yes, no, value = struct.unpack("HBBI", code[at])
        at += 1
        if kind == seccomp._RETURN:
            return int(value)
        if kind == seccomp._LOAD:
            (word,) = struct.unpack_from("I", call, value)
            continue
        passes = {seccomp._EQUAL: word == value, seccomp._AT_LEAST: word >= value, seccomp._ANY_BIT: bool(word & value)}
        at += yes if passes[kind] else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_forbidden_call_is_refused_and_others_by_their_arguments(machine: str) -> None:
    for name in FORBIDDEN:
        if machine in NUMBERS[name]:
            assert answer(machine, name) == 0x50000 | errno.EPERM, name
    for name in ("clone3", "openat2", "io_uring_setup"):
        assert answer(machine, name) == 0x50000 | errno.ENOSYS
    assert answer(machine, "clone", 0x3D0F00) == ALLOW  # a thread of glibc
    assert answer(machine, "clone", 0x1200011) == 0x50000 | errno.EPERM  # its fork
    assert answer(machine, "openat", 0, 0, 0o2000000) == ALLOW
    for flags in (0o1, 0o2, 0o100, 0o1000, 0o20200002):
        assert answer(machine, "openat", 0, 0, flags) == 0x50000 | errno.EACCES
    assert answer(machine, "kill", PID, 9) == answer(machine, "tgkill", PID, PID, 6) == ALLOW
    assert answer(machine, "kill", PID - 1, 9) == answer(machine, "tgkill", 1, 1, 6) == 0x50000 | errno.EPERM
    assert answer(machine, "kill", 2**64 - 1, 9) == 0x50000 | errno.EPERM
    assert answer(machine, "prlimit64", 0) == answer(machine, "prlimit64", PID) == ALLOW
    assert answer(machine, "prlimit64", 1) == 0x50000 | errno.EPERM
    assert answer(machine, "ioctl", 2, 0x5413) == ALLOW
    assert answer(machine, "ioctl", 2, 0x5412) == answer(machine, "ioctl", 2, 0x541C) == 0x50000 | errno.EPERM


def test_calls_in_another_machines_numbers_end_the_process() -> None:
    assert answer("x86_64", "ioctl", architecture=0x40000003) == 0x80000000  # int 0x80: 32 bits
    assert answer("x86_64", "ioctl", offset=0x40000000) == 0x50000 | errno.EPERM  # x32


def test_the_filter_is_as_long_as_the_kernel_takes() -> None:
    assert max(len(seccomp.program(machine, PID)) for machine in seccomp._ARCHITECTURES) < 4096
