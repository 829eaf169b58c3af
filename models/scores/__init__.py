"""What was measured of each model, a file a model; the cards carry it to users.

The files are written by `python -m models.train evaluate NAME --data DIR --write`, not by hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Measured:
    """`scores` are {benchmark: value}, PSNR in dB where the name says no other; `source` is the command,
    the device and the date."""

    source: str = ""
    scores: dict[str, float] = field(default_factory=dict)


@cache
def read(model: str, folder: Path = FOLDER) -> Measured:
    """Nothing, where the model has not been measured. A file is read once a process."""
    path = folder / f"{model}.json"
    return Measured(**json.loads(path.read_text())) if path.is_file() else Measured()


def write(model: str, measured: Measured, folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{model}.json").write_text(json.dumps(asdict(measured), indent=1) + "\n")
    read.cache_clear()
