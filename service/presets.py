"""Presets: parameters by name, from the JSON file that LUTRA_PRESETS_FILE names; read once, at the start.

    {"web": {"format": "webp", "quality": 80},
     "print": {"upscale": {"width": 3000, "model": "lmliif"}, "enhance": {"strength": 0.7}}}

The parameters stand there as in a URL. They are of each operation that has them all (a model among them), or of those
that are named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from workers.errors import LutraError, ParameterError, UnknownPreset
from workers.operations import OPERATIONS
from workers.operations.choice import Limits, served_models
from workers.operations.operation import Installation, Operation, Query
from workers.settings import Settings

Q = TypeVar("Q", bound=Query)
Operations = Mapping[str, Operation[Any, Any]]
Parameters = Mapping[str, Any]

LONGEST_NAME = 64


@dataclass(frozen=True)
class Presets:
    """`by_name`: the parameters of a preset for each operation that it is of."""

    by_name: Mapping[str, Mapping[str, Parameters]] = field(default_factory=dict)

    def apply(self, operation: Operation[Q, Any], asked: Query, name: str | None) -> Q:
        """What is asked for, with the preset's parameters where nothing else is. Raises UnknownPreset."""
        if name is None and isinstance(asked, operation.query):
            return asked
        given = {one: getattr(asked, one) for one in asked.model_fields_set if one in operation.query.model_fields}
        preset = {} if name is None else self._parameters(operation, name)
        ways = operation.query.ways
        other = {one for way in ways if way & given.keys() for one in frozenset().union(*ways) - way}
        return operation.query(**{one: value for one, value in preset.items() if one not in other} | given)

    def _parameters(self, operation: Operation[Any, Any], name: str) -> Parameters:
        known = [one for one, operations in self.by_name.items() if operation.name in operations]
        if name not in known:
            told = f"known are {', '.join(known)}" if known else "there are none"
            raise UnknownPreset(
                f"no preset of {operation.name} is named {name[:LONGEST_NAME]!r}; {told}", allowed=known
            )
        return self.by_name[name][operation.name]


def read_presets(path: Path | None, operations: Operations = OPERATIONS, at: Installation | None = None) -> Presets:
    """The presets of a file, or none; each of what can be asked `at` this installation, where that is given.

    Raises ParameterError, which names the file, the preset and the field.
    """
    if path is None:
        return Presets()
    where = f"LUTRA_PRESETS_FILE={str(path)!r}"
    try:
        text = path.read_text(encoding="utf-8-sig")  # as `service.keys` reads its file
        stored = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)  # numbers as they stand
    except OSError as error:
        raise ParameterError(f"{where}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        raise ParameterError(f"{where}: is no JSON: {error}") from None
    if not isinstance(stored, dict):
        raise ParameterError(f"{where}: has to be an object, parameters by name")
    return Presets(
        {name: _read_preset(value, f"{where}, {name!r}", name, operations, at) for name, value in stored.items()}
    )


def installation_of(settings: Settings) -> Installation:
    """What is served here, without a speed that was measured: enough to tell what no picture could be asked with."""
    limits = Limits(settings.max_scale, settings.max_output_pixels)
    return Installation(served_models(settings.models, settings.weights_dir), limits, {})


def _read_preset(
    value: object, where: str, name: str, operations: Operations, at: Installation | None
) -> dict[str, Parameters]:
    if not 0 < len(name) <= LONGEST_NAME:
        raise ParameterError(f"{where}: a name has 1 to {LONGEST_NAME} letters")
    if not isinstance(value, dict):
        raise ParameterError(f"{where}: has to be an object of parameters")
    are_named = bool(value) and value.keys() <= operations.keys()
    read: dict[str, Parameters] = {}
    faults: list[tuple[int, str]] = []
    for operation in (operations[one] for one in (value if are_named else operations)):
        try:
            asked = operation.query.model_validate(value[operation.name] if are_named else value)
            if at is not None:
                _check(operation, asked, at)
            read[operation.name] = asked.model_dump(exclude_unset=True)
        except LutraError as error:  # the operation has all of the parameters: it was meant before any that has not
            faults.append((0, f": {error.message}"))
        except ValidationError as error:
            faults.append((error.error_count(), _in_words(operation, error)))
    if faults and (are_named or not read):
        raise ParameterError(
            f"{where}{min(faults, key=itemgetter(0))[1]}"
        )  # of the operation that was meant most likely
    return read


def _check(operation: Operation[Q, Any], asked: Q, at: Installation) -> None:
    """Raises LutraError for a model that is not served, and for sizes where they are all there: some may be left to
    whoever asks.
    """
    if asked.model is not None:
        operation.choose(asked.model, at.models)
    if any(way <= asked.model_fields_set for way in operation.query.ways):
        operation.check(asked, at)


def _in_words(operation: Operation[Any, Any], error: ValidationError) -> str:
    """The first thing that is wrong with the parameters of an operation."""
    first = error.errors(include_url=False)[0]
    name = "".join(f", {part}" for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{name}: {operation.name} has no such parameter; known are {', '.join(operation.query.model_fields)}"
    return f"{name}: {first['msg']}"
