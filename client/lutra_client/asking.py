"""The operations by name, for both clients: what is asked becomes an `Ask`, and what carries it out is theirs."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, Unpack

import httpx

from lutra_client.exchange import Ask
from lutra_client.options import EnhanceOptions, RestoreOptions, UpscaleOptions
from lutra_client.pictures import Picture, format_named, read_picture

R = TypeVar("R")

TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # a stream of events says something every 15 s


class Operations(ABC, Generic[R]):
    """Each returns a request, which is sent when its result is needed. `picture`: a path, bytes, or an open file."""

    def enhance(self, picture: Picture, **options: Unpack[EnhanceOptions]) -> R:
        """Colour and tone; by `lut`, a table of your own, where one is given."""
        return self._asked("enhance", picture, options)

    def restore(self, picture: Picture, **options: Unpack[RestoreOptions]) -> R:
        """Noise, rain, haze or JPEG blocks taken off."""
        return self._asked("restore", picture, options)

    def upscale(self, picture: Picture, **options: Unpack[UpscaleOptions]) -> R:
        """Enlarged by `scale`, to `width` and/or `height`, or to `max_pixels`."""
        return self._asked("upscale", picture, options)

    def ask(self, operation: str, picture: Picture, options: Mapping[str, Any]) -> R:
        """Any operation of the service, by the names that it has over HTTP."""
        return self._asked(operation, picture, options)

    def _asked(self, operation: str, picture: Picture, options: Mapping[str, Any]) -> R:
        ours = dict(options)
        lut, fresh, on_progress = ours.pop("lut", None), ours.pop("fresh", False), ours.pop("on_progress", None)
        parameters = {name: _text(value) for name, value in ours.items() if value is not None}
        table = None if lut is None else read_picture(lut)
        return self._request(Ask(operation, read_picture(picture), parameters, table, fresh, on_progress))

    @abstractmethod
    def _request(self, ask: Ask) -> R: ...


def ask_for_file(ask: Ask, path: Path) -> Ask:
    """In the format that the file's name says, where none was asked for. Raises ValueError where they disagree."""
    named, asked = format_named(path), ask.parameters.get("format", "auto")
    if named is None or asked == named:
        return ask
    if asked != "auto":
        raise ValueError(f"{path.name} names {named}, and format={asked} is asked for")
    return dataclasses.replace(ask, parameters={**ask.parameters, "format": named})


def headers_of(key: str | None) -> dict[str, str]:
    return {"User-Agent": "lutra-client", **({"Authorization": f"Bearer {key}"} if key else {})}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
