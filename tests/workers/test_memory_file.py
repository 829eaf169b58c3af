"""A file in memory: written and read like any other, of any size, and without a name on a disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from workers.pictures.memory_file import memory_file


def test_it_holds_what_is_written_and_each_is_its_own() -> None:
    one, other = memory_file("one"), memory_file("one")
    try:
        os.write(one, b"words")
        os.ftruncate(other, 10)
        assert os.pread(one, 10, 0) == b"words"
        assert os.pread(other, 20, 0) == bytes(10)
    finally:
        os.close(one)
        os.close(other)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files in memory are Linux's")
def test_it_lies_on_no_disk() -> None:
    descriptor = memory_file("words")
    try:
        assert str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("/memfd:words")
    finally:
        os.close(descriptor)
