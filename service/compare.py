"""`lutra compare`: one picture by every model of an operation, side by side on one HTML page that needs nothing else.

Under each what it took: seconds of computing and encoding, here and now, and the bytes of its PNG. Beside what keeps
its size stands the picture as it came; a model that is alone is shown at several strengths.
"""

from __future__ import annotations

import argparse
import base64
import html
import re
import sys
import time
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from service.atomic import write_whole
from service.file_run import Asked
from service.folders import shown
from service.options import read_query
from service.presets import installation_of
from service.reports import Better
from workers.errors import LutraError, ParameterError
from workers.operations import OPERATIONS
from workers.operations.operation import Operation, Query
from workers.pictures import imageio
from workers.settings import Settings

if TYPE_CHECKING:
    from service.files import Command

QUARTERS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Shown:
    """A picture and what there is to say of it; or why there is none."""

    name: str
    title: str
    better: Better | None
    told: str


def run_on_all(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the page; exit status. Raises LutraError."""
    from service.files import prepare

    operation = OPERATIONS[arguments.operation]
    query = _query_of(operation, arguments)
    names = _names(operation, settings, arguments.models)
    strengths = _strengths(operation, names, arguments.strengths)
    try:
        data = arguments.input.read_bytes()
    except OSError as error:
        raise LutraError(f"{shown(arguments.input)}: {error.strerror or error}") from None
    header = imageio.probe(data)
    command = prepare(operation, query, settings, arguments)
    pictures = [_by(name, strength, command, data) for name in names for strength in strengths]
    if not any(one.better for one in pictures):
        raise LutraError(f"no model could do it: {pictures[0].told}")
    if not operation.query.ways:
        pictures.insert(0, _original(names[0], command, data))
    output = arguments.output or arguments.input.with_name(f"{arguments.input.stem}-compared.html")
    models = f"{len(names)} models" if len(names) > 1 else names[0]
    about = f"{operation.title}: {header.width}x{header.height}, {len(data):,} bytes, by {models}."
    write_whole(output, _page(shown(arguments.input.name), about, pictures).encode())
    print(shown(output))
    return 0


def _query_of(operation: Operation[Any, Any], arguments: argparse.Namespace) -> Query:
    """Raises ParameterError for what is a parameter of other operations alone."""
    fields = operation.query.model_fields
    others = {name for one in OPERATIONS.values() for name in one.query.model_fields if name not in fields}
    for name in vars(arguments):
        if name in others:
            raise ParameterError(f"{operation.name} has no {name}", parameter=name)
    query: Query = read_query(operation.query, arguments).model_copy(update={"format": "png"})
    return query


def _names(operation: Operation[Any, Any], settings: Settings, asked: str | None) -> list[str]:
    """The models to show, the cheapest first. Raises ParameterError."""
    served = {name: card for name, card in installation_of(settings).models.items() if card.task == operation.name}
    if asked is None:
        return sorted(served, key=lambda name: served[name].cpu_s_per_mp)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    unknown = [name for name in names if name not in served]
    if unknown or not names:
        raise ParameterError(f"no model is named {', '.join(unknown) or asked!r}; known are {', '.join(served)}")
    return names


def _strengths(operation: Operation[Any, Any], names: list[str], asked: str | None) -> tuple[float, ...]:
    """Raises ParameterError."""
    if asked is None:
        return QUARTERS if len(names) == 1 and not operation.query.ways else (1.0,)
    try:
        strengths = tuple(float(one) for one in asked.split(","))
    except ValueError:
        raise ParameterError(f"--strengths {asked} are not numbers, as in 0.5,1") from None
    if not all(0 < one <= 1 for one in strengths):
        raise ParameterError(f"--strengths {asked}: each has to be more than 0, at most 1")
    return strengths


def _at(command: Command, model: str, strength: float) -> Command:
    return replace(command, query=command.query.model_copy(update={"model": model, "strength": strength}))


def _by(name: str, strength: float, command: Command, data: bytes) -> Shown:
    from service.files import load

    title = command.at.models[name].title
    label = name if strength == 1 else f"{name}, strength {strength:g}"
    print(f"lutra: {label}", file=sys.stderr)
    try:
        load(command.engine, name)
        begun = time.monotonic()
        better = _at(command, name, strength).compute(Asked(data, "png", False), lambda done, total: None)
        seconds = time.monotonic() - begun
        told = f"{better.width}x{better.height}, {seconds:.2f} s, {len(better.data):,} bytes"
        return Shown(label, title, better, told)
    except LutraError as error:
        return Shown(label, title, None, error.message)


def _original(name: str, command: Command, data: bytes) -> Shown:
    """The picture as it came, as the operation reads it: at no strength nothing is computed."""
    same = _at(command, name, 0.0).compute(Asked(data, "png", False), lambda done, total: None)
    return Shown("original", "as it came", same, f"{same.width}x{same.height}, {len(data):,} bytes")


def _page(name: str, about: str, pictures: list[Shown]) -> str:
    template = files("service").joinpath("compare.html").read_text(encoding="utf-8")
    facts = {"title": html.escape(name), "about": html.escape(about), "figures": "".join(map(_figure, pictures))}
    return re.sub(r"\{\{(\w+)\}\}", lambda place: facts[place[1]], template)


def _figure(one: Shown) -> str:
    name, title, told = map(html.escape, (one.name, one.title, one.told))
    caption = f"<figcaption><b>{name}</b> {title}<br>{told}</figcaption>"
    if one.better is None:
        return f"<figure>{caption}</figure>"
    source = f"data:image/png;base64,{base64.b64encode(one.better.data).decode()}"
    image = f'<img src="{source}" alt="{name}" draggable="false">'
    return f'<figure><div class="view" tabindex="0">{image}</div>{caption}</figure>'
