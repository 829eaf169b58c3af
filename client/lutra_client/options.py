"""What each operation can be asked, by the names that it has over HTTP; what is left out is the service's to choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

from lutra_client.exchange import Progress
from lutra_client.pictures import Picture


class Options(TypedDict, total=False):
    """Of every operation. `fresh`: computed anew, although the same was asked before. `on_progress` is called with
    each step.
    """

    model: str
    strength: float
    quality: int
    metadata: Literal["keep", "strip"]
    lossless: bool
    preset: str
    fresh: bool
    on_progress: Callable[[Progress], object]


class EnhanceOptions(Options, total=False):
    """`lut`: a `.cube` file of your own, applied instead of the model."""

    format: Literal["auto", "jpeg", "png", "webp", "avif", "tiff", "cube"]
    lut: Picture


class RestoreOptions(Options, total=False):
    format: Literal["auto", "jpeg", "png", "webp", "avif", "tiff"]
    only: Literal["noise", "rain", "haze", "jpeg"]


class UpscaleOptions(Options, total=False):
    """One of `scale`; `width` and/or `height`; `max_pixels`."""

    format: Literal["auto", "jpeg", "png", "webp", "avif", "tiff"]
    scale: float | str
    width: int
    height: int
    fit: Literal["inside", "fill"]
    max_pixels: int
    effort: Literal["fast", "best"]
