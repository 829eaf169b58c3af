"""/restore: noise, rain streaks or haze taken off without being told which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.cards import Card, Size
from models.cube import Cube
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


class RestoreQuery(Query):
    model: ModelName = None
    strength: Strength = 1.0
    format: Format = "auto"
    quality: Quality = None
    metadata: Metadata = "keep"
    lossless: Lossless = None


class RestoreParameters(Parameters):
    strength: float


class Restore(Operation[RestoreQuery, RestoreParameters]):
    name = "restore"
    title = "Noise, rain and haze taken off"
    description = "Take noise, rain streaks or haze off without being told which, by AirNet."
    help = "Noise, rain or haze off picture files, without the service."
    query = RestoreQuery
    parameters = RestoreParameters
    default_model = "airnet"

    def plan(
        self,
        query: RestoreQuery,
        header: Header,
        encoding: Encoding,
        at: Installation,
        table: Cube | None,
    ) -> Plan[RestoreParameters]:
        """Raises UnknownModel."""
        card = self.choose(query.model, at.models)
        parameters = RestoreParameters(**encoding.encoding(), strength=query.strength)
        return Plan(self, card, parameters, (header.height, header.width))

    def computed_pixels(self, card: Card, size: Size, parameters: RestoreParameters) -> float:
        return 0 if parameters.strength == 0 else size[0] * size[1]

    def run(self, engine: Engine, picture: Picture, work: Work[RestoreParameters], tick: Tick) -> Picture:
        return engine.restore(picture, model=work.model, strength=work.parameters.strength, tick=tick)
