"""A short hunt at every door, as `make fuzz` does it at length; and that the hunt finds each kind of fault."""

from __future__ import annotations

import os
import struct
import zlib
from random import Random

import pytest

from tests.fuzz import corpus
from tests.fuzz.doors import DOORS
from tests.fuzz.hunt import cause, hunt, kept
from tests.fuzz.shapes import SHAPES, reshaped

INPUTS = 3  # of each door, times its share
SEED = 86  # of a hundred inputs among which is each kind of fault

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="inputs are watched through files in memory")


@linux
@pytest.mark.parametrize("name", [name for name, door in DOORS.items() if door.share])
def test_strangers_bytes_are_taken_or_refused_in_little_time_and_memory(name: str) -> None:
    tally = hunt(name, 2026, 0, INPUTS * DOORS[name].share)
    assert [f"{one.kind}: {one.what} (replay {name} 2026 {one.number})" for one in kept(tally.findings)] == []
    assert tally.inputs == INPUTS * DOORS[name].share


@linux
def test_the_hunt_finds_every_kind_of_fault_and_tells_its_input() -> None:
    tally = hunt("faulty", SEED, 0, 100)
    assert tally.inputs == 100
    kinds = {1: "crash", 2: "hang", 3: "memory", 4: "printed", 5: "exception", 6: "exception", 8: "slow"}
    found = set()
    for one in tally.findings:
        data = DOORS["faulty"].input(DOORS["faulty"].seeds(), SEED, one.number)
        assert kinds[zlib.crc32(data) % 64] == one.kind, one
        found.add(zlib.crc32(data) % 64)
    assert found == set(kinds)
    assert not any(sign.isdigit() for one in tally.findings for sign in cause(one))


@pytest.mark.parametrize("name", DOORS)
def test_an_input_is_the_same_again_and_another_for_every_number_and_seed(name: str) -> None:
    door, seeds = DOORS[name], DOORS[name].seeds()
    first = [door.input(seeds, 1, number) for number in range(20)]
    assert first == [door.input(seeds, 1, number) for number in range(20)]
    assert first != [door.input(seeds, 2, number) for number in range(20)]
    assert len(set(first)) > 10


@pytest.mark.parametrize("kind", ["png", "webp", "avif", "gif", "jpeg"])
def test_a_file_comes_apart_and_together_again(kind: str) -> None:
    shape, whole = SHAPES[kind], 0
    for data in corpus.pictures(kind):
        whole += shape.join(shape.split(data)) == data
    assert whole > len(corpus.pictures(kind)) / 2  # the others are hostile


def test_a_png_that_was_changed_has_right_checksums() -> None:
    rng, changed = Random(1), 0
    data = corpus.pictures("png")[0]
    for _ in range(50):
        made = reshaped(SHAPES["png"], data, data, rng)
        for kind, payload in SHAPES["png"].split(made):
            assert kind + payload + struct.pack(">I", zlib.crc32(kind + payload)) in made
        changed += made != data
    assert changed > 30
