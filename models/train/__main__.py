"""`python -m models.train NAME` trains, `... slice NAME` a part of it on a machine that is lent for minutes, `...
evaluate`, `... patterns` and `... kinds` measure; `... plot`, `... sheet`, `... crops`, `... cards` and `... grain`
draw what came out.

It reads the command line and calls the loop, the evaluation or the drawing; nothing else.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import importlib
import json
import math
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch

from models.cards import BY_NAME
from models.train import drawing
from models.weights import WeightsError

QUICK_SETS = ("Set5", "CBSD68")  # of what enlarges, and of what restores
RESTORE = "restore"
ALONE = ("kinds", "grain")  # commands whose module reads their words
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main(argv: list[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else argv
    commands = {"evaluate": evaluate, "patterns": patterns, "slice": train_slice, **drawing.COMMANDS}
    command = commands.get(words[0]) if words else None
    try:
        if words and words[0] in ALONE:
            importlib.import_module(f"models.train.{words[0]}").main(words[1:])
        elif command is None:
            train(words)
        else:
            command(words[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, FloatingPointError, WeightsError) as error:
        sys.exit(f"{error}")


def train(words: list[str], began: float | None = None) -> bool:
    """Whether the run has come to its end."""
    arguments = read_arguments(words)
    torch.set_num_threads(arguments.threads)
    from models.train import loop
    from models.train.run import Options

    recipe = make_recipe(arguments)
    options = Options(
        data=arguments.data,
        out=arguments.out or Path("runs") / arguments.name,
        device=arguments.device,
        seed=arguments.seed,
        resume=arguments.resume,
        init=arguments.init,
        cache=arguments.cache,
        began=began,
    )
    path, finished = loop.train(recipe, options)
    if finished and not arguments.no_scores:
        score(arguments.name, path, arguments.data, arguments.device)
    print(path if finished else f"{path}; stopped before its end, go on with the same command and --resume")
    return finished


def train_slice(words: list[str]) -> None:
    """Takes up the run that lies in parts in --state, if there is one, and puts it there again after a slice."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m models.train slice", allow_abbrev=False, epilog="further options: as of `models.train NAME`"
    )
    parser.add_argument("name", choices=recipes())
    parser.add_argument("--state", type=Path, required=True, help="folder that travels: a few files of 8 MiB at most")
    parser.add_argument("--from", type=Path, dest="source", help="folder with the state so far, --state unless told")
    parser.add_argument("--out", type=Path, help="folder of the run here, runs/NAME unless told")
    arguments, more = parser.parse_known_args(words)
    from models.train import checkpoints, slices

    out, source = arguments.out or Path("runs") / arguments.name, arguments.source or arguments.state
    taken = slices.unpack(source, out)
    if not taken and (out / checkpoints.CHECKPOINT).is_file():
        raise FileExistsError(f"{out} holds a run and {source} none: --out names another folder")
    print(f"the run in {source} goes on" if taken else f"{source} holds no run: it begins", flush=True)
    try:
        finished = train([arguments.name, "--out", str(out), "--resume", *more], began)
    finally:
        parts = slices.pack(out, arguments.state) if out.is_dir() else []
    print(f"{len(parts)} files of the run are in {arguments.state}")
    print("it is done" if finished else f"next: the same command again, with {arguments.state} as it is now")


def score(name: str, path: Path, data: Path, device: str) -> None:
    """The scores of a short evaluation into the header of new weights, where the data has benchmarks."""
    from models.train import benchmarks
    from models.train import evaluate as scoring

    there = {*benchmarks.find_sets(data), *(trial.set for trial in benchmarks.noise_trials(data))}
    quick = [] if name == "lut3d" else [QUICK_SETS[BY_NAME[name].task == RESTORE]]
    if not there.issuperset(quick) or not (data / "bench").is_dir():
        return
    rows = measure(name, scoring.read_model(name, path, device)[0], data, device, sets=quick)
    scoring.keep_scores(path, scoring.scores_of(rows, name))


