"""A recipe's budget in slices, on machines that are lent for minutes: the folder of a run travels, a slice goes on.

What travels is an archive of the folder in parts, few and small, for whatever carries it limits both. It decides
nothing about training; that is `models.train.loop`, which counts a slice from where the command began, so that reading
the data counts, too.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

PART_BYTES = 8 << 20
MOST_PARTS = 8


def pack(run: Path, state: Path) -> list[Path]:
    """The files of a run's folder as parts in `state`, in place of those that lay there. Raises OSError for too much.

    Returns the parts.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(run.iterdir()):
            if path.is_file() and not path.name.endswith(".part"):
                tar.add(path, path.name)
    data = archive.getvalue()
    parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    if len(parts) > MOST_PARTS:
        most = MOST_PARTS * PART_BYTES >> 20
        raise OSError(f"the run in {run} takes {len(data) >> 20} MiB, at most {most} travel; copy the folder by hand")
    state.mkdir(parents=True, exist_ok=True)
    for path in parts_of(state):
        path.unlink()
    written = [state / f"run.tar.{number}-of-{len(parts)}" for number in range(1, len(parts) + 1)]
    for path, part in zip(written, parts, strict=True):
        path.write_bytes(part)
    return written


def unpack(state: Path, run: Path) -> bool:
    """The files of a run from its parts; False where there are none yet. Raises OSError where some are missing."""
    parts = parts_of(state)
    if not parts:
        return False
    wanted = int(parts[0].name.rpartition("-")[2])
    if len(parts) != wanted or any(not path.name.endswith(f"-of-{wanted}") for path in parts):
        raise OSError(f"in {state} lie {', '.join(path.name for path in parts)}: not all parts of one run")
    run.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(b"".join(path.read_bytes() for path in parts))) as tar:
        tar.extractall(run, filter="data")
    return True


def parts_of(state: Path) -> list[Path]:
    """In their order, for there are fewer than ten."""
    return sorted(state.glob("run.tar.[1-9]-of-[1-9]"))
