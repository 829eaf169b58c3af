"""/upscale: a picture enlarged by a scale, to a size or to a number of pixels; `choice` decides which model does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.config import JsonDict

from models.cards import Card, Size
from models.cube import Cube
from workers.errors import ParameterError
from workers.operations.choice import UPSCALE, Small, enlarged_pixels, plan_upscale
from workers.operations.operation import (
    Advice,
    Encoding,
    Format,
    Installation,
    Lossless,
    Metadata,
    ModelName,
    Operation,
    Parameters,
    Plan,
    Quality,
    Query,
    Tick,
    Work,
)
from workers.operations.sizes import SizeAsked, parse_scale
from workers.pictures.picture import Header, Picture

if TYPE_CHECKING:
    from workers.engine.engine import Engine

LARGEST_HUNDREDTHS = 6400  # of a scale, for what a refusal advises

# What OpenAPI says of numbers that are read exactly, from their text. `x-limit`: see `service.openapi`.
RATIO = r"^[0-9]{1,9}(\.[0-9]{1,18}|/[1-9][0-9]{0,8})?$"
SCALE_SCHEMA: JsonDict = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 1, "x-limit": "max_scale"},
        {"type": "string", "pattern": RATIO},
    ]
}
WHOLE_SCHEMA: JsonDict = {"anyOf": [{"type": "integer", "minimum": 1}]}


class UpscaleQuery(Query):
    ways = (frozenset({"scale"}), frozenset({"width", "height", "fit"}), frozenset({"max_pixels"}))

    scale: Annotated[
        str | None,
        Field(
            description="More than 1, for instance 3.7 or 7/2.", examples=[3.7, "7/2"], json_schema_extra=SCALE_SCHEMA
        ),
    ] = None
    width: Annotated[
        str | None,
        Field(description="Pixels; with height: fit inside.", examples=[3000], json_schema_extra=WHOLE_SCHEMA),
    ] = None
    height: Annotated[
        str | None,
        Field(description="Pixels; with width: fit inside.", examples=[2000], json_schema_extra=WHOLE_SCHEMA),
    ] = None
    fit: Annotated[
        Literal["inside", "fill"], Field(description="Of width and height: fill takes them as they are.")
    ] = "inside"
    max_pixels: Annotated[
        str | None,
        Field(
            description="The largest size of at most so many pixels.",
            examples=[8_000_000],
            json_schema_extra=WHOLE_SCHEMA,
        ),
    ] = None
    model: ModelName = None
    effort: Annotated[
        Literal["fast", "best"], Field(description="Of model=auto: the best there is, or what takes a second at most.")
    ] = "best"
    strength: Annotated[
        float, Field(ge=0, le=1, description="srgan; 0: the pixels of srresnet, 1: all detail.", examples=[0.7])
    ] = 1.0
    format: Format = "auto"
    quality: Quality = None
    metadata: Metadata = "keep"
    lossless: Lossless = None

    @property
    def size(self) -> SizeAsked:
        return SizeAsked(self.scale, self.height, self.width, self.fit, self.max_pixels)


class UpscaleParameters(Parameters):
    """`scale` as it was asked for, if it was. `strength` None: the model has none."""

    omitted_if_none = frozenset({"strength"})

    scale: str | None = None
    height: int
    width: int
    effort: Literal["fast", "best"]
    strength: float | None = None


class Upscale(Operation[UpscaleQuery, UpscaleParameters]):
    name = UPSCALE
    title = "Super-resolution at any scale"
    description = """Enlarge by `scale`, or to `width` and/or `height`, or to `max_pixels`; by a network or a classical
filter.

