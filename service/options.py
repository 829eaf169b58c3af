"""The options of a command on pictures: those of its operation's query, one list for HTTP and command line, and those
that say which files, how, and where they are computed.

A field `max_pixels` is the option `--max-pixels`; its description is the help, its literals are the choices.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from service.file_run import Manner
from service.file_tasks import Wanted
from workers.operations.operation import Operation, Query

Q = TypeVar("Q", bound=Query)

SET_BY_COMPARE = frozenset({"model", "strength", "format", "quality", "metadata", "lossless"})


def add_options(parser: argparse._ActionsContainer, query: type[Query]) -> None:
    """An option for each parameter; what is not given is left to the query's own defaults."""
    _add_fields(parser, query.model_fields)


def _add_fields(parser: argparse._ActionsContainer, fields: Mapping[str, FieldInfo]) -> None:
    for name, field in fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, **_kind_of(field))


def read_query(query: type[Q], arguments: argparse.Namespace) -> Q:
    """The query that the options ask for."""
    return query(**{name: value for name, value in vars(arguments).items() if name in query.model_fields})


def add_file_options(parser: argparse.ArgumentParser, operation: Operation[Any, Any]) -> None:
    """Inputs, output, how it is told, and what else the operation can be asked."""
    parser.add_argument("inputs", nargs="+", metavar="IN", help="picture files or folders; - is standard input")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file for one input, else a folder; - is standard output. Default: beside each picture, "
        "under its name and what was done",
    )
    files = parser.add_argument_group("files")
    files.add_argument("--suffix", metavar="TEXT", help="what stands behind a result's name, for instance -large")
    files.add_argument("--skip-existing", action="store_true", help="leave out what is there already")
    files.add_argument("--recursive", action="store_true", help="folders in folders too")
    files.add_argument("--json", action="store_true", help="a line of JSON for each picture on standard output")
    files.add_argument("-q", "--quiet", action="store_true", help="tell only what went wrong")
    files.add_argument("--url", metavar="URL", help="a running service that does the work; its key: LUTRA_KEY")
    asked = parser.add_argument_group("parameters, as over HTTP")
    add_options(asked, operation.query)
    asked.add_argument(
        "--preset", metavar="NAME", help="parameters of LUTRA_PRESETS_FILE; what is given beside it wins"
    )
    if operation.takes_table:
        asked.add_argument("--lut", type=Path, metavar="FILE.cube", help="a table of your own instead of the model")


def add_compare_options(
    parser: argparse.ArgumentParser, operations: Mapping[str, Operation[Any, Any]], default: str
) -> None:
    """`lutra compare` reads the parameters of each operation but those that it sets itself."""
    parser.add_argument("input", type=Path, metavar="IN", help="a picture file")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="default: IN-compared.html, beside it")
    parser.add_argument("--operation", choices=tuple(operations), default=default, help=f"default: {default}")
    parser.add_argument("--models", metavar="A,B", help="names of lutra models; default: all of the operation")
    parser.add_argument(
        "--strengths",
        metavar="A,B",
        help="each model at each of these; default: 1, or four where one model alone keeps the picture's size",
    )
    known = {name: field for one in operations.values() for name, field in one.query.model_fields.items()}
    fields = {name: field for name, field in known.items() if name not in SET_BY_COMPARE}
    _add_fields(parser.add_argument_group("parameters, as over HTTP"), fields)


def add_rate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with a folder for each variant")
    parser.add_argument("--report", action="store_true", help="tell the scores that there are, and show nothing")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each variant")
    parser.add_argument("--port", type=int, default=0, help="of the page; default: any that is free")


def wanted_of(operation: Operation[Any, Any], query: Query, arguments: argparse.Namespace) -> Wanted:
    """Which files are wanted, as the options of `add_file_options` say."""
    return Wanted(
        inputs=tuple(arguments.inputs),
        output=arguments.output,
        format=query.format,
        formats=operation.formats,
        done=operation.mark(query),
        suffix=arguments.suffix,
    )


def manner_of(arguments: argparse.Namespace) -> Manner:
    return Manner(arguments.recursive, arguments.skip_existing, arguments.json, arguments.quiet)


def _kind_of(field: FieldInfo) -> dict[str, Any]:
    """What argparse wants to know of a field."""
    text = (field.description or "").replace("%", "%%") or None
    kinds = _without_none(field.annotation)
    if kinds == (bool,):
        return {"action": argparse.BooleanOptionalAction, "help": text}
    if len(kinds) == 1 and get_origin(kinds[0]) is Literal:
        return {"type": _speller_of(field), "choices": get_args(kinds[0]), "help": text}
    return {"type": _reader_of(field), "metavar": _range_of(field), "help": text}


def _reader_of(field: FieldInfo) -> Callable[[str], Any]:
    """Text to value by the field's own rules."""
    kind: Any = Annotated[field.annotation, field]

    def read(text: str) -> Any:
        rules: TypeAdapter[Any] = TypeAdapter(
            kind, config=Query.model_config
        )  # made late: `lutra --help` reads nothing
        try:
            return rules.validate_python(text)
        except ValidationError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error.errors()[0]['msg']}") from None

    return read


def _speller_of(field: FieldInfo) -> Callable[[str], Any]:
    """Text to the choice that it is another spelling of, as HTTP takes `JPG`; argparse refuses what is none."""
    read = _reader_of(field)

    def spell(text: str) -> Any:
        try:
            return read(text)
        except argparse.ArgumentTypeError:
            return text

    return spell


def _without_none(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(kind for kind in get_args(annotation) if kind is not types.NoneType)
    return (annotation,)


def _range_of(field: FieldInfo) -> str | None:
    """`0..1` of a number that has both bounds."""
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    return f"{bounds['ge']}..{bounds['le']}" if len(bounds) == 2 else None
