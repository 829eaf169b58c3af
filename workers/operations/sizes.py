"""Sizes by exact arithmetic: what a request asks for (scale, width, height, max_pixels) becomes (height, width).

Everything is a whole number or a `Fraction`, so the door refuses what cannot be before a pixel is read, and every
process agrees on the size. It does not tile and knows nothing of models beyond the range of scales it is handed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from workers.errors import ParameterError, TooManyPixels

Number = str | int | float | Fraction

_DECIMAL = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,2})?")
_RATIO = re.compile(r"[+-]?[0-9]{1,9}/[0-9]{1,9}")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_LONGEST_SEEN = 40


def output_size(height: int, width: int, scale: Fraction) -> tuple[int, int]:
    """(height, width) at `scale`: floor(n * scale + 1/2) per axis."""
    return _rounded(height * scale), _rounded(width * scale)


def parse_scale(value: Number, *, model: str = "this model", lowest: Number = 1, highest: Number = 8) -> Fraction:
    """`value` ("3.7", "7/2", 4) as an exact fraction.

    Raises ParameterError unless it is more than 1 and within `lowest` to `highest`.
    """
    scale = exact(value, "scale")
    low, high = exact(lowest, "scale"), exact(highest, "scale")
    if scale == 1:
        raise _refused(f"scale 1 enlarges nothing: allowed is more than 1, at most {plain(high)}", "scale", low, high)
    _check_range(scale, f"scale {plain(scale)}", "scale", model, low, high)
    return scale


@dataclass(frozen=True)
class SizeAsked:
    """The size as it is asked for, in one of three ways; None is a parameter that was not sent.

    `scale`; `height` and/or `width` (both: the largest size of the same aspect inside, or with `fit="fill"` exactly
    these two); `max_pixels` (the largest size of the same aspect with at most so many pixels: an upper bound, so it
    stops at the largest scale).
    """

    scale: Number | None = None
    height: str | int | None = None
    width: str | int | None = None
    fit: str = "inside"
    max_pixels: str | int | None = None

    def check(self) -> None:
        """Raises ParameterError where it is asked for in no way or in two, is no number, or `fit` goes not with it."""
        sent = {
            "scale": self.scale is not None,
            "width/height": not self.height is self.width is None,
            "max_pixels": self.max_pixels is not None,
        }
        ways = [name for name, is_sent in sent.items() if is_sent]
        if not ways:
            raise ParameterError(
                "no size asked for: send scale, or width and/or height, or max_pixels", parameter="scale"
            )
        if len(ways) > 1:
            raise ParameterError(f"{' and '.join(ways)} ask for a size twice: send one of them", parameter=ways[1])
        if self.fit not in ("inside", "fill"):
            raise ParameterError(f"fit {_seen(self.fit)} is unknown: allowed are inside and fill", parameter="fit")
        if self.fit == "fill" and (self.height is None or self.width is None):
            raise ParameterError("fit=fill needs both width and height", parameter="fit")
        for name, value in (("height", self.height), ("width", self.width), ("max_pixels", self.max_pixels)):
            if value is not None:
                whole(value, name)


@dataclass(frozen=True)
class Bounds:
    """What `model` does, and how many pixels a result may have."""

    model: str = "this model"
    min_scale: Number = 1
    max_scale: Number = 8
    max_output_pixels: int | None = None

    @property
    def low(self) -> Fraction:
        return max(exact(self.min_scale, "scale"), Fraction(1))

    @property
    def high(self) -> Fraction:
        return exact(self.max_scale, "scale")


ANY_MODEL = Bounds()


def target_size(height: int, width: int, asked: SizeAsked, bounds: Bounds = ANY_MODEL) -> tuple[int, int]:
    """The (height, width) that is asked for a picture of this one.

    A size equal to the picture's own is allowed where no scale is asked for. Raises ParameterError, or TooManyPixels
    beyond `max_output_pixels`.
    """
    asked.check()
    low, high = bounds.low, bounds.high
    if asked.scale is not None:
        size = output_size(height, width, parse_scale(asked.scale, model=bounds.model, lowest=low, highest=high))
    elif asked.max_pixels is not None:
        size = _size_below(height, width, whole(asked.max_pixels, "max_pixels"), high)
    else:
        size = _size_of_sides(height, width, asked, bounds)
    _check_pixels(size, bounds.max_output_pixels)
    return size


def exact(value: Number, name: str) -> Fraction:
    """A number as a fraction, text as it is written: "3.7" is 37/10. Raises ParameterError for anything else."""
    if isinstance(value, (int, Fraction)):
        return Fraction(value)
    text = (repr(value) if isinstance(value, float) else value).strip()
    if not _DECIMAL.fullmatch(text) and not _RATIO.fullmatch(text):
        raise ParameterError(f"{name} {_seen(text)} is not a number such as 3.7 or 7/2", parameter=name)
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ParameterError(f"{name} {_seen(text)} divides by zero", parameter=name) from None


def whole(value: str | int, name: str) -> int:
    """A number of pixels, at least 1. Raises ParameterError for anything else."""
    text = str(value).strip()
    if not _WHOLE.fullmatch(text):
        raise ParameterError(f"{name} {_seen(text)} is not a whole number of pixels", parameter=name, minimum=1)
    if int(text) < 1:
        raise ParameterError(f"{name} {int(text)} is too small: at least 1", parameter=name, minimum=1)
    return int(text)


def plain(number: Fraction) -> str:
    """For people: 37/10 as 3.7, 1/3 as 0.3333."""
    return f"{float(number):.4f}".rstrip("0").rstrip(".") if abs(number) < 10**6 else f"{float(number):.4g}"


def _rounded(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _seen(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SEEN else text[: _LONGEST_SEEN - 1] + "…")


def _refused(message: str, parameter: str, low: Fraction, high: Fraction) -> ParameterError:
    return ParameterError(message, parameter=parameter, minimum=float(low), maximum=float(high))


def _check_range(scale: Fraction, seen: str, parameter: str, model: str, low: Fraction, high: Fraction) -> None:
    if not low <= scale <= high:
        raise _refused(f"{seen} is outside {plain(low)} to {plain(high)} for {model}", parameter, low, high)


def _size_of_sides(height: int, width: int, asked: SizeAsked, bounds: Bounds) -> tuple[int, int]:
    sides = (("height", height, asked.height), ("width", width, asked.width))
    wanted = {name: (whole(out, name), side) for name, side, out in sides if out is not None}
    if asked.fit == "inside":  # the side that binds decides; a box may be roomier than the picture can fill
        tightest = min(wanted, key=lambda name: Fraction(*wanted[name]))
        wanted = {tightest: wanted[tightest]}
    for name, (out, side) in wanted.items():
        if out < side:
            seen = f"{name} {out} is smaller than the picture's {side}"
            raise ParameterError(f"{seen}: /upscale only enlarges", parameter=name, minimum=side)
        ratio = Fraction(out, side)
        seen = f"{name} {out} is scale {plain(ratio)}, which"
        _check_range(ratio, seen, name, bounds.model, bounds.low, bounds.high)
    if asked.fit == "fill":
        return wanted["height"][0], wanted["width"][0]
    return output_size(height, width, Fraction(*next(iter(wanted.values()))))


def _size_below(height: int, width: int, max_pixels: int, high: Fraction) -> tuple[int, int]:
    """The largest size of this aspect with at most `max_pixels` pixels; bisection on the longer side, exact."""
    if max_pixels < height * width:
        raise ParameterError(
            f"max_pixels {max_pixels} is less than the picture's own {height * width}: /upscale only enlarges",
            parameter="max_pixels",
            minimum=height * width,
        )
    longer = max(height, width)
    fits, too_long = longer, _rounded(longer * high) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        size = output_size(height, width, Fraction(middle, longer))
        fits, too_long = (middle, too_long) if size[0] * size[1] <= max_pixels else (fits, middle)
    return output_size(height, width, Fraction(fits, longer))


def _check_pixels(size: tuple[int, int], limit: int | None) -> None:
    pixels = size[0] * size[1]
    if limit is None or pixels <= limit:
        return
    raise TooManyPixels(
        f"{size[1]}x{size[0]} is {pixels} pixels, more than the {limit} allowed here", pixels=pixels, limit=limit
    )
