"""Pictures on their way: what goes in as bytes, and what came out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import httpx

Picture = str | os.PathLike[str] | bytes | BinaryIO

FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **{".png": "png", ".webp": "webp", ".avif": "avif", ".tif": "tiff", ".tiff": "tiff", ".cube": "cube"},
}
_OF_TYPE = {"text/plain": "cube"}


def read_picture(picture: Picture) -> bytes:
    """A path, an open file or the bytes themselves. Raises OSError."""
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | os.PathLike):
        return Path(picture).read_bytes()
    return picture.read()


def format_named(path: Path) -> str | None:
    """The format that a file's name says; None: it has no ending. Raises ValueError for one that is not known."""
    if not path.suffix:
        return None
    if path.suffix.lower() not in FORMAT_OF:
        raise ValueError(f"no format is named {path.suffix}; known are {', '.join(FORMAT_OF)}")
    return FORMAT_OF[path.suffix.lower()]


@dataclass(frozen=True)
class Result:
    """What came out: a picture's file, or with `format="cube"` a table's.

    `cache`: hit, coalesced or miss. `found`: what a restorer found, surest first; "" where none looked. `seconds`:
    what its stages took (queue, decode, infer, encode).
    """

    data: bytes = field(repr=False)
    format: str
    job_id: str
    model: str
    cache: str = ""
    found: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: httpx.Response) -> Result:
        headers = answer.headers
        media_type = headers.get("content-type", "").partition(";")[0]
        return cls(
            answer.content,
            _OF_TYPE.get(media_type, media_type.removeprefix("image/")),
            headers.get("x-job-id", ""),
            headers.get("x-lutra-model", ""),
            headers.get("x-cache", ""),
            headers.get("x-lutra-found", ""),
            dict(_stages(headers.get("server-timing", ""))),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Never half a file: written beside its place, then renamed. Raises ValueError where the name says another
        format, and OSError.
        """
        target = Path(path)
        named = format_named(target)
        if named not in (None, self.format):
            raise ValueError(f"{target.name} names {named}, and this is {self.format}")
        write_whole(target, self.data)
        return target


def write_whole(target: Path, data: bytes) -> None:
    beside = target.with_name(f".lutra-{secrets.token_hex(8)}")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _stages(timing: str) -> list[tuple[str, float]]:
    """Seconds by name out of Server-Timing, which has milliseconds."""
    parts = (part.strip().partition(";dur=") for part in timing.split(","))
    return [(name, float(ms) / 1000) for name, _, ms in parts if ms]
