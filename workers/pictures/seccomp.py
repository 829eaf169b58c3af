"""seccomp: system calls that decoding never makes are refused by the kernel, in this thread and those it starts.

The list names what is refused and not what is allowed: which calls an allocator, a linker or a pool of threads makes
changes with every version of the C library, and a call that a list had forgotten would take decoding away. A refused
call fails with EPERM; those whose arguments a filter cannot see (clone3, openat2) with ENOSYS, upon which the C library
takes the older ones. Source: Linux, Documentation/userspace-api/seccomp_filter.rst; linux/filter.h; linux/audit.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from workers.pictures.system_calls import FORBIDDEN, IO_CALLS, NUMBERS

_PR_SET_SECCOMP, _FILTER = 22, 2
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32 = 0x40000000  # numbers of x86-64's second set of calls

_CLONE_THREAD = 0x10000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # put words into the terminal, as if its user had typed them


def forbid(libc: ctypes.CDLL) -> None:
    """Raises OSError where the kernel has no filters, or the machine's numbers are not known here."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known here")
    code = b"".join(program(machine, os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(head), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def program(machine: str, pid: int) -> list[bytes]:
    """The filter, an instruction each: calls of `pid` upon itself and for reading are let through."""
    number = {name: numbers[machine] for name, numbers in NUMBERS.items() if machine in numbers}
    filter_ = [_load(_ARCHITECTURE_AT), _if(_EQUAL, _ARCHITECTURES[machine], yes=1), _return(_KILL)]
    filter_ += [_load(_NUMBER_AT), _if(_AT_LEAST, _X32, no=1), _refuse(errno.EPERM)]
    for name in FORBIDDEN:
        if name in number:
            filter_ += [_if(_EQUAL, number[name], no=1), _refuse(errno.EPERM)]
    for name in ("clone3", "openat2", *IO_CALLS):
        filter_ += [_if(_EQUAL, number[name], no=1), _refuse(errno.ENOSYS)]
    for name, argument, test in (
        ("clone", 0, [_if(_ANY_BIT, _CLONE_THREAD, yes=1), _refuse(errno.EPERM)]),
        ("open", 1, [_if(_ANY_BIT, _WRITING, no=1), _refuse(errno.EACCES)]),
        ("openat", 2, [_if(_ANY_BIT, _WRITING, no=1), _refuse(errno.EACCES)]),
        ("kill", 0, [_if(_EQUAL, pid, yes=1), _refuse(errno.EPERM)]),
        ("tgkill", 0, [_if(_EQUAL, pid, yes=1), _refuse(errno.EPERM)]),
        ("prlimit64", 0, [_if(_EQUAL, 0, yes=2), _if(_EQUAL, pid, yes=1), _refuse(errno.EPERM)]),
        ("ioctl", 1, [_if(_EQUAL, _TIOCSTI, yes=1), _if(_EQUAL, _TIOCLINUX, no=1), _refuse(errno.EPERM)]),
    ):
        if name in number:
            body = [_load(_ARGUMENTS_AT + 8 * argument), *test, _return(_ALLOW)]
            filter_ += [_if(_EQUAL, number[name], no=len(body)), *body]
    return [*filter_, _return(_ALLOW)]


def _load(at: int) -> bytes:
    """A word of `struct seccomp_data`; of an argument its lower half, both machines being little endian."""
    return struct.pack("HBBI", _LOAD, 0, 0, at)


def _if(test: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """Skips so many instructions where the word that was loaded passes the test, or does not."""
    return struct.pack("HBBI", test, yes, no, value)


def _refuse(code: int) -> bytes:
    return _return(_ERRNO | code)


def _return(action: int) -> bytes:
    return struct.pack("HBBI", _RETURN, 0, 0, action)
