"""The options of a command out of an operation's query: one list of parameters for HTTP and command line.

A field `max_pixels` is the option `--max-pixels`; its description is the help, its literals are the choices.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from workers.operations.operation import Query

Q = TypeVar("Q", bound=Query)


def add_options(parser: argparse.ArgumentParser, query: type[Query]) -> None:
    """An option for each parameter; what is not given is left to the query's own defaults."""
    for name, field in query.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, **_kind_of(field))


def read_query(query: type[Q], arguments: argparse.Namespace) -> Q:
    """The query that the options ask for."""
    return query(**{name: value for name, value in vars(arguments).items() if name in query.model_fields})


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
        rules: TypeAdapter[Any] = TypeAdapter(kind)  # made when it is needed: `lutra --help` reads nothing
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
