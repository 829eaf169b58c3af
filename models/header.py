"""What a weight file says of itself before its tensors: the header of a safetensors file, read without torch.

Source: https://huggingface.co/docs/safetensors (format).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER_KEY = "lutra"  # one key alone: the format does not fix the order of several
FORMAT = 1
LENGTH_BYTES = 8
MAX_BYTES = 100_000_000  # of a header, as the format has it
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms: not learnt


class WeightsError(ValueError):
    """A weight file that cannot be used, and why; the message names keys and shapes, never a path."""


@dataclass(frozen=True)
class Header:
    """Which network, how it was configured, how its weights came to be, and how many there are."""

    network: str
    config: dict[str, Any]
    facts: dict[str, Any]
    parameters: int


def read_header(data: bytes) -> Header:
    """The header of a weight file, from its first bytes: 8 bytes of length, then JSON. Raises WeightsError."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    try:
        tensors = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length]) if length <= len(data) - LENGTH_BYTES else {}
        header = json.loads(tensors.pop("__metadata__")[HEADER_KEY])
        known = header["format"] == FORMAT and isinstance(header["network"], str)
        parameters = sum(math.prod(of["shape"]) for key, of in tensors.items() if not key.endswith(STATISTICS))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError("not a Lutra weight file (published checkpoints: run `lutra convert` first)") from error
    if not known or not isinstance(header["config"], dict) or not isinstance(header["facts"], dict):
        raise WeightsError(f"weight file of format {header['format']!r}, this program reads format {FORMAT}")
    return Header(header["network"], header["config"], header["facts"], parameters)


def open_header(path: Path) -> Header:
    """The header of a file, of which no more is read. Raises WeightsError, OSError."""
    with path.open("rb") as file:
        length = file.read(LENGTH_BYTES)
        return read_header(length + file.read(min(int.from_bytes(length, "little"), MAX_BYTES)))
