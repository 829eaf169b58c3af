"""What a weight file says of itself, read from its first bytes and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.cards import CARDS
from models.catalog import OUR_WEIGHTS
from models.header import FORMAT, HEADER_KEY, WeightsError, open_header, read_header

SAID: dict[str, Any] = {"format": FORMAT, "network": "liif", "config": {"width": 8}, "facts": {"minutes": 3}}
TENSORS: dict[str, Any] = {
    "head.weight": {"dtype": "F16", "shape": [8, 3, 3, 3], "data_offsets": [0, 432]},
    "head.bias": {"dtype": "F16", "shape": [8], "data_offsets": [432, 448]},
    "norm.running_mean": {"dtype": "F32", "shape": [100], "data_offsets": [448, 848]},
    "scalar": {"dtype": "F32", "shape": [], "data_offsets": [848, 852]},
}


def file_of(said: object = SAID, tensors: dict[str, Any] = TENSORS) -> bytes:
    header = json.dumps({**tensors, "__metadata__": {HEADER_KEY: json.dumps(said)}}).encode()
    return len(header).to_bytes(8, "little") + header


def test_a_header_tells_network_settings_facts_and_how_much_was_learnt() -> None:
    found = read_header(file_of() + b"tensors")
    assert (found.network, found.config, found.facts) == ("liif", {"width": 8}, {"minutes": 3})
    assert found.parameters == 8 * 27 + 8 + 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        file_of()[:-1],
        (10**15).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        file_of("a word"),
        file_of({"network": "liif"}),
        file_of(tensors={"head": {"dtype": "F16"}}),
    ],
)
def test_what_is_none_is_told_how_to_become_one(data: bytes) -> None:
    with pytest.raises(WeightsError, match="lutra convert"):
        read_header(data)


@pytest.mark.parametrize("change", [{"format": 2}, {"network": 7}, {"config": []}, {"facts": None}])
def test_a_file_of_another_format_is_refused_with_both(change: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match=f"this program reads format {FORMAT}"):
        read_header(file_of({**SAID, **change}))


def test_no_more_of_a_file_is_read_than_its_header(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(file_of())
    with path.open("ab") as file:
        file.truncate(20 * 1024**3)  # a hole: reading it would take all memory
    assert open_header(path).network == "liif"
    path.write_bytes((2**63).to_bytes(8, "little"))
    with pytest.raises(WeightsError):
        open_header(path)


@pytest.mark.parametrize("name", sorted(name for name, card in CARDS.items() if card.file))
def test_the_files_we_ship_are_those_of_their_cards(name: str) -> None:
    found = open_header(OUR_WEIGHTS / str(CARDS[name].file))
    assert found.network == name
    assert found.parameters == pytest.approx(CARDS[name].parameters, rel=1e-4)  # means that are kept count as learnt


def test_it_needs_no_torch() -> None:
    program = "import sys, models.header; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
