"""`python -m models.train NAME` trains, `... evaluate` measures, `... plot` and `... sheet` draw what came out.

It reads the command line and calls the loop, the evaluation or the drawing; nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RECIPES = ("liif", "liif-real", "lut3d")


def main(argv: list[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else argv
    commands: dict[str, Callable[[list[str]], None]] = {}
    commands.get(words[0] if words else "", train)(words)


def train(words: list[str]) -> None:
    arguments = read_arguments(words)
    torch.set_num_threads(arguments.threads)
    from models.train import loop

    recipe = make_recipe(arguments)
    options = loop.Options(
        data=arguments.data,
        out=arguments.out or Path("runs") / arguments.name,
        device=arguments.device,
        seed=arguments.seed,
        resume=arguments.resume,
        init=arguments.init,
        cache=arguments.cache,
    )
    path, finished = loop.train(recipe, options)
    print(path if finished else f"{path}; stopped before its end, go on with the same command and --resume")


def read_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures, as models/train/data.py says")
    parser.add_argument("--out", type=Path, help="folder of the run, runs/NAME unless told")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--minutes", type=float, help="of training in all; this and the next: the recipe's unless told")
    parser.add_argument("--steps", type=int, help="of training in all, instead of minutes; resumes exactly")
    parser.add_argument("--slice-minutes", type=float, help="stop after so many minutes of this run, to be resumed")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float, help="highest learning rate")
    parser.add_argument("--workers", type=int, help="processes that prepare batches")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="another field of the recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="take up the stopped run in --out")
    parser.add_argument("--init", type=Path, help="weight file to start from")
    parser.add_argument("--cache", type=Path, help="folder that keeps the decoded pictures")
    arguments = parser.parse_args(words)
    try:
        make_recipe(arguments)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def make_recipe(arguments: argparse.Namespace) -> Any:
    """The recipe for the kind of device, with what the command line changes of it. Raises ValueError."""
    module = importlib.import_module(f"models.train.recipes.{arguments.name.replace('-', '_')}")
    told = {name: getattr(arguments, name) for name in ("minutes", "steps", "slice_minutes", "batch", "lr", "workers")}
    budget = module.BUDGETS[torch.device(arguments.device).type]
    recipe = module.Recipe(dataclasses.replace(budget, **{k: v for k, v in told.items() if v is not None}))
    for word in arguments.set:
        name, _, value = word.partition("=")
        recipe = change(recipe, name.split("."), value)
    return recipe


def change(recipe: Any, path: list[str], value: str) -> Any:
    """A copy with one field set, `degradation.jpeg=1` for instance. Raises ValueError."""
    known = [field.name for field in dataclasses.fields(recipe)]
    if path[0] not in known:
        raise ValueError(f"no field {path[0]!r}, known are {', '.join(known)}")
    before = getattr(recipe, path[0])
    if dataclasses.is_dataclass(before) and len(path) > 1:
        return dataclasses.replace(recipe, **{path[0]: change(before, path[1:], value)})
    after = json.loads(value)
    after = tuple(after) if isinstance(after, list) else after
    if len(path) > 1 or not isinstance(after, int | float if isinstance(before, float) else type(before)):
        raise ValueError(f"{path[0]} is {before!r}, which {value} cannot replace")
    return dataclasses.replace(recipe, **{path[0]: after})


if __name__ == "__main__":
    main()
