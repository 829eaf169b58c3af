"""/restore: noise, rain streaks, haze or JPEG blocks taken off without being told which, or only one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from models.cards import Card, Size
from models.cube import Cube
from workers.operations.choice import RESTORE, choose_restorer
from workers.operations.operation import (
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
    Strength,
    Tick,
    Work,
)
from workers.pictures.picture import Header, Picture

if TYPE_CHECKING:
    from workers.engine.engine import Engine


Kind = Literal["noise", "rain", "haze", "jpeg"]
Only = Annotated[Kind | None, Field(description="The one kind of damage to take off; unset: whatever is found.")]


class RestoreQuery(Query):
    model: ModelName = None
    strength: Strength = 1.0
    only: Only = None
    format: Format = "auto"
    quality: Quality = None
    metadata: Metadata = "keep"
    lossless: Lossless = None


class RestoreParameters(Parameters):
    omitted_if_none = frozenset({"only"})

    strength: float
    only: Kind | None = None


class Restore(Operation[RestoreQuery, RestoreParameters]):
    name = RESTORE
    title = "Noise, rain, haze and JPEG blocks taken off"
    description = """Take noise, rain streaks, haze or JPEG blocks off without being told which; or `only` one of them,
where the model tells them apart.

`model=auto` takes the best that is served and finishes in time; the header `X-Lutra-Model` says which, and
`X-Lutra-Found` what such a model found and how sure it is of it, for instance `noise 0.8, jpeg 0.2`."""
    help = "Noise, rain, haze or JPEG blocks off picture files, without the service."
    query = RestoreQuery
    parameters = RestoreParameters
    offers_auto = True

    def check(self, query: RestoreQuery, at: Installation) -> None:
        """Raises UnknownModel, and ParameterError where `only` is asked of what cannot tell."""
        self._card(query, 0, at)

    def plan(
        self,
        query: RestoreQuery,
        header: Header,
        encoding: Encoding,
        at: Installation,
        table: Cube | None,
    ) -> Plan[RestoreParameters]:
        """Raises UnknownModel or ParameterError."""
        card = self._card(query, header.pixels, at)
        parameters = RestoreParameters(**encoding.encoding(), strength=query.strength, only=query.only)
        return Plan(self, card, parameters, (header.height, header.width))

    def _card(self, query: RestoreQuery, pixels: int, at: Installation) -> Card:
        return choose_restorer(pixels, query.model, query.only, at.models, at.s_per_mp, at.limits.patience_s)

    def computed_pixels(self, card: Card, size: Size, parameters: RestoreParameters) -> float:
        return 0 if parameters.strength == 0 else size[0] * size[1]

    def run(self, engine: Engine, picture: Picture, work: Work[RestoreParameters], tick: Tick) -> Picture:
        asked = work.parameters
        return engine.restore(
            picture,
            model=work.model,
            strength=asked.strength,
            only=asked.only,
            tick=tick,
            keeper=work.keeper,
        )
