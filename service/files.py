"""`lutra enhance`, `restore` and `upscale`: picture files in, better files out, in this process.

Of this floor this file alone loads the engine, and when it is called for: it is the command line's own worker.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.cube import MAX_BYTES, Cube, CubeError, read_cube
from service.file_run import Asked, run_on_tasks
from service.folders import shown
from service.options import manner_of, read_query, wanted_of
from service.presets import installation_of, read_presets
from service.reports import Better
from workers.engine.engine import Engine
from workers.errors import LutraError, ParameterError
from workers.operations.operation import Colour, Installation, Operation, Query, Tick, Work, plan_encoding
from workers.operations.way import Unobserved, compute
from workers.pictures import imageio
from workers.pictures.picture import Picture
from workers.settings import Settings


@dataclass(frozen=True)
class Command:
    """What is done to every file."""

    operation: Operation[Any, Any]
    query: Query
    table: Cube | None
    at: Installation
    engine: Engine
    max_pixels: int

    def compute(self, asked: Asked, tick: Tick) -> Better:
        """The result for one file's bytes. Raises LutraError."""
        header = imageio.probe(asked.data)
        is_auto = asked.is_auto and self.query.format == "auto"
        query = self.query.model_copy(update={"format": "auto" if is_auto else asked.format})
        encoding = plan_encoding(query, asked.format, header)
        plan = self.operation.plan(query, header, encoding, self.at, self.table)
        if self.table is None:
            load(self.engine, plan.card.name)

        def decode(colour: Colour) -> Picture:
            return imageio.decode(asked.data, colour=colour, max_pixels=self.max_pixels)

        work = Work(self.operation, plan.card.name, plan.parameters, self.table)
        result = compute(work, self.engine, decode, Unobserved(tick))
        return Better(result.data, result.format, result.width, result.height, plan.card.name)


def run_on_files(operation: Operation[Any, Any], settings: Settings, arguments: argparse.Namespace) -> int:
    """Every input through the operation; exit status. Raises LutraError for what is wrong with all of them."""
    query = _read_query(operation, settings, arguments)
    wanted = wanted_of(operation, query, arguments)
    return run_on_tasks(wanted, manner_of(arguments), lambda: prepare(operation, query, settings, arguments).compute)


def prepare(operation: Operation[Any, Any], query: Query, settings: Settings, arguments: argparse.Namespace) -> Command:
    """Load what every file needs. Raises LutraError."""
    table = read_table(getattr(arguments, "lut", None))
    at = installation_of(settings)
    if table is None:
        operation.check(query, at)
    elif query.model is not None:
        raise ParameterError("--lut stands in place of a model; leave --model out")

    engine = Engine(
        device=settings.device, precision=settings.precision, tile=settings.tile, weights_dir=settings.weights_dir
    )
    if table is None and not (operation.offers_auto and query.model in (None, "auto")):
        load(engine, operation.choose(query.model, at.models).name)
    return Command(operation, query, table, at, engine, settings.max_input_pixels)


def _read_query(operation: Operation[Any, Any], settings: Settings, arguments: argparse.Namespace) -> Query:
    """The options over the preset that they name. The file of presets is read only where one is asked for."""
    asked: Query = read_query(operation.query, arguments)
    name = getattr(arguments, "preset", None)
    return asked if name is None else read_presets(settings.presets_file).apply(operation, asked, name)


def read_table(path: Path | None) -> Cube | None:
    """The table in a `.cube` file. Raises LutraError for a file that holds none."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return read_cube(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise LutraError(f"{shown(path)}: {error.strerror or error}") from None
    except CubeError as error:
        raise LutraError(f"{shown(path)}: {error}") from None


def load(engine: Engine, model: str) -> None:
    """Raises LutraError where the weights cannot be loaded."""
    try:
        engine.load(model)
    except ValueError as error:
        raise LutraError(str(error)) from None
