"""The numbers of system calls are the kernel's own, for both machines, where its headers are installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workers.pictures.system_calls import FORBIDDEN, IO_CALLS, NUMBERS

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_each_number_is_the_one_in_the_kernels_header(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]}")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text()))
    ours = {name: numbers[machine] for name, numbers in NUMBERS.items() if machine in numbers}
    known = {name: int(found[name]) for name in ours if name in found}  # a header may be older than a call
    assert len(known) >= len(ours) - 3
    assert {name: ours[name] for name in known} == known
    assert {name for name in NUMBERS if name in found} <= set(ours)


def test_no_number_stands_twice() -> None:
    for machine in HEADERS:
        numbers = [numbers[machine] for numbers in NUMBERS.values() if machine in numbers]
        assert len(numbers) == len(set(numbers))


def test_what_would_go_around_the_rest_is_among_them() -> None:
    assert {"socket", "execve", "ptrace", "bpf", "mount"} <= set(FORBIDDEN) and "io_uring_setup" in IO_CALLS
