"""What a restorer that tells damage apart says of pictures whose damage is known: what it found, what it takes off when
it is asked for one kind alone, and how its codes lie.

Damage is drawn by training's own ranges, from fixed seeds, over photographs it has not seen. It trains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.airnet_u import AirnetU, weigh
from models.contract import ConditionedRestorer
from models.look import look_at
from models.train import damage
from models.train.benchmarks import jpeg_trials
from models.train.damage import Place
from models.train.data import Pixels, read_rgb
from models.train.evaluate import read_model
from models.train.restoration import MOST_DB
from models.train.scores import psnr
from models.train.sheet import crop

CLEAN = "clean"
DRAWN = {  # what of `damage.KINDS` stands for each, in turn
    "noise": ("noise", "levels", "camera"),
    "rain": ("rain",),
    "haze": ("haze",),
    "jpeg": ("jpeg",),
    CLEAN: (CLEAN,),
}
FOUND = 0.5  # a kind is found from this likelihood on
WIDTH, SPAN, EDGE = 480, 360, 16  # of the plot, of the square of its points, and around that; pixels
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .tick { font-size: 11px; fill: #59636e }
  circle { fill-opacity: 0.75 }
  .noise { fill: #0969da } .rain { fill: #1a7f37 } .haze { fill: #bf8700 }
  .jpeg { fill: #cf222e } .clean { fill: #8c959f }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .tick { fill: #9198a1 } }
"""


@dataclass(frozen=True)
class Spoilt:
    """A photograph as it was, and spoilt by one kind of DRAWN."""

    kind: str
    pixels: Pixels
    clean: Pixels


@dataclass(frozen=True)
class Answer:
    """What a restorer says of a picture: its code (D,), and how likely each kind is there."""

    kind: str
    code: NDArray[np.float32]
    found: dict[str, float]

    @property
    def told(self) -> str:
        """The likeliest kind, clean where none is found."""
        best = max(self.found, key=lambda name: self.found[name])
        return best if self.found[best] >= FOUND else CLEAN


def spoil(photos: Sequence[Path], side: int) -> Iterator[Spoilt]:
    """The middle of each photograph under each kind, by seeds of its own."""
    for number, path in enumerate(photos):
        clean = crop(read_rgb(path), side)
        for which, (kind, choices) in enumerate(DRAWN.items()):
            rng, pixels = np.random.default_rng((number, which)), clean
            for one in damage.draw(choices[number % len(choices)], rng):
                pixels = one.fall(pixels, Place((clean.shape[0], clean.shape[1])), rng)
            yield Spoilt(kind, pixels, clean)


def ask(model: ConditionedRestorer, pictures: Sequence[Spoilt]) -> list[Answer]:
    answers = []
    for one in pictures:
        code, found = model.examine(look_at(one.pixels))
        answers.append(Answer(one.kind, code[0].float().numpy(), found))
    return answers


def shown(those: Sequence[Spoilt | Answer]) -> list[str]:
    """The kinds that are among them, in their order."""
    return [kind for kind in DRAWN if any(one.kind == kind for one in those)]


def confusion(answers: Sequence[Answer]) -> str:
    """How often each kind was told as which, and the share told right, as a table in Markdown."""
    lines = ["| is, told as | " + " | ".join(DRAWN) + " | mean of what was found |", "|---" * (len(DRAWN) + 2) + "|"]
    for kind in shown(answers):
        those = [one for one in answers if one.kind == kind]
        counts = [sum(one.told == name for one in those) for name in DRAWN]
        means = [f"{name} {np.mean([one.found[name] for one in those]):.2f}" for name in DRAWN if name != CLEAN]
        lines.append(f"| {kind} | " + " | ".join(map(str, counts)) + f" | {', '.join(means)} |")
    right = sum(one.told == one.kind for one in answers)
    return "\n".join([*lines, "", f"told right: {right} of {len(answers)}"])


@dataclass(frozen=True)
class Change:
    """Of one picture: dB gained over what came in (None where that was sound), and the mean change in levels."""

    gain: float | None
    levels: float


