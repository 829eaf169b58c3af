"""`lutra enhance`, `restore` and `upscale`: picture files in, picture files out, in this process, with a progress bar.

Never half a file: the result is written beside its place and then renamed. A file that fails is named and the others
go on.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tqdm import tqdm

from models.cards import OWN_LUT, Card
from models.cube import MAX_BYTES, Cube, CubeError, read_cube
from service.folders import FORMAT_OF, Found, find_pictures, shown
from workers.engine.engine import Engine
from workers.errors import LutraError, ParameterError
from workers.jobs.job import check_strength, choose_model, served_models
from workers.operations import choice, sizes
from workers.pictures import imageio
from workers.pictures.imageio import Picture
from workers.settings import Settings

SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "avif": ".avif", "tiff": ".tif"}

Tick = Callable[[int, int], None]
Better = Callable[[bytes, Tick], Picture]


@dataclass(frozen=True)
class Errand:
    """One picture file and where its better version goes; `format` auto: as the name says, else as it came in."""

    source: Path
    target: Path
    format: str


def enhance_files(settings: Settings, arguments: argparse.Namespace) -> int:
    """Every input through the 3D LUT, or through the user's own table; exit status."""
    own = _own_table(arguments)
    if own is None:
        card = choose_model("enhance", arguments.model, served_models(settings.models, settings.weights_dir))
        engine = _engine(settings, card.name)
    else:
        card, engine = OWN_LUT, _engine(settings)

    def better(data: bytes, tick: Tick) -> Picture:
        picture = imageio.decode(data, colour="srgb", max_pixels=settings.max_input_pixels)
        return engine.enhance(picture, model=card.name, strength=arguments.strength, own=own, tick=tick)

    return _run_errands(arguments, better)


