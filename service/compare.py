"""`lutra compare`: one picture by every model that enlarges, side by side on one HTML page that needs nothing else.

Under each what it took: seconds of computing and encoding, here and now, and the bytes of its PNG.
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
from typing import TYPE_CHECKING

from service.atomic import write_whole
from service.file_run import Asked
from service.folders import shown
from service.options import read_query
from service.presets import installation_of
from service.reports import Better
from workers.errors import LutraError, ParameterError
from workers.operations import OPERATIONS
from workers.operations.choice import UPSCALE
from workers.operations.operation import Query
from workers.pictures import imageio
from workers.settings import Settings

if TYPE_CHECKING:
    from service.files import Command


@dataclass(frozen=True)
class Shown:
    """A model's picture and the seconds that it took; or why there is none."""

    model: str
    title: str
    better: Better | None
    seconds: float = 0.0
    error: str = ""


def run_on_all(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the page; exit status. Raises LutraError."""
    from service.files import prepare

    operation = OPERATIONS[UPSCALE]
    query: Query = read_query(operation.query, arguments).model_copy(update={"format": "png"})
    names = _names(settings, arguments.models)
    try:
        data = arguments.input.read_bytes()
    except OSError as error:
        raise LutraError(f"{shown(arguments.input)}: {error.strerror or error}") from None
    header = imageio.probe(data)
    command = prepare(operation, query, settings, arguments)
    pictures = [_by(name, command, data) for name in names]
    if not any(one.better for one in pictures):
        raise LutraError(f"no model could do it: {pictures[0].error}")
    output = arguments.output or arguments.input.with_name(f"{arguments.input.stem}-compared.html")
    about = f"{header.width}x{header.height}, {len(data):,} bytes, by {len(pictures)} models."
    write_whole(output, _page(shown(arguments.input.name), about, pictures).encode())
    print(shown(output))
    return 0


def _names(settings: Settings, asked: str | None) -> list[str]:
    """The models to show, the cheapest first. Raises ParameterError."""
    served = {name: card for name, card in installation_of(settings).models.items() if card.task == UPSCALE}
    if asked is None:
        return sorted(served, key=lambda name: served[name].cpu_s_per_mp)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    unknown = [name for name in names if name not in served]
    if unknown or not names:
        raise ParameterError(f"no model is named {', '.join(unknown) or asked!r}; known are {', '.join(served)}")
    return names


def _by(name: str, command: Command, data: bytes) -> Shown:
    from service.files import load

    title = command.at.models[name].title
    print(f"lutra: {name}", file=sys.stderr)
    try:
        load(command.engine, name)
        begun = time.monotonic()
        asked = replace(command, query=command.query.model_copy(update={"model": name}))
        better = asked.compute(Asked(data, "png", False), lambda done, total: None)
        return Shown(name, title, better, time.monotonic() - begun)
    except LutraError as error:
        return Shown(name, title, None, error=error.message)


def _page(name: str, about: str, pictures: list[Shown]) -> str:
    template = files("service").joinpath("compare.html").read_text(encoding="utf-8")
    facts = {"title": html.escape(name), "about": html.escape(about), "figures": "".join(map(_figure, pictures))}
    return re.sub(r"\{\{(\w+)\}\}", lambda place: facts[place[1]], template)


def _figure(one: Shown) -> str:
    name, title = html.escape(one.model), html.escape(one.title)
    if one.better is None:
        return f"<figure><figcaption><b>{name}</b> {title}<br>{html.escape(one.error)}</figcaption></figure>"
    source = f"data:image/png;base64,{base64.b64encode(one.better.data).decode()}"
    size = f"{one.better.width}x{one.better.height}"
    told = f"{size}, {one.seconds:.2f} s, {len(one.better.data):,} bytes"
    return (
        f'<figure><div class="view" tabindex="0"><img src="{source}" alt="by {name}" draggable="false"></div>'
        f"<figcaption><b>{name}</b> {title}<br>{told}</figcaption></figure>"
    )