def change(model: ConditionedRestorer, one: Spoilt, only: str | None) -> Change:
    window = torch.from_numpy(one.pixels.astype(np.float32)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        condition, _ = model.examine(look_at(one.pixels), only)
        restored = model(window, condition)[0].clamp(0, 1).permute(1, 2, 0).double().numpy()
    given, wanted = (pixels.astype(np.float64) / 255 for pixels in (one.pixels, one.clean))
    gain = None if one.kind == CLEAN else psnr(restored, wanted) - psnr(given, wanted)
    return Change(gain, 255 * float(np.abs(restored - given).mean()))


def only_table(model: ConditionedRestorer, pictures: Sequence[Spoilt], kinds: Sequence[str]) -> str:
    """For each damage and what alone was asked for: dB gained, and in brackets the mean change in levels."""
    lines = ["| is, asked for | all | " + " | ".join(f"only {name}" for name in kinds) + " |"]
    lines.append("|---" * (len(kinds) + 2) + "|")
    for kind in shown(pictures):
        cells = []
        for only in (None, *kinds):
            changes = [change(model, one, only) for one in pictures if one.kind == kind]
            gains = [one.gain for one in changes if one.gain is not None]
            moved = f"({np.mean([one.levels for one in changes]):.2f})"
            cells.append(f"{np.mean(gains):+.2f} {moved}" if gains else moved)
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def map_table(network: AirnetU, pictures: Sequence[Spoilt]) -> str:
    """For each damage: dB as it came in, restored, and by the correction that no certainty weighs; what share of it the
    map lets through; and how far the correction points to the original (the cosine of the two)."""
    lines = ["| is | input | restored | freely | share | cosine |", "|---" * 6 + "|"]
    for kind in DRAWN:
        figures = np.mean([weighed(network, one) for one in pictures if one.kind == kind], 0)
        lines.append(f"| {kind} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
    return "\n".join(lines)


@torch.inference_mode()
def weighed(network: AirnetU, one: Spoilt) -> list[float]:
    """The figures of a row of `map_table`; decibels up to MOST_DB, the cosine 0 where there is nothing to correct."""
    given, wanted = (
        torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] / 255 for x in (one.pixels, one.clean)
    )
    correction, sure = network.propose(given, network.examine(look_at(one.pixels))[0])
    share, apart = weigh(sure), wanted - given
    made = (given, (given + share * correction).clamp(0, 1), (given + correction).clamp(0, 1))
    decibels = [min(MOST_DB, psnr(each.numpy(), wanted.numpy())) for each in made]
    cosine = functional.cosine_similarity(correction.flatten(), apart.flatten(), dim=0)
    return [*decibels, float(share.mean()), float(cosine)]


# -- the plot ------------------------------------------------------------------------------------------------------


def components(codes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Codes (N, D) along the two directions in which they differ most, (N, 2), and each one's share of the variance."""
    centred = codes - codes.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T, lengths[:2] ** 2 / (lengths**2).sum()


def clusters(answers: Sequence[Answer]) -> str:
    """The codes as points in the colour of what is known to be wrong, on their two principal components; an SVG."""
    places, shares = components(np.stack([one.code for one in answers]))
    low, high = places.min(0), places.max(0)
    points = (places - low) / np.maximum(high - low, 1e-9)
    lines = []
    for one, (x, y) in zip(answers, points.tolist(), strict=True):
        at = f'cx="{EDGE + x * SPAN:.1f}" cy="{EDGE + (1 - y) * SPAN:.1f}"'
        lines.append(f'<circle class="{one.kind}" {at} r="4"><title>{one.kind}, told {one.told}</title></circle>')
    for row, kind in enumerate(DRAWN):
        down = EDGE + 18 * row
        lines.append(f'<circle class="{kind}" cx="{SPAN + 2 * EDGE + 8}" cy="{down}" r="5"/>')
        lines.append(f'<text x="{SPAN + 2 * EDGE + 20}" y="{down + 4}">{escape(kind)}</text>')
    told = " and ".join(f"{share:.0%}" for share in shares)
    lines.append(
        f'<text class="tick" x="{EDGE}" y="{SPAN + 2 * EDGE + 10}">two components: {told} of the variance</text>'
    )
    size = f'width="{WIDTH}" height="{SPAN + 2 * EDGE + 20}" viewBox="0 0 {WIDTH} {SPAN + 2 * EDGE + 20}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>Codes by kind</title>'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, "</svg>"]) + "\n"


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train kinds", allow_abbrev=False)
    parser.add_argument("name", help="a restorer that tells kinds apart")
    parser.add_argument("--data", type=Path, required=True, help="a folder with bench/kodak24")
    parser.add_argument("--weights", type=Path, help="weight file, the served one unless told")
    parser.add_argument("--photos", type=int, default=20, help="of which each is spoilt by each kind, and by none")
    parser.add_argument("--side", type=int, default=256, help="pixels of what is cut out of their middle")
    parser.add_argument("--plot", type=Path, help="an .svg of the codes")
    parser.add_argument("--only", action="store_true", help="ask for each kind alone too, which takes minutes")
    parser.add_argument("--map", action="store_true", help="what the map of the certainty lets through, of airnet-u")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(words)
    torch.set_num_threads(arguments.threads)
    trials = jpeg_trials(arguments.data, ())
    if not trials:
        raise FileNotFoundError(f"no bench/kodak24 below {arguments.data}")
    model, sha256 = read_model(arguments.name, arguments.weights)
    if not isinstance(model, ConditionedRestorer):
        parser.error(f"{arguments.name} does not tell kinds apart")
    pictures = list(spoil(trials[0].pictures[: arguments.photos], arguments.side))
    answers = ask(model, pictures)
    print(f"{arguments.name}, weights {(sha256 or '')[:12]}", confusion(answers), sep="\n\n", flush=True)
    if arguments.plot is not None:
        arguments.plot.write_text(clusters(answers))
        print(arguments.plot)
    if arguments.map and isinstance(model, AirnetU):
        print("", map_table(model, pictures), sep="\n")
    if arguments.only:
        print("", only_table(model, pictures, list(answers[0].found)), sep="\n")