def _own_table(arguments: argparse.Namespace) -> Cube | None:
    """What `--lut` names. Raises ParameterError beside `--model`, LutraError for a file that holds no table."""
    if arguments.lut is None:
        return None
    if arguments.model is not None:
        raise ParameterError("--lut stands in place of a model; leave --model out")
    try:
        with arguments.lut.open("rb") as file:
            return read_cube(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise LutraError(f"{shown(arguments.lut)}: {error.strerror or error}") from None
    except CubeError as error:
        raise LutraError(f"{shown(arguments.lut)}: {error}") from None


def restore_files(settings: Settings, arguments: argparse.Namespace) -> int:
    """Noise, rain or haze taken off every input; exit status."""
    card = choose_model("restore", arguments.model, served_models(settings.models, settings.weights_dir))
    engine = _engine(settings, card.name)

    def better(data: bytes, tick: Tick) -> Picture:
        picture = imageio.decode(data, max_pixels=settings.max_input_pixels)
        return engine.restore(picture, model=card.name, strength=arguments.strength, tick=tick)

    return _run_errands(arguments, better)


def upscale_files(settings: Settings, arguments: argparse.Namespace) -> int:
    """Every input enlarged; exit status."""
    served = served_models(settings.models, settings.weights_dir)
    card = choose_model("upscale", arguments.model, served)
    _check_size_asked(arguments, settings, card)
    engine = _engine(settings, *([] if choice.is_auto(arguments.model) else [card.name]))
    asked = choice.SizeAsked(arguments.scale, arguments.height, arguments.width, arguments.fit, arguments.max_pixels)
    limits = choice.Limits(settings.max_scale, settings.max_output_pixels)

    def better(data: bytes, tick: Tick) -> Picture:
        header = imageio.probe(data)
        small = choice.Small(header.height, header.width, header.lossy)
        card, (height, width) = choice.plan_upscale(small, asked, arguments.model, arguments.effort, served, {}, limits)
        _load(engine, card.name)
        strength = check_strength(card, arguments.strength, served).get("strength", 1.0)
        picture = imageio.decode(data, max_pixels=settings.max_input_pixels)
        return engine.upscale(
            picture,
            model=card.name,
            height=height,
            width=width,
            effort=arguments.effort,
            strength=strength,
            tick=tick,
        )

    return _run_errands(arguments, better)


def _check_size_asked(arguments: argparse.Namespace, settings: Settings, card: Card) -> None:
    """What is wrong with the size for every picture is wrong usage. Raises ParameterError."""
    if arguments.scale is not None:
        highest = min(card.max_scale, settings.max_scale)
        sizes.parse_scale(arguments.scale, model=card.name, lowest=Fraction(card.min_scale), highest=Fraction(highest))
    elif not any((arguments.width, arguments.height, arguments.max_pixels)):
        raise ParameterError("no size asked for: give --scale, --width and/or --height, or --max-pixels")


def _engine(settings: Settings, *models: str) -> Engine:
    """An engine that holds the models. Raises LutraError where their weights cannot be loaded."""
    engine = Engine(
        device=settings.device, precision=settings.precision, tile=settings.tile, weights_dir=settings.weights_dir
    )
    for model in models:
        _load(engine, model)
    return engine


def _load(engine: Engine, model: str) -> None:
    """Raises LutraError where the weights cannot be loaded."""
    try:
        engine.load(model)
    except ValueError as error:
        raise LutraError(str(error)) from None


def plan_errands(pictures: list[Found], inputs: list[Path], output: Path, wanted: str) -> list[Errand]:
    """What goes where. Raises LutraError where the output cannot be what was asked."""
    if not pictures:
        raise LutraError("no picture files were named")
    if output.suffix and output.suffix.lower() not in FORMAT_OF and not output.is_dir():
        raise ParameterError(f"no format is named {shown(output.suffix)}; known are {', '.join(sorted(FORMAT_OF))}")
    if output.name == "-":
        raise ParameterError("the output is a file or a folder; standard output is not served")
    if len(inputs) > 1 and output.suffix and not output.is_dir():
        raise ParameterError(f"{shown(output)} names one file; for several pictures name a folder")
    one_file = len(pictures) == 1 and not inputs[0].is_dir() and output.suffix.lower() in FORMAT_OF
    if one_file and not output.is_dir():
        named = FORMAT_OF[output.suffix.lower()]
        if wanted not in ("auto", named):
            raise LutraError(f"the output is named {shown(output.suffix)} but --format says {wanted}")
        return [Errand(pictures[0].path, output, named)]
    if output.exists() and not output.is_dir():
        raise LutraError(f"{shown(output)} is a file, and a folder is needed for more than one picture")
    errands = [Errand(found.path, output / _named(found, wanted), wanted) for found in pictures]
    _refuse_twins(errands)
    return errands


def _named(found: Found, wanted: str) -> str:
    """The result's name: the picture's own where that names the format that will leave."""
    source = found.path
    named = FORMAT_OF.get(source.suffix.lower())
    came_in = found.format or named or "png"  # what cannot be read has a name all the same, for what is said of it
    chosen = imageio.output_format(came_in) if wanted == "auto" else wanted
    return source.name if chosen == named else source.stem + SUFFIX[chosen]


def _refuse_twins(errands: list[Errand]) -> None:
    """Two pictures of one name would overwrite each other."""
    seen: dict[str, Path] = {}
    for errand in errands:
        twin = seen.setdefault(errand.target.name.lower(), errand.source)
        if twin is not errand.source:
            both = f"{shown(twin)} and {shown(errand.source)}"
            raise LutraError(f"{both} would both become {shown(errand.target.name)}")


def _run_errands(arguments: argparse.Namespace, better: Better) -> int:
    found = list(find_pictures(arguments.inputs))
    left_out = [one for one in found if one.left_out]
    for one in left_out:
        print(f"lutra: {shown(one.path)}: left out: {one.left_out}", file=sys.stderr)
    pictures = [one for one in found if not one.left_out]
    errands = plan_errands(pictures, arguments.inputs, arguments.output, arguments.format)
    failed = sum(one.is_fault for one in left_out)
    for errand in errands:
        try:
            target = _run_errand(errand, better, arguments)
            print(shown(target))
        except LutraError as error:
            failed += 1
            print(f"lutra: {shown(errand.source)}: {error.message}", file=sys.stderr)
        except OSError as error:
            failed += 1
            print(f"lutra: {shown(error.filename or errand.source)}: {error.strerror or error}", file=sys.stderr)
    return 1 if failed else 0


def _run_errand(errand: Errand, better: Better, arguments: argparse.Namespace) -> Path:
    """One picture; the path that was written."""
    data = errand.source.read_bytes()
    with tqdm(desc=shown(errand.source.name), unit="tile", leave=False, disable=not sys.stderr.isatty()) as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        picture = better(data, tick)
    chosen = imageio.output_format(picture.format) if errand.format == "auto" else errand.format
    lossless = imageio.is_kept_lossless(
        arguments.lossless,
        chosen,
        is_auto=errand.format == "auto" or (arguments.format == "auto" and chosen == picture.format),
        came_in_lossy=picture.lossy,
    )
    result = imageio.encode(picture, chosen, quality=arguments.quality, metadata=arguments.metadata, lossless=lossless)
    target = errand.target
    if FORMAT_OF.get(target.suffix.lower()) != chosen:
        target = target.with_suffix(SUFFIX[chosen])
    if target.exists() and target.samefile(errand.source):
        raise LutraError("the output would overwrite the picture itself; name another place")
    _write_whole(target, result)
    return target


def _write_whole(target: Path, data: bytes) -> None:
    """Beside its place, then renamed: a reader sees the old file or the new one, never half."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=".lutra-"
    )  # a name of its own: the target's may be as long as names can be
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
