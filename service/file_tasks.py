"""What the command line is to do: picture files (or standard input), and where the better ones go.

Without `-o` a result goes beside its picture, under its name and what was done: `photo-x3.7.png`. With a folder it
keeps its name, and its place below the folder that was named. `-` is standard input or output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.folders import FORMAT_OF, FolderEntry, shown
from workers.errors import LutraError, ParameterError
from workers.pictures import imageio

SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "avif": ".avif", "tiff": ".tif", "cube": ".cube"}
NAMED = {**FORMAT_OF, ".cube": "cube"}  # what the name of a result says
STANDARD = "-"


@dataclass(frozen=True)
class FileTask:
    """One picture and where its better version goes; `format` auto: as the name says, else as it came in.

    `source` None: standard input; `target` None: standard output.
    """

    source: Path | None
    target: Path | None
    format: str

    @property
    def name(self) -> str:
        """Of the picture, for people."""
        return "standard input" if self.source is None else shown(self.source)


@dataclass(frozen=True)
class Wanted:
    """What is asked of all results. `formats`: those that there are; `format` auto: none was named.

    `output` None: none was named, either. `suffix` stands behind each name; `done`: what stands there by itself.
    """

    inputs: tuple[str, ...]
    output: str | None
    format: str
    formats: tuple[str, ...]
    done: str
    suffix: str | None = None

    @property
    def known(self) -> dict[str, str]:
        """Formats by the endings of files."""
        return {ending: name for ending, name in NAMED.items() if name in self.formats}

    @property
    def names_a_file(self) -> bool:
        """By its ending: no folder, or one that is not there yet."""
        path = Path(self.output or "")
        return path.suffix.lower() in self.known and not path.is_dir()


def check(wanted: Wanted) -> None:
    """Raises ParameterError or LutraError for what can be told to be wrong before a picture is looked at."""
    if STANDARD in wanted.inputs and len(wanted.inputs) > 1:
        raise ParameterError("standard input is one picture; name no other beside it")
    if wanted.output is None:
        return
    output = Path(wanted.output)
    if wanted.output == STANDARD or wanted.names_a_file:
        if wanted.suffix is not None:
            raise ParameterError(f"--suffix goes with a folder, and {shown(wanted.output)} is none")
        if len(wanted.inputs) > 1:
            raise ParameterError(f"{shown(wanted.output)} is one place; for several pictures name a folder")
    elif output.suffix and not output.is_dir():
        known = ", ".join(sorted(wanted.known))
        raise ParameterError(f"no format is named {shown(output.suffix)}; known are {known}")
    elif STANDARD in wanted.inputs:
        raise ParameterError(f"standard input has no name to go by in the folder {shown(output)}; name a file")
    if wanted.names_a_file:
        named = wanted.known[output.suffix.lower()]
        if wanted.format not in ("auto", named):
            raise LutraError(f"the output is named {shown(output.suffix)} but --format says {wanted.format}")


def plan_tasks(entries: list[FolderEntry], wanted: Wanted) -> tuple[list[FileTask], list[FolderEntry]]:
    """What goes where, and what is left out: results that an earlier run of the same command put beside its pictures.

    Raises LutraError where the output cannot be what was asked.
    """
    if wanted.inputs == (STANDARD,):
        return [_from_standard_input(wanted)], []
    if not entries:
        raise LutraError("no picture files were named")
    is_one_file = len(entries) == 1 and not Path(wanted.inputs[0]).is_dir()
    if wanted.output == STANDARD or wanted.names_a_file:
        if not is_one_file:
            raise ParameterError(f"{shown(wanted.output or '')} is one place; for several pictures name a folder")
        return [_into(entries[0].path, wanted)], []
    output = None if wanted.output is None else Path(wanted.output)
    if output is not None and output.exists() and not output.is_dir():
        raise LutraError(f"{shown(output)} is a file, and a folder is needed for more than one picture")
    targets = [_target(entry, output, wanted) for entry in entries]
    results = [entry for entry in entries if entry.was_found and entry.path in targets] if output is None else []
    pairs = zip(entries, targets, strict=True)
    tasks = [FileTask(entry.path, target, wanted.format) for entry, target in pairs if entry not in results]
    _refuse_twins(tasks)
    return tasks, results


def _from_standard_input(wanted: Wanted) -> FileTask:
    if wanted.output is None or wanted.output == STANDARD:
        return FileTask(None, None, wanted.format)
    return FileTask(None, Path(wanted.output), wanted.known[Path(wanted.output).suffix.lower()])


def _into(source: Path, wanted: Wanted) -> FileTask:
    if wanted.output == STANDARD:
        return FileTask(source, None, wanted.format)
    output = Path(wanted.output or "")
    return FileTask(source, output, wanted.known[output.suffix.lower()])


def _target(entry: FolderEntry, output: Path | None, wanted: Wanted) -> Path:
    """The result's place: its name is the picture's own where that names the format that will leave."""
    source = entry.path
    named = NAMED.get(source.suffix.lower())
    came_in = entry.format or named or "png"  # what cannot be read has a name all the same, for the error
    chosen = imageio.output_format(came_in) if wanted.format == "auto" else wanted.format
    ending = source.suffix if chosen == named else SUFFIX[chosen]
    by_itself = wanted.done if output is None else ""
    name = f"{source.stem}{by_itself if wanted.suffix is None else wanted.suffix}{ending}"
    return (source.parent if output is None else output / entry.below) / name


def _refuse_twins(tasks: Iterable[FileTask]) -> None:
    """Two pictures of one name would overwrite each other."""
    seen: dict[str, FileTask] = {}
    for task in tasks:
        twin = seen.setdefault(str(task.target).lower(), task)
        if twin is not task and task.target is not None:
            raise LutraError(f"{twin.name} and {task.name} would both become {shown(task.target.name)}")
