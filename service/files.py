"""`lutra enhance`, `restore` and `upscale`: picture files in, better files out, in this process, with a progress bar.

Never half a file: the result is written beside its place and then renamed. A file that fails is named and the others
go on. Of this floor this file alone loads the engine, and when it is called for: it is the command line's own worker.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models.cube import MAX_BYTES, Cube, CubeError, read_cube
from service.folders import FORMAT_OF, FolderEntry, find_pictures, shown
from service.options import read_query
from service.presets import installation_of, read_presets
from workers.engine.engine import Engine
from workers.errors import LutraError, ParameterError
from workers.operations.operation import Colour, Encoded, Installation, Operation, Query, Work, plan_encoding
from workers.operations.way import Unobserved, compute
from workers.pictures import imageio
from workers.pictures.picture import Picture
from workers.settings import Settings

SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "avif": ".avif", "tiff": ".tif", "cube": ".cube"}
NAMED = {**FORMAT_OF, ".cube": "cube"}  # what the name of a result says


@dataclass(frozen=True)
class FileTask:
    """One picture file and where its better version goes; `format` auto: as the name says, else as it came in."""

    source: Path
    target: Path
    format: str


@dataclass(frozen=True)
class Command:
    """What is done to every file."""

    operation: Operation[Any, Any]
    query: Query
    table: Cube | None
    at: Installation
    engine: Engine
    max_pixels: int

    def compute(self, data: bytes, format_out: str, *, is_auto: bool, bar: tqdm[Any]) -> Encoded:
        """The result for one file's bytes; `is_auto`: nobody asked for this format by its name."""
        header = imageio.probe(data)
        query = self.query.model_copy(update={"format": "auto" if is_auto else format_out})
        encoding = plan_encoding(query, format_out, header)
        plan = self.operation.plan(query, header, encoding, self.at, self.table)
        if self.table is None:
            load(self.engine, plan.card.name)

        def decode(colour: Colour) -> Picture:
            return imageio.decode(data, colour=colour, max_pixels=self.max_pixels)

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        work = Work(self.operation, plan.card.name, plan.parameters, self.table)
        return compute(work, self.engine, decode, Unobserved(tick))


def run_on_files(operation: Operation[Any, Any], settings: Settings, arguments: argparse.Namespace) -> int:
    """Every input through the operation; exit status. Raises LutraError for what is wrong with all of them."""
    command = prepare(operation, settings, arguments)
    entries = list(find_pictures(arguments.inputs))
    left_out = [one for one in entries if one.left_out]
    for one in left_out:
        print(f"lutra: {shown(one.path)}: left out: {one.left_out}", file=sys.stderr)
    pictures = [one for one in entries if not one.left_out]
    tasks = plan_tasks(pictures, arguments.inputs, arguments.output, command)

    failed = sum(one.is_fault for one in left_out)
    for task in tasks:
        try:
            print(shown(run_task(task, command)))
        except LutraError as error:
            failed += 1
            print(f"lutra: {shown(task.source)}: {error.message}", file=sys.stderr)
        except OSError as error:
            failed += 1
            print(f"lutra: {shown(error.filename or task.source)}: {error.strerror or error}", file=sys.stderr)
    return 1 if failed else 0


def prepare(operation: Operation[Any, Any], settings: Settings, arguments: argparse.Namespace) -> Command:
    """Read the options and load what every file needs. Raises LutraError."""
    query = _read_query(operation, settings, arguments)
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


def plan_tasks(pictures: list[FolderEntry], inputs: list[Path], output: Path, command: Command) -> list[FileTask]:
    """What goes where. Raises LutraError where the output cannot be what was asked."""
    wanted, formats = command.query.format, command.operation.formats
    known = {suffix: name for suffix, name in NAMED.items() if name in formats}
    if not pictures:
        raise LutraError("no picture files were named")
    if output.suffix and output.suffix.lower() not in known and not output.is_dir():
        raise ParameterError(f"no format is named {shown(output.suffix)}; known are {', '.join(sorted(known))}")
    if output.name == "-":
        raise ParameterError("the output is a file or a folder; standard output is not served")
    if len(inputs) > 1 and output.suffix and not output.is_dir():
        raise ParameterError(f"{shown(output)} names one file; for several pictures name a folder")
    one_file = len(pictures) == 1 and not inputs[0].is_dir() and output.suffix.lower() in known
    if one_file and not output.is_dir():
        named = known[output.suffix.lower()]
        if wanted not in ("auto", named):
            raise LutraError(f"the output is named {shown(output.suffix)} but --format says {wanted}")
        return [FileTask(pictures[0].path, output, named)]
    if output.exists() and not output.is_dir():
        raise LutraError(f"{shown(output)} is a file, and a folder is needed for more than one picture")
    tasks = [FileTask(entry.path, output / _named(entry, wanted), wanted) for entry in pictures]
    _refuse_twins(tasks)
    return tasks


def _named(entry: FolderEntry, wanted: str) -> str:
    """The result's name: the picture's own where that names the format that will leave."""
    source = entry.path
    named = NAMED.get(source.suffix.lower())
    came_in = entry.format or named or "png"  # what cannot be read has a name all the same, for the error
    chosen = imageio.output_format(came_in) if wanted == "auto" else wanted
    return source.name if chosen == named else source.stem + SUFFIX[chosen]


def _refuse_twins(tasks: list[FileTask]) -> None:
    """Two pictures of one name would overwrite each other."""
    seen: dict[str, Path] = {}
    for task in tasks:
        twin = seen.setdefault(task.target.name.lower(), task.source)
        if twin is not task.source:
            both = f"{shown(twin)} and {shown(task.source)}"
            raise LutraError(f"{both} would both become {shown(task.target.name)}")


def run_task(task: FileTask, command: Command) -> Path:
    """One picture; the path that was written."""
    data = task.source.read_bytes()
    came_in = imageio.sniff(data)
    chosen = imageio.output_format(came_in) if task.format == "auto" else task.format
    is_auto = task.format == "auto" or (command.query.format == "auto" and chosen == came_in)
    with tqdm(desc=shown(task.source.name), unit="tile", leave=False, disable=not sys.stderr.isatty()) as bar:
        result = command.compute(data, chosen, is_auto=is_auto, bar=bar)

    target = task.target
    if NAMED.get(target.suffix.lower()) != chosen:
        target = target.with_suffix(SUFFIX[chosen])
    if target.exists() and target.samefile(task.source):
        raise LutraError("the output would overwrite the picture itself; name another place")
    _write_whole(target, result.data)
    return target


def _write_whole(target: Path, data: bytes) -> None:
    """Beside its place, then renamed: a reader sees the old file or the new one, never half."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=".lutra-"
    )  # a name of its own: the target's may be as long as names can be
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
