"""What an operation is: the questions that gateway, worker and command line ask of each, and nobody else answers.

`enhance`, `restore` and `upscale` answer them, each in the file of its name; `workers.operations` lists them. What is
asked for is a `Query`; with the picture's header it becomes a `Plan`, at the door and without a pixel read; the plan's
`Parameters` are what a job keeps; `run` computes, in a worker or on the command line. Importing this loads neither
torch nor numpy: `run` and `encode` do where they are called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models.cards import Card, Size
from models.cube import Cube
from workers.operations.choice import Limits, choose_model
from workers.pictures import imageio
from workers.pictures.picture import Header, Picture

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.checkpoint import Keeper
    from workers.engine.engine import Engine

Colour = Literal["keep", "srgb"]  # see `imageio.decode`
Tick = Callable[[int, int], None]

RESULT_BYTES_PER_PIXEL = {"jpeg": 0.7, "webp": 0.5, "avif": 0.4, "png": 3.0, "tiff": 3.0}
LOSSLESS_BYTES_PER_PIXEL = {"webp": 2.5, "avif": 3.0}
ENCODE_S_PER_MP = {"jpeg": 0.01, "png": 0.05, "tiff": 0.05, "webp": 0.25, "avif": 0.2}  # 2 CPU cores, shared

_ALIASES = {"jpg": "jpeg", "tif": "tiff"}


def _plain_format(value: object) -> object:
    """`JPG` is `jpeg`, `tif` is `tiff`."""
    lower = value.lower() if isinstance(value, str) else value
    return _ALIASES.get(lower, lower) if isinstance(lower, str) else lower


# What every operation can be asked. Each lists these among its own, in the order in which people read them.
ModelName = Annotated[str | None, Field(description="A name from GET /models.", examples=["auto"])]
FORMAT = "Of the result; auto: as Accept says, else as it came in (GIF and BMP leave as PNG)."
Format = Annotated[
    Literal["auto", "jpeg", "png", "webp", "avif", "tiff"], BeforeValidator(_plain_format), Field(description=FORMAT)
]
FormatOrCube = Annotated[
    Literal["auto", "jpeg", "png", "webp", "avif", "tiff", "cube"],
    BeforeValidator(_plain_format),
    Field(description=f"{FORMAT} cube: the table of this picture."),
]
Quality = Annotated[
    int | None, Field(ge=1, le=100, description="The encoder's; lossless formats ignore it.", examples=[85])
]
Metadata = Annotated[Literal["keep", "strip"], Field(description="EXIF and ICC of the input.")]
Lossless = Annotated[
    bool | None,
    Field(description="webp, avif: each pixel as it is. Unset: where format=auto and the picture came in lossless."),
]
Strength = Annotated[float, Field(ge=0, le=1, description="0: unchanged, 1: as the model says.", examples=[0.7])]


class Query(BaseModel):
    """What is asked of an operation, by the query of a URL or the options of a command; unknown names are refused.

    `ways`: parameters that say the same thing in ways of which one goes without the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ways: ClassVar[tuple[frozenset[str], ...]] = ()

    if TYPE_CHECKING:  # declared by each operation, so that its own parameters may come before them
        model: str | None
        format: str
        quality: int | None
        metadata: Literal["keep", "strip"]
        lossless: bool | None


