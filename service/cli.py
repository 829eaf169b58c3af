"""The command `lutra`: run the service, better pictures without it or by one that runs, and tell what is there.

Exit status: 0 done, 1 some file failed or the service could not start (each named), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.cards import available
from service import parts, streams
from service.examples import LINKS, examples_of
from service.folders import shown
from service.options import add_compare_options, add_file_options, add_rate_options
from service.usage import Parser
from workers import devices, log
from workers.errors import LutraError, ParameterError
from workers.operations import OPERATIONS
from workers.operations.choice import UPSCALE
from workers.operations.operation import Operation

if TYPE_CHECKING:
    from workers.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and turn errors that a user can cause into one sentence."""
    streams.prepare()
    arguments = build_parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        parts.need(*(arguments.needs if getattr(arguments, "url", None) is None else (parts.CLIENT,)))
        status = command(arguments)
        sys.stdout.flush()
        return status
    except ParameterError as error:
        print(f"lutra: {error.message}", file=sys.stderr)
        return 2
    except LutraError as error:
        print(f"lutra: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:  # of standard output: what has a name is told where it is opened
        streams.abandon_output()
        if not isinstance(error, BrokenPipeError):
            print(f"lutra: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _joined(argv: Sequence[str]) -> list[str]:
    """With `--suffix -large` as one word: argparse would take its value for an option."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] == "--suffix":
            words[-1] = f"--suffix={word}"
        else:
            words.append(word)
    return words


def entrance() -> None:
    """For `python -m service.cli`."""
    sys.exit(main())


def build_parser(operations: Mapping[str, Operation[Any, Any]] = OPERATIONS) -> argparse.ArgumentParser:
    """All commands with their options, one of them for each operation."""
    parser = Parser(
        "lutra",
        description="One HTTP POST takes a photo in and gives a better photo back.",
        epilog=f"{examples_of('')}\n\n{LINKS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lutra {version('lutra')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, *needs: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=examples_of(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(run=run, needs=needs)
        return sub

    _add_servers(command)
    for operation in operations.values():
        run = partial(run_operation, operation)
        add_file_options(command(operation.name, run, operation.help, "worker"), operation)
    sides = "A picture by every model of an operation, side by side on one HTML page."
    add_compare_options(command("compare", run_compare, sides, "worker"), operations, UPSCALE)
    add_rate_options(command("rate", run_rate, "Score pictures by eye, without knowing what made them."))
    _add_facts(command)
    _add_convert(command("convert", run_convert, "Convert a published checkpoint to our weight file.", "worker"))
    _add_key(command("key", run_key_new, "API keys."))
    _add_helps(command, parser, commands.choices)
    return parser


Command = Callable[..., argparse.ArgumentParser]


def _add_servers(command: Command) -> None:
    up = "Serve: private Redis if LUTRA_REDIS_URL is not set, worker and gateway, until Ctrl-C."
    for name, run, text, needs in (
        ("up", run_up, up, ("gateway", "worker")),
        ("gateway", run_gateway, "Serve HTTP only; LUTRA_REDIS_URL says where the queue is.", ("gateway",)),
        ("worker", run_worker, "Work off the queue only; LUTRA_REDIS_URL says where it is.", ("worker",)),
    ):
        sub = command(name, run, text, *needs)
        if name != "worker":
            sub.add_argument("--bind", help="address (LUTRA_BIND)")
            sub.add_argument("--port", type=int, help="port (LUTRA_PORT)")


def _add_facts(command: Command) -> None:
    models = command("models", run_models, "List the models.")
    models.add_argument("--url", metavar="URL", help="of a running service; its key: LUTRA_KEY")
    doctor = command(
        "doctor", run_doctor, "Tell what is there (device, kernels, weights, Redis) and why something is not."
    )
    for parser in (models, doctor):
        parser.add_argument("--json", action="store_true", help="a line of JSON for each")


def _add_helps(command: Command, parser: argparse.ArgumentParser, commands: Mapping[str, Any]) -> None:
    completes = "Print what completes commands in a shell."
    shells = command("completion", partial(run_completion, parser), completes, "completion")
    shells.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    told = command("help", partial(run_help, parser, commands), "Show how a command is used.")
    told.add_argument("command", nargs="?", metavar="COMMAND")


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="the published file or files")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.safetensors")
    parser.add_argument("--kind", help="what it is; default: told from its keys")


def _add_key(parser: argparse.ArgumentParser) -> None:
    text = """Make an API key of 256 random bits and print it, this once: only its hash is kept. With --file or
    LUTRA_API_KEYS_FILE the line for it is added to that file, which a running gateway reads by itself; without, the
    line is printed behind the key. A name that is there gets one more key; the old one is good until its
    line is removed."""
    new = parser.add_subparsers(metavar="new", required=True).add_parser(
        "new", help="make a key and print it once", description=text, allow_abbrev=False
    )
    new.add_argument("name", metavar="NAME", help="of whoever gets the key: letters, digits, . _ -")
    new.add_argument("--file", type=Path, metavar="FILE.jsonl", help="default: LUTRA_API_KEYS_FILE")


def _settings(arguments: argparse.Namespace) -> Settings:
    from workers.settings import read_settings  # a fifth of what `lutra --help` would take

    settings = read_settings(bind=getattr(arguments, "bind", None), port=getattr(arguments, "port", None))
    log.configure(settings.log_level, as_text=settings.log_as_text)
    return settings


def _needed_redis(settings: Settings) -> str:
    if settings.redis_url is None:
        raise ParameterError("LUTRA_REDIS_URL is not set; set it, or use `lutra up`, which brings a private Redis")
    return settings.redis_url


# -- the service -----------------------------------------------------------------------------------------------------


def run_up(arguments: argparse.Namespace) -> int:
    from service.startup import check_files
    from service.supervisor import Supervisor

    settings = _settings(arguments)
    check_files(settings)
    os.environ["LUTRA_BIND"], os.environ["LUTRA_PORT"] = settings.bind, str(settings.port)
    return Supervisor(settings).run()


def run_gateway(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    redis_url = _needed_redis(settings)
    from service.serve import serve

    return serve(settings, redis_url)


def run_worker(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    redis_url = _needed_redis(settings)
    from workers.restart import EXIT_RESTART, restart_in_place

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        status = _work(settings, redis_url)
    else:
        status = _work_in_a_folder(settings, redis_url)
    if status == EXIT_RESTART:
        restart_in_place()
    return status


def _work_in_a_folder(settings: Settings, redis_url: str) -> int:
    """With a folder of its own for the counts of its processes."""
    with tempfile.TemporaryDirectory(prefix="lutra-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            return _work(settings, redis_url)
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _work(settings: Settings, redis_url: str) -> int:
    from workers.worker import run_worker

    return run_worker(settings, redis_url)


# -- pictures and facts ----------------------------------------------------------------------------------------------


def run_operation(operation: Operation[Any, Any], arguments: argparse.Namespace) -> int:
    if arguments.url is not None:
        from service.remote import run_on_service

        return run_on_service(operation, arguments)
    devices.share_cores_politely()
    from service.files import run_on_files

    return run_on_files(operation, _settings(arguments), arguments)


def run_compare(arguments: argparse.Namespace) -> int:
    devices.share_cores_politely()
    from service.compare import run_on_all

    return run_on_all(_settings(arguments), arguments)


def run_rate(arguments: argparse.Namespace) -> int:
    from service.rate import rate

    return rate(arguments)


def run_models(arguments: argparse.Namespace) -> int:
    for card in _models(arguments.url):
        if arguments.json:
            print(json.dumps(card))
            continue
        scale = f"x{card['min_scale']:g} to x{card['max_scale']:g}" if card["max_scale"] > 1 else ""
        facts = f"{card['name']:12} {card['task']:8} {card['parameters']:>10,} parameters  {scale:10}"
        kinds = f"; only: {', '.join(card['kinds'])}" if card.get("kinds") else ""  # a service before 0.2 tells none
        print(f"{facts} {card['title']} ({card['paper']}){kinds}")
    return 0


def _models(url: str | None) -> list[dict[str, Any]]:
    """The cards, as a service at `url` tells them, or what there is here."""
    if url is not None:
        from service.remote import models_of

        return models_of(url)
    from workers.settings import read_settings

    settings = read_settings()
    told = ("name", "task", "title", "paper", "parameters", "licence", "weights_licence")
    can = ("min_scale", "fixed_scales", "kinds")
    return [
        {
            **{name: getattr(card, name) for name in (*told, *can)},
            "max_scale": min(card.max_scale, settings.max_scale),
            "scores": card.measured.scores,
        }
        for card in available(settings.weights_dir).values()
    ]


def run_doctor(arguments: argparse.Namespace) -> int:
    from service.doctor import examine

    return examine(_settings(arguments), as_json=arguments.json)


def run_help(
    parser: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser], arguments: argparse.Namespace
) -> int:
    """`lutra help upscale` is `lutra upscale --help`."""
    name = arguments.command
    if name is not None and name not in commands:
        raise ParameterError(f"no command is named {name!r}; there are {', '.join(commands)}")
    print((parser if name is None else commands[name]).format_help(), end="")
    return 0


def run_completion(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from service.completion import script_of

    print(script_of(parser, arguments.shell))
    return 0


def run_key_new(arguments: argparse.Namespace) -> int:
    from service import keys

    path = arguments.file or Path(os.environ.get("LUTRA_API_KEYS_FILE", ""))
    if path.name:
        print(keys.add_key(path, arguments.name))
        print(f"lutra: added {arguments.name} to {shown(path)}; the key is not shown again", file=sys.stderr)
    else:
        key = keys.new_key()
        print(key, keys.new_line(arguments.name, key), sep="\n")
        print("lutra: the key is not shown again; the line belongs into LUTRA_API_KEYS_FILE", file=sys.stderr)
    return 0


def run_convert(arguments: argparse.Namespace) -> int:
    from models import convert
    from models.weights import WeightsError

    try:
        kind = arguments.kind or convert.detect_kind(arguments.inputs)
        sha256 = convert.convert(kind, arguments.inputs, arguments.output)
    except (WeightsError, OSError) as error:
        raise LutraError(str(error)) from None
    print(f"{shown(arguments.output)}: {kind}, sha256 {sha256}")
    return 0


if __name__ == "__main__":
    entrance()