def measure(
    name: str,
    model: Any,
    data: Path,
    device: str,
    sets: Sequence[str] = (),
    scales: Sequence[float] = (),
    jpeg: Sequence[int] = (),
    first: int | None = None,
) -> list[Any]:
    """Rows of one model, whatever its task is; with `first` of the first pictures alone, where it restores."""
    from models.lut3d import Lut3D
    from models.train import benchmarks, met, restoration
    from models.train import evaluate as scoring

    if isinstance(model, Lut3D):
        return scoring.evaluate_retoucher(name, model, data, sets or scoring.RETOUCHED_SETS)
    if BY_NAME[name].task == RESTORE:
        trials = [*benchmarks.published_trials(data, jpeg), *met.plan(data)]
        return restoration.evaluate_restorer(name, model, benchmarks.choose_trials(trials, sets, data), device, first)
    return scoring.evaluate_upscaler(name, model, scoring.plan(data, sets, scales, jpeg), device)


def evaluate(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train evaluate", allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="a model; all that have weights unless told")
    parser.add_argument("--data", type=Path, required=True, help="a folder of sets, or with bench/ and weights/")
    parser.add_argument("--weights", type=Path, help="weight file, the served one unless told")
    parser.add_argument("--sets", nargs="+", default=[], help="names of folders; all unless told")
    parser.add_argument("--scales", nargs="+", type=float, default=[], help="2 3 4, and 6 8 on Set5 and Set14")
    parser.add_argument("--jpeg", nargs="+", type=int, default=[], help="qualities of what is put in, 0: no JPEG")
    parser.add_argument("--first", type=int, help="a look at so many pictures of each set that is restored, not kept")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--keep", action="store_true", help="write the scores into the header of --weights")
    parser.add_argument(
        "--write", action="store_true", help="write RESULTS.md, results/NAME.json and the cards' scores"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(words)
    if arguments.keep and arguments.weights is None:
        parser.error("--keep needs --weights")
    if arguments.first is not None and (arguments.keep or arguments.write or arguments.first < 1):
        parser.error("--first takes 1 or more pictures, whose scores are not kept")
    if arguments.weights and arguments.name is None:
        parser.error("--weights needs the name of its model")
    torch.set_num_threads(arguments.threads)
    from models.cards import CARDS

    learnt = [name for name, card in CARDS.items() if card.file is not None]
    if arguments.name:
        evaluate_one(arguments.name, arguments)
        return
    for name in learnt:
        try:
            evaluate_one(name, arguments)
        except FileNotFoundError as error:  # what one model needs another may do without
            print(f"{name}: {error}", file=sys.stderr)


def evaluate_one(name: str, arguments: argparse.Namespace) -> None:
    from models.train import evaluate as scoring
    from models.train import report

    model, sha256 = scoring.read_model(name, arguments.weights, arguments.device, PRECISIONS[arguments.precision])
    chosen = {"sets": arguments.sets, "scales": arguments.scales, "jpeg": arguments.jpeg, "first": arguments.first}
    rows = measure(name, model, arguments.data, arguments.device, **chosen)
    measured = report.make_report(name, sha256, rows, arguments.device, arguments.precision)
    if arguments.keep:
        sha256 = scoring.keep_scores(arguments.weights, scoring.scores_of(rows, name))
        measured = dataclasses.replace(measured, sha256=sha256)
        print(f"{arguments.weights.name}: sha256 {sha256}")
    if arguments.write:
        measured = report.write(measured)
    print(report.table(measured))


def patterns(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train patterns", allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="what enlarges; all learnt ones unless told")
    parser.add_argument("--weights", type=Path, help="weight file of the one model, the served one unless told")
    parser.add_argument("--scales", nargs="+", type=float, default=[], help="2 3 3.7 4 unless told")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and results/patterns/NAME.json")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(words)
    from models.cards import CARDS, upscale

    known = [card.name for card in upscale.ALL]
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"{', '.join(unknown)} do not enlarge, known are {', '.join(known)}")
    if arguments.weights and len(arguments.names) != 1:
        parser.error("--weights needs the name of its model")
    if not all(1 <= scale <= 8 for scale in arguments.scales):
        parser.error("--scales are from 1 to 8")
    torch.set_num_threads(arguments.threads)
    for name in arguments.names or [name for name in known if name in CARDS and CARDS[name].file]:
        judge_patterns(name, arguments)


def judge_patterns(name: str, arguments: argparse.Namespace) -> None:
    from models.train import evaluate as scoring
    from models.train import patterns, report

    model, sha256 = scoring.read_model(name, arguments.weights, arguments.device, PRECISIONS[arguments.precision])
    scales = tuple(arguments.scales) or patterns.SCALES
    rows, off_centre = patterns.judge(name, model, scales, arguments.device)
    where = (report.describe_device(arguments.device), arguments.precision, report.today())
    found = report.PatternReport(name, sha256, *where, scales, tuple(rows), off_centre)
    if arguments.write:
        report.write_patterns(found)
    print(report.patterns_table(found), f"spots move by at most {off_centre:.3f} input pixels", sep="\n", flush=True)


def recipes() -> list[str]:
    """Names of what can be trained: a file each in `models/train/recipes`."""
    folder = Path(__file__).parent / "recipes"
    return sorted(path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py"))


def read_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__, allow_abbrev=False)
    parser.add_argument("name", choices=recipes())
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
    parser.add_argument("--no-scores", action="store_true", help="do not measure the new weights at the end")

    arguments = parser.parse_args(words)
    try:
        make_recipe(arguments)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def make_recipe(arguments: argparse.Namespace) -> Any:
    """The recipe for the kind of device, with what the command line changes of it. Raises ValueError."""
    module = importlib.import_module(f"models.train.recipes.{arguments.name.replace('-', '_')}")
    given = {name: getattr(arguments, name) for name in ("minutes", "steps", "slice_minutes", "batch", "lr", "workers")}
    kind = torch.device(arguments.device).type
    budget = dataclasses.replace(module.BUDGETS[kind], **{k: v for k, v in given.items() if v is not None})
    configs = getattr(module, "CONFIGS", None)  # of recipes whose network is another on another kind of device
    recipe = module.Recipe(budget, config=configs[kind]) if configs else module.Recipe(budget)
    for word in arguments.set:
        name, _, value = word.partition("=")
        recipe = change(recipe, name.split("."), value)
    check(recipe.budget)
    return recipe


def check(budget: Any) -> None:
    """Raises ValueError for a budget that nothing can be learnt with."""
    for name in ("minutes", "steps", "slice_minutes", "batch", "lr", "patch"):
        value = getattr(budget, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be more than 0, not {value}")
    if budget.workers < 0:
        raise ValueError(f"workers must not be less than 0, not {budget.workers}")
    if budget.decay is not None and not 0 < budget.decay <= 1:
        raise ValueError(f"decay is a share of the budget, more than 0 and at most 1, not {budget.decay}")


def change(recipe: Any, path: list[str], value: str) -> Any:
    """A copy with one field set, `degradation.jpeg=1` for instance; values as in JSON or Python. Raises ValueError."""
    known = {field.name: field.type for field in dataclasses.fields(recipe)}
    if path[0] not in known:
        raise ValueError(f"no field {path[0]!r}, known are {', '.join(known)}")
    before = getattr(recipe, path[0])
    if dataclasses.is_dataclass(before) and len(path) > 1:
        return dataclasses.replace(recipe, **{path[0]: change(before, path[1:], value)})
    hint = get_type_hints(type(recipe))[path[0]]
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    after = value if str in kinds else read_value(value)
    if len(path) > 1 or not any(fits(after, kind) for kind in kinds):
        raise ValueError(f"{path[0]} is {before!r}, which {value} cannot replace: {known[path[0]]} is expected")
    return dataclasses.replace(recipe, **{path[0]: after})


def read_value(word: str) -> Any:
    """What it spells in JSON (`true`, `[1, 2]`) or in Python (`True`, `None`), a list as a tuple; else the word."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, TypeError):
            value = read(word)
            return tuple(value) if isinstance(value, list) else value
    return word


def fits(value: Any, kind: Any) -> bool:
    """Whether a field of this type can hold it: a whole number also where a float is meant, never True for a number."""
    wanted = get_origin(kind) or kind
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


if __name__ == "__main__":
    main()
