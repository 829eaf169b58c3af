"""/enhance: colour and tone by the image-adaptive 3D LUT, by a table of the user's own, or that table as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from models.cards import OWN_LUT, Card, Size
from models.cube import ROW_BYTES, Cube, write_cube
from workers.errors import ParameterError
from workers.operations.operation import (
    Encoded,
    Encoding,
    FormatOrCube,
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
    from torch import Tensor

    from workers.engine.engine import Engine

CUBE = "cube"
CUBE_MEDIA_TYPE = "text/plain; charset=utf-8"
CUBE_S = 0.4  # 33 nodes a side; of a user's own larger table less than ten seconds
OUR_NODES = 33  # of the tables that /enhance makes

Ends = tuple[tuple[float, float, float], tuple[float, float, float]]


class TableFacts(BaseModel):
    """`Cube.facts` of the table that a job was sent along with; its numbers lie beside the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    nodes_1d: int
    nodes_3d: int
    domain_1d: Ends
    domain_3d: Ends
    bytes: int
    sha256: str


class EnhanceQuery(Query):
    model: ModelName = None
    strength: Strength = 1.0
    format: FormatOrCube = "auto"
    quality: Quality = None
    metadata: Metadata = "keep"
    lossless: Lossless = None


class EnhanceParameters(Parameters):
    omitted_if_none = frozenset({"lut"})

    strength: float
    lut: TableFacts | None = None


class Enhance(Operation[EnhanceQuery, EnhanceParameters]):
    name = "enhance"
    title = "Colour and tone"
    description = """Colour and tone by the image-adaptive 3D LUT; `format=cube` answers with its table as a `.cube`
file.

A form may bring a `.cube` file of your own as its part `lut` (1D, 3D, or Resolve's 1D before 3D), which is applied
instead of the model."""
    help = "Colour and tone of picture files, without the service."
    query = EnhanceQuery
    parameters = EnhanceParameters
    default_model = "lut3d"
    colour = "srgb"
    takes_table = True

    def plan(
        self,
        query: EnhanceQuery,
        header: Header,
        encoding: Encoding,
        at: Installation,
        table: Cube | None,
    ) -> Plan[EnhanceParameters]:
        """Raises UnknownModel, and ParameterError for what a table of the user's own cannot be asked for."""
        facts = None
        if table is None:
            card = self.choose(query.model, at.models)
        else:
            _check_own_table(table, query)
            card, facts = OWN_LUT, TableFacts.model_validate(table.facts())
        parameters = EnhanceParameters(**encoding.encoding(), strength=query.strength, lut=facts)
        return Plan(self, card, parameters, (header.height, header.width))

    def computed_pixels(self, card: Card, size: Size, parameters: EnhanceParameters) -> float:
        return 0 if parameters.strength == 0 or parameters.format == CUBE else size[0] * size[1]

    def encode_s(self, parameters: EnhanceParameters, size: Size) -> float:
        return CUBE_S if parameters.format == CUBE else super().encode_s(parameters, size)

    def result_bytes(self, parameters: EnhanceParameters, pixels: int) -> int:
        if parameters.format != CUBE:
            return super().result_bytes(parameters, pixels)
        nodes = parameters.lut.nodes_3d if parameters.lut else OUR_NODES
        return nodes**3 * ROW_BYTES

    def has_table(self, parameters: EnhanceParameters) -> bool:
        return parameters.lut is not None

    def table_of(self, parameters: EnhanceParameters, numbers: bytes) -> Cube | None:
        return None if parameters.lut is None else Cube.of(parameters.lut.model_dump(), numbers)

    def run(self, engine: Engine, picture: Picture, work: Work[EnhanceParameters], tick: Tick) -> Picture | Tensor:
        strength, table = work.parameters.strength, work.table
        if work.parameters.format != CUBE:
            return engine.enhance(picture, model=work.model, strength=strength, own=table, tick=tick)
        return engine.fused_table(picture, model=work.model, strength=strength, own=table)

    def encode(self, result: Picture | Tensor, parameters: EnhanceParameters) -> Encoded:
        if isinstance(result, Picture):
            return super().encode(result, parameters)
        nodes = result.shape[-1]
        return Encoded(write_cube(result, "Lutra").encode(), CUBE, nodes, nodes, CUBE_MEDIA_TYPE)


def _check_own_table(table: Cube, query: EnhanceQuery) -> None:
    if query.model is not None:
        raise ParameterError(
            f"a part named lut stands in place of a model; leave model={query.model[:40]} out", parameter="model"
        )
    if query.format == CUBE and not table.is_plain:
        seen = "curves (LUT_1D_SIZE)" if table.nodes_1d else "a domain other than 0 to 1"
        raise ParameterError(
            f"format=cube answers with a 3D table over 0 to 1; this part lut has {seen}", parameter="format"
        )
