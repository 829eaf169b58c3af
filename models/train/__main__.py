"""`python -m models.train NAME --data DIR --out DIR --minutes M` trains; `... evaluate NAME --data DIR` measures.

It reads the command line and calls the loop or the evaluation; nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import torch

RECIPES = ("liif", "lut3d")


def main(argv: list[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["evaluate"]:
        evaluate(words[1:])
    else:
        train(words)


def train(words: list[str]) -> None:
    arguments = read_arguments(words)
    torch.set_num_threads(arguments.threads)
    from models.train import loop

    recipe = importlib.import_module(f"models.train.recipes.{arguments.name}").Recipe()
    options = loop.Options(
        data=arguments.data,
        out=arguments.out or Path("runs") / arguments.name,
        minutes=arguments.minutes,
        seed=arguments.seed,
        lr=arguments.lr,
        resume=arguments.resume,
        init=arguments.init,
        steps=arguments.steps,
    )
    print(loop.train(recipe, options))


def evaluate(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train evaluate")
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="folder with bench/ and weights/")
    parser.add_argument("--weights", type=Path, help="weight file, the served one unless told")
    parser.add_argument("--keep", action="store_true", help="write the scores into the header of --weights")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(words)
    if arguments.keep and arguments.weights is None:
        parser.error("--keep needs --weights")
    torch.set_num_threads(arguments.threads)
    from models.train import evaluate as scoring

    scores = scoring.evaluate(arguments.name, arguments.weights, arguments.data)
    print(json.dumps(scores, indent=1))
    if arguments.keep:
        print(scoring.keep_scores(arguments.weights, scores))


def read_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and weights/")
    parser.add_argument("--out", type=Path, help="folder of the run, runs/NAME unless told")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, help="highest learning rate, the recipe's unless told")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="take up the stopped run in --out")
    parser.add_argument("--init", type=Path, help="weight file to start from")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