class Encoding(BaseModel):
    """How a result leaves: nothing is left to be chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    quality: int | None = None
    metadata: Literal["keep", "strip"] = "keep"
    lossless: bool = False

    def encoding(self) -> dict[str, Any]:
        """These four alone, by name."""
        return {name: getattr(self, name) for name in Encoding.model_fields}


class Parameters(Encoding):
    """What a job keeps of a query: all that decides its result besides bytes and weights."""

    omitted_if_none: ClassVar[frozenset[str]] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """As jobs show them and the store holds them."""
        left_out = {name for name in self.omitted_if_none if getattr(self, name) is None}
        return self.model_dump(exclude=left_out)


Q = TypeVar("Q", bound=Query)
P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Installation:
    """What plans are made for: the models that are served here, their speeds, and what is allowed.

    `s_per_mp`: seconds per megapixel as measured, by name; a model that is missing has not been.
    """

    models: Mapping[str, Card]
    limits: Limits
    s_per_mp: Mapping[str, float]


@dataclass(frozen=True)
class Plan(Generic[P]):
    """What a query comes to for one picture: the model, all parameters, the (height, width) of the result."""

    operation: Operation[Any, P]
    card: Card
    parameters: P
    size: Size


@dataclass(frozen=True)
class Work(Generic[P]):
    """What is done to one picture; `table`: the user's own, where one was sent along.

    `keeper`: where what is finished of the result outlives this process; None: nowhere.
    """

    operation: Operation[Any, P]
    model: str
    parameters: P
    table: Cube | None = None
    keeper: Keeper | None = None


@dataclass(frozen=True)
class Encoded:
    """A result as it leaves. `pixels`: of a picture; 0 of anything else. `found`: `Picture.found`."""

    data: bytes
    format: str
    width: int
    height: int
    media_type: str
    pixels: int = 0
    found: Mapping[str, float] | None = None

    def facts(self) -> dict[str, Any]:
        """All but the bytes, as the store keeps them."""
        facts = {"format": self.format, "width": self.width, "height": self.height, "media_type": self.media_type}
        found = {} if self.found is None else {"found": {kind: round(sure, 3) for kind, sure in self.found.items()}}
        return {**facts, **({"pixels": self.pixels} if self.pixels else {}), **found}


class Operation(ABC, Generic[Q, P]):
    """One thing that can be done to a picture. `name` is its endpoint, its command and the `task` of its models.

    `title` and `description` are the endpoint's, `help` the command's. `colour` says how pictures are decoded for it;
    `takes_table`: a `.cube` file may come with the picture.
    """

    name: str
    title: str
    description: str
    help: str
    query: type[Q]
    parameters: type[P]
    default_model: str = "auto"
    offers_auto: bool = False
    colour: Colour = "keep"
    takes_table: bool = False

    @property
    def formats(self) -> tuple[str, ...]:
        """What a result may leave as."""
        return tuple(name for name in get_args(self.query.model_fields["format"].annotation) if name != "auto")

    def mark(self, query: Q) -> str:
        """What stands behind the name of a file that went through it, for instance `-enhanced`."""
        return f"-{self.name}d"

    # -- at the door, from the header alone ------------------------------------------------------------------------

    def choose(self, model: str | None, models: Mapping[str, Card]) -> Card:
        """The card of the model that is asked for. Raises UnknownModel."""
        return choose_model(self.name, model, models, default=self.default_model, offers_auto=self.offers_auto)

    def check(self, query: Q, at: Installation) -> None:
        """Raises LutraError for what is wrong with any picture; `plan` sees it too, once there is one."""
        self.choose(query.model, at.models)

    @abstractmethod
    def plan(self, query: Q, header: Header, encoding: Encoding, at: Installation, table: Cube | None) -> Plan[P]:
        """Raises LutraError for what cannot be done with this picture."""

    def computed_pixels(self, card: Card, size: Size, parameters: P) -> float:
        """Pixels that the model computes for a picture of (height, width) `size`; its speed counts these."""
        return size[0] * size[1]

    def encode_s(self, parameters: P, size: Size) -> float:
        """Seconds that encoding a result of this (height, width) takes."""
        return ENCODE_S_PER_MP[parameters.format] * size[0] * size[1] / 1e6

    def result_bytes(self, parameters: P, pixels: int) -> int:
        """Bytes that the result will probably hold, for admission."""
        if parameters.lossless and parameters.format in LOSSLESS_BYTES_PER_PIXEL:
            return int(pixels * LOSSLESS_BYTES_PER_PIXEL[parameters.format])
        return int(pixels * RESULT_BYTES_PER_PIXEL[parameters.format])

    def largest(self, card: Card, at: Installation, fits: Callable[[dict[str, Any]], Size | None]) -> Advice:
        """The most that is computed in time. `fits`: the result's size with these changes of the query, or None."""
        s_per_mp = at.s_per_mp[card.name]
        pixels = int(at.limits.patience_s * 1e6 / s_per_mp)
        if pixels * s_per_mp / 1e6 > at.limits.patience_s:  # by a rounding
            pixels -= 1
        return Advice({"largest_pixels": pixels}, f"at most {pixels} pixels fit")

    # -- where it is done ------------------------------------------------------------------------------------------

    def has_table(self, parameters: P) -> bool:
        """Whether the numbers of a table of the user's own lie beside the picture."""
        return False

    def table_of(self, parameters: P, numbers: bytes) -> Cube | None:
        """That table, None where there is none."""
        return None

    @abstractmethod
    def run(self, engine: Engine, picture: Picture, work: Work[P], tick: Tick) -> Picture | Tensor:
        """The result; `tick(done, total)` is called between tiles, and what it raises ends the work."""

    def encode(self, result: Picture | Tensor, parameters: P) -> Encoded:
        assert isinstance(result, Picture)
        data = imageio.encode(
            result,
            parameters.format,
            quality=parameters.quality,
            metadata=parameters.metadata,
            lossless=parameters.lossless,
        )
        height, width = result.pixels.shape[:2]
        media_type = imageio.MEDIA_TYPE[parameters.format]
        return Encoded(data, parameters.format, width, height, media_type, width * height, result.found)


@dataclass(frozen=True)
class Advice:
    """What would fit, as members of a problem and as words."""

    members: dict[str, Any]
    sentence: str


def plan_encoding(query: Query, format_out: str, header: Header) -> Encoding:
    """How the result leaves, once its format is known. Raises ParameterError for a JPEG that should be lossless."""
    lossless = imageio.is_kept_lossless(
        query.lossless, format_out, is_auto=query.format == "auto", came_in_lossy=header.lossy
    )
    return Encoding(format=format_out, quality=query.quality, metadata=query.metadata, lossless=lossless)
