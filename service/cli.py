"""The command `lutra`: run the service, better pictures without it, and tell what is there.

Exit status: 0 done, 1 some file failed or the service could not start (each named), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from models.cards import available
from service.folders import shown
from workers import devices, log
from workers.errors import LutraError, ParameterError
from workers.settings import Settings, read_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and turn errors that a user can cause into one sentence."""
    _escape_what_cannot_be_shown()
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except ParameterError as error:
        print(f"lutra: {error.message}", file=sys.stderr)
        return 2
    except LutraError as error:
        print(f"lutra: {error.message}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _escape_what_cannot_be_shown() -> None:
    """A word that standard output has no letters for must not end a run; standard error escapes by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def entrance() -> None:
    """For `python -m service.cli`."""
    sys.exit(main())


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        "lutra", description="One HTTP POST takes a photo in and gives a better photo back.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"lutra {version('lutra')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        return sub

    for name, run, text in (
        ("up", run_up, "Serve: private Redis if LUTRA_REDIS_URL is not set, worker and gateway, until Ctrl-C."),
        ("gateway", run_gateway, "Serve HTTP only; LUTRA_REDIS_URL says where the queue is."),
        ("worker", run_worker, "Work off the queue only; LUTRA_REDIS_URL says where it is."),
    ):
        sub = command(name, run, text)
        if name != "worker":
            sub.add_argument("--bind", help="address (LUTRA_BIND)")
            sub.add_argument("--port", type=int, help="port (LUTRA_PORT)")
    enhance = command("enhance", run_enhance, "Colour and tone of picture files, without the service.")
    _add_whole(enhance)
    enhance.add_argument("--lut", type=Path, metavar="FILE.cube", help="a table of your own instead of the model")
    _add_whole(command("restore", run_restore, "Noise, rain or haze off picture files, without the service."))
    _add_upscale(command("upscale", run_upscale, "Enlarge picture files, without the service."))
    command("models", run_models, "List the models.")
    command("doctor", run_doctor, "Tell what is there (device, kernels, weights, Redis) and why something is not.")
    _add_convert(command("convert", run_convert, "Convert a published checkpoint to our weight file."))
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="picture files or folders")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="a file for one input, else a folder"
    )
    parser.add_argument("--model", help="a name from `lutra models`")
    parser.add_argument("--format", default="auto", choices=("auto", "jpeg", "png", "webp", "avif", "tiff"))
    parser.add_argument("--quality", type=int, choices=range(1, 101), metavar="1..100")
    parser.add_argument("--metadata", default="keep", choices=("keep", "strip"))
    parser.add_argument(
        "--lossless",
        action=argparse.BooleanOptionalAction,
        help="WebP, AVIF: each pixel as it is (default: where the picture came in so and no format is asked for)",
    )


def _add_whole(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    parser.add_argument(
        "--strength", type=_ratio, default=1.0, metavar="0..1", help="0: unchanged, 1: as the model says"
    )


def _add_upscale(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    parser.add_argument("--scale", help="more than 1, for instance 3.7 or 7/2")
    parser.add_argument("--width", help="pixels")
    parser.add_argument("--height", help="pixels")
    parser.add_argument("--fit", default="inside", choices=("inside", "fill"))
    parser.add_argument("--max-pixels", help="the largest size of at most so many pixels")
    parser.add_argument("--effort", default="best", choices=("fast", "best"))
    parser.add_argument(
        "--strength", type=_ratio, default=1.0, metavar="0..1", help="srgan; 0: the pixels of srresnet, 1: all detail"
    )


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="the published file or files")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.safetensors")
    parser.add_argument("--kind", help="what it is; default: told from its keys")


def _ratio(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside 0 to 1")
    return value


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = read_settings(bind=getattr(arguments, "bind", None), port=getattr(arguments, "port", None))
    log.configure(settings.log_level, as_text=settings.log_as_text)
    return settings


def _needed_redis(settings: Settings) -> str:
    if settings.redis_url is None:
        raise ParameterError("LUTRA_REDIS_URL is not set; set it, or use `lutra up`, which brings a private Redis")
    return settings.redis_url


# -- the service -----------------------------------------------------------------------------------------------------


def run_up(arguments: argparse.Namespace) -> int:
    from service.supervisor import Supervisor

    settings = _settings(arguments)
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
    from workers.process import AGAIN, start_again

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        status = _work(settings, redis_url)
    else:
        status = _work_in_a_folder(settings, redis_url)
    if status == AGAIN:
        start_again()
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


def run_enhance(arguments: argparse.Namespace) -> int:
    devices.share_cores_politely()
    from service.files import enhance_files

    return enhance_files(_settings(arguments), arguments)


def run_restore(arguments: argparse.Namespace) -> int:
    devices.share_cores_politely()
    from service.files import restore_files

    return restore_files(_settings(arguments), arguments)


def run_upscale(arguments: argparse.Namespace) -> int:
    devices.share_cores_politely()
    from service.files import upscale_files

    return upscale_files(_settings(arguments), arguments)


def run_models(arguments: argparse.Namespace) -> int:
    settings = read_settings()
    for card in available(settings.weights_dir).values():
        highest = min(card.max_scale, settings.max_scale)
        scale = f"x{card.min_scale:g} to x{highest:g}" if card.task == "upscale" else ""
        print(f"{card.name:10} {card.task:8} {card.parameters:>10,} parameters  {scale:10} {card.title} ({card.paper})")
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    from service.doctor import examine

    return examine(_settings(arguments))


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