`model=auto` takes the best that finishes in time (`effort=fast`: within a second), by scale, size, whether the
picture came in lossy (JPEG, WebP, AVIF, HEIC) and the speed measured here; the header `X-Lutra-Model` says which."""
    help = "Enlarge picture files, without the service."
    query = UpscaleQuery
    parameters = UpscaleParameters
    offers_auto = True

    def mark(self, query: UpscaleQuery) -> str:
        """By the size that is asked for: `-x3.7`, `-3000w`, `-3000x2000`, `-8000000px`."""
        if query.scale is not None:
            return f"-x{query.scale.replace('/', '_')}"
        if query.max_pixels is not None:
            return f"-{query.max_pixels}px"
        if query.width is not None and query.height is not None:
            return f"-{query.width}x{query.height}"
        return f"-{query.width}w" if query.width is not None else f"-{query.height}h"

    def check(self, query: UpscaleQuery, at: Installation) -> None:
        """Raises UnknownModel, and ParameterError for a size that is none, or a scale out of the model's range."""
        card = self.choose(query.model, at.models)
        query.size.check()
        if query.scale is not None:
            highest = Fraction(min(card.max_scale, at.limits.max_scale))
            parse_scale(query.scale, model=card.name, lowest=Fraction(card.min_scale), highest=highest)

    def plan(
        self,
        query: UpscaleQuery,
        header: Header,
        encoding: Encoding,
        at: Installation,
        table: Cube | None,
    ) -> Plan[UpscaleParameters]:
        """Raises ParameterError, TooManyPixels or UnknownModel."""
        small = Small(header.height, header.width, header.lossy)
        card, size = plan_upscale(small, query.size, query.model, query.effort, at.models, at.s_per_mp, at.limits)
        parameters = UpscaleParameters(
            **encoding.encoding(),
            scale=query.scale,
            height=size[0],
            width=size[1],
            effort=query.effort,
            strength=blend_strength(card, query.strength, at.models),
        )
        return Plan(self, card, parameters, size)

    def computed_pixels(self, card: Card, size: Size, parameters: UpscaleParameters) -> float:
        return enlarged_pixels(card, size, (parameters.height, parameters.width))

    def largest(self, card: Card, at: Installation, fits: Callable[[dict[str, Any]], Size | None]) -> Advice:
        """In hundredths of a scale. Time grows with it, so the border is found by halving."""

        def size_at(hundredths: int) -> Size | None:
            size = {"scale": f"{hundredths / 100:.2f}", "width": None, "height": None, "max_pixels": None}
            return fits({**size, "fit": "inside"})

        low, high = 100, LARGEST_HUNDREDTHS + 1
        height, width = 0, 0
        while high - low > 1:
            middle = (low + high) // 2
            size = size_at(middle)
            if size is None:
                high = middle
            else:
                low, (height, width) = middle, size

        if low == 100:
            return Advice({}, "no scale of this picture fits")
        members = {"largest_scale": low / 100, "largest_pixels": height * width}
        return Advice(members, f"at most scale {low / 100:g} ({width}x{height}, {height * width} pixels) fits")

    def run(self, engine: Engine, picture: Picture, work: Work[UpscaleParameters], tick: Tick) -> Picture:
        parameters = work.parameters
        return engine.upscale(
            picture,
            model=work.model,
            height=parameters.height,
            width=parameters.width,
            effort=parameters.effort,
            strength=1.0 if parameters.strength is None else parameters.strength,
            tick=tick,
            keeper=work.keeper,
        )


def blend_strength(card: Card, strength: float, served: Mapping[str, Card]) -> float | None:
    """How far from the model that this one blends with; None: it blends with none.

    Raises ParameterError for a strength below 1 of a model that has none.
    """
    if card.blends_with is None and strength != 1:
        able = [name for name, one in served.items() if one.blends_with in served]
        advice = f"; ask for model={able[0]}, which has" if able else ""
        raise ParameterError(f"{card.name} has no strength{advice}", parameter="strength")
    if card.blends_with is not None and strength != 1 and card.blends_with not in served:
        raise ParameterError(
            f"{card.name} has no strength below 1 where {card.blends_with} is not served", parameter="strength"
        )
    return strength if card.blends_with is not None else None
