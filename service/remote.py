"""The commands on pictures by a running service (`--url`), through the package lutra-client; nothing is computed here.

The key of a service that keeps keys is LUTRA_KEY, never an option: other processes could read it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lutra_client

from service.file_run import Asked, run_on_tasks
from service.folders import shown
from service.options import manner_of, read_query, wanted_of
from service.reports import Better
from workers.errors import LutraError, ParameterError
from workers.operations.operation import Operation, Tick
from workers.pictures import imageio

KEY = "LUTRA_KEY"


@dataclass(frozen=True)
class Remote:
    """What is asked of the service for every file; `parameters` are those that were given, by their names."""

    operation: Operation[Any, Any]
    client: lutra_client.Lutra
    parameters: Mapping[str, Any]
    lut: bytes | None

    def compute(self, asked: Asked, tick: Tick) -> Better:
        """The result for one file's bytes. Raises LutraError, ParameterError for what the service cannot be asked."""
        is_auto = asked.is_auto and self.parameters.get("format", "auto") == "auto"
        options = {**self.parameters, "format": None if is_auto else asked.format, "lut": self.lut}

        def tell(progress: lutra_client.Progress) -> None:
            tick(progress.done, progress.total)

        try:
            request = self.client.ask(
                self.operation.name, asked.data, {**options, "lut": self.lut, "on_progress": tell}
            )
            result = request.result()
        except lutra_client.ParameterError as error:
            is_table = error.members.get("parameter") == "lut"  # a file of the user's, as the picture is one
            raise (LutraError if is_table else ParameterError)(str(error)) from None
        except lutra_client.LutraError as error:
            raise LutraError(str(error)) from None
        if result.format not in imageio.FORMATS_OUT:
            return Better(result.data, result.format, 0, 0, result.model)
        header = imageio.probe(result.data)
        return Better(result.data, result.format, header.width, header.height, result.model)


def run_on_service(operation: Operation[Any, Any], arguments: argparse.Namespace) -> int:
    """Every input through the service at `arguments.url`; exit status. Raises LutraError."""
    query = read_query(operation.query, arguments)
    wanted = wanted_of(operation, query, arguments)
    lut, preset = _read(getattr(arguments, "lut", None)), getattr(arguments, "preset", None)
    parameters = {**query.model_dump(exclude_unset=True), "preset": preset}
    with connected(arguments.url) as client:
        remote = Remote(operation, client, parameters, lut)
        return run_on_tasks(wanted, manner_of(arguments), lambda: remote.compute)


def connected(url: str) -> lutra_client.Lutra:
    """Raises ParameterError for what is no address."""
    if not url.startswith(("http://", "https://")):
        raise ParameterError(f"--url {url!r} is no address; one begins with http:// or https://")
    return lutra_client.Lutra(url, os.environ.get(KEY))


def models_of(url: str) -> list[dict[str, Any]]:
    """The cards of the models that the service has. Raises LutraError."""
    with connected(url) as client:
        try:
            return client.models()
        except lutra_client.LutraError as error:
            raise LutraError(str(error)) from None


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise LutraError(f"{shown(path or '')}: {error.strerror or error}") from None
