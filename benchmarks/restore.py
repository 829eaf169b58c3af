"""What /restore costs: AirNet by its settings, and one picture through the engine: time, memory, tiles against whole.

    python -m benchmarks.restore [--height 160] [--width 240] [--rounds 3]
    python -m benchmarks.restore --models airnet airnet-u [--weights DIR] [--height 3000] [--width 4000] [--rounds 3]
    python -m benchmarks.restore --models airnet-u --whole [--height 1000] [--width 1500] [--tile 256]

The first gives CPU seconds of one thread for a picture of 320x480, scaled from the size asked, with random weights;
the fastest round counts, since other work only adds. The others restore a drawn photo with noise by the engine, model
after model in each round, and beside `airnet-u` a plain network of as many multiplications (`benchmarks.plain`) on the
same windows: seconds, memory, medians of the rounds' ratios. `--whole` compares tiles with one tile. No queue.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import machine, pictures, plain
from models.airnet import Airnet, AirnetConfig
from workers.engine import feathered
from workers.engine.engine import Engine, LoadedModel
from workers.engine.memory import restorer_halo
from workers.pictures.picture import Picture

TOLD = 320 * 480
SETTINGS = (
    (24, 3, 3, 2),
    (32, 3, 3, 2),
    (32, 4, 4, 2),
    (48, 3, 2, 2),
    (48, 3, 3, 2),
    (48, 4, 4, 2),
    (64, 3, 3, 2),
    (64, 5, 5, 2),
    (32, 3, 3, 1),
    (64, 5, 5, 1),
)
MIB = 1024**2
PLAIN_LIKE = "airnet-u"


def quiet(done: int, total: int) -> None:
    """Nobody follows the progress."""


def settings(width: int, groups: int, blocks: int, unshuffle: int) -> AirnetConfig:
    encoder = (width, 2 * width, 4 * width)
    return AirnetConfig(width, groups, blocks, encoder, unshuffle=unshuffle, image_residual=True)


def drawn_weights(config: AirnetConfig) -> Airnet:
    """As it serves, with offsets and a tail that are not nothing."""
    network = Airnet(config, batch=1).requires_grad_(False)
    for name, value in network.named_parameters():
        if "conv_offset_mask" in name or name.startswith("R.tail"):
            value.normal_(0, 0.02)
    return network.served()


@torch.inference_mode()
def cpu_s(network: Airnet, picture: torch.Tensor, rounds: int) -> float:
    """CPU seconds of the calling thread, of the fastest round, for as many pixels as TOLD."""
    spent = []
    network(picture[..., :32, :32])
    for _ in range(rounds):
        start = time.thread_time()
        network(picture)
        spent.append(time.thread_time() - start)
    return min(spent) * TOLD / picture[0, 0].numel()


def print_settings(height: int, width: int, rounds: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    picture = torch.from_numpy(pictures.photo(height, width)).permute(2, 0, 1)[None].float() / 255
    print(f"CPU seconds for 320x480, from {height}x{width}, {rounds} rounds")
    print("width groups blocks unshuffle  parameters  float32  bfloat16")
    for setting in SETTINGS:
        network = drawn_weights(settings(*setting))
        count = sum(value.numel() for value in network.parameters())
        full, half = (cpu_s(network.to(dtype), picture, rounds) for dtype in (torch.float32, torch.bfloat16))
        print("{:5} {:6} {:6} {:9}".format(*setting), f" {count:>10,}  {full:7.2f}  {half:8.2f}", flush=True)


def noisy_photo(height: int, width: int) -> Picture:
    rng = np.random.default_rng(0)
    pixels = pictures.photo(height, width)
    for row in pixels:  # by rows, since noise for all of a large picture takes eight times its size
        row[...] = (row + rng.normal(0, 15, row.shape) + 0.5).clip(0, 255)
    return Picture(pixels, None, None, None, "png", False)


# -- by the engine -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Seconds and processor seconds of one picture, and bytes above what was held before."""

    wall_s: float
    cpu_s: float
    memory: int


class Contender:
    """A model on an engine of its own; `plain_as`: a plain network in its place, on the same windows."""

    def __init__(self, model: str, told: argparse.Namespace, *, plain_as: bool = False) -> None:
        self.engine = Engine(
            device="cpu", precision=told.precision, tile=told.tile, threads=told.threads, weights_dir=told.weights
        )
        self.model, self.name = model, "a plain network" if plain_as else model
        self.dtype = self.engine._dtype(model)
        if plain_as:
            served = self.engine._served(model, self.dtype)
            network = plain.like(served.model).to(self.dtype)
            self.engine._models[model, self.dtype, 1.0] = LoadedModel(served.card, network, self.dtype, None, 1.0)
        self.restore(Picture(noisy_photo(64, 64).pixels, None, None, None, "png", False))

    def restore(self, picture: Picture) -> np.ndarray:
        return self.engine.restore(picture, model=self.model, tick=quiet).pixels

    def spend(self, picture: Picture) -> Cost:
        forget_peak()
        before = memory("VmRSS")
        start, start_cpu = time.perf_counter(), time.process_time()
        self.restore(picture)
        wall_s, spent_s = time.perf_counter() - start, time.process_time() - start_cpu
        return Cost(wall_s, spent_s, memory("VmHWM") - before)


def print_costs(contenders: Sequence[Contender], picture: Picture, rounds: int) -> None:
    """Medians of the rounds, in each of which all take a turn, and of their ratios to the last."""
    height, width = picture.pixels.shape[:2]
    print(f"{height}x{width}, {torch.get_num_threads()} threads, {rounds} rounds")
    spent: list[list[Cost]] = [[] for _ in contenders]
    for turn in range(rounds):
        for place in range(len(contenders)):
            at = (place + turn) % len(contenders)
            spent[at].append(contenders[at].spend(picture))
    for one, costs in zip(contenders, spent, strict=True):
        pairs = list(zip(costs, spent[-1], strict=True))
        wall = (
            statistics.median(cost.wall_s for cost in costs),
            statistics.median(a.wall_s / b.wall_s for a, b in pairs),
        )
        cpu = statistics.median(cost.cpu_s for cost in costs), statistics.median(a.cpu_s / b.cpu_s for a, b in pairs)
        kind, peak = str(one.dtype).removeprefix("torch."), max(cost.memory for cost in costs) / MIB
        head = f"  {one.name:16} {kind:9} {wall[0]:8.2f} s {cpu[0]:8.2f} CPU s {peak:6.0f} MiB"
        print(f"{head}  of the last {wall[1]:.2f}, {cpu[1]:.2f}", flush=True)


def print_seams(one: Contender, told: argparse.Namespace, picture: Picture) -> None:
    """Tiles against one tile: the largest difference, and steps across borders beside those inside."""
    height, width = picture.pixels.shape[:2]
    told_whole = argparse.Namespace(**{**vars(told), "tile": str(max(height, width))})
    whole = Contender(one.model, told_whole).restore(picture).astype(int)
    found = one.restore(picture).astype(int)
    borders = borders_of(one, found.shape)
    tiles = np.prod([len(edges) + 1 for edges in borders])
    apart = np.abs(found - whole).max()
    print(f"{one.model}, {height}x{width}: tiles {tiles}, largest difference to the whole {apart} of 255")
    for name, axis, edges in (("rows", 0, borders[0]), ("columns", 1, borders[1])):
        across, inside, moved = steps(found, whole, axis, edges)
        print(
            f"  largest step between {name}: across borders {across}, which tiling changed by {moved}; inside {inside}"
        )


def steps(found: np.ndarray, whole: np.ndarray, axis: int, edges: Sequence[int]) -> tuple[int, int, int]:
    """The largest step across borders, before `edges`, and inside; and by how much tiling changed one across."""
    others = tuple({0, 1, 2} - {axis})
    each = np.abs(np.diff(found, axis=axis)).max(axis=others)
    apart = np.abs(np.diff(found - whole, axis=axis)).max(axis=others)
    at = np.zeros(len(each), bool)
    at[[edge - 1 for edge in edges]] = True
    return int(each[at].max(initial=0)), int(each[~at].max(initial=0)), int(apart[at].max(initial=0))


def borders_of(one: Contender, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Rows and columns at which tiles begin, but the first."""
    served = one.engine._served(one.model, one.dtype)
    if served.card.tiling == "exact":
        views = one.engine._sizes.restorer_plan(served.card, served.model, (shape[0], shape[1])).views
        rows, cols = ({axis.start for axis in axes} for axes in ([v.rows for v in views], [v.cols for v in views]))
        return sorted(rows - {0}), sorted(cols - {0})
    tile = one.engine._sizes.restorer_tile(served.card, served.model)
    down, right = feathered.cut_picture(shape, tile, restorer_halo(served.card, served.model))
    return [span.border for span in down[1:]], [span.border for span in right[1:]]


def memory(what: str) -> int:
    """Bytes by /proc/self/status: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--weights", type=Path, help="folder of weight files that stand before ours")
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--whole", action="store_true")
    told = parser.parse_args(words)
    print(machine.line("torch"))
    if not told.models:
        print_settings(told.height or 160, told.width or 240, told.rounds)
        return
    torch.set_num_threads(told.threads)
    picture = noisy_photo(told.height or 3000, told.width or 4000)
    contenders = [Contender(name, told) for name in told.models]
    if told.whole:
        for one in contenders:
            print_seams(one, told, picture)
        return
    if PLAIN_LIKE in told.models:
        contenders.append(Contender(PLAIN_LIKE, told, plain_as=True))
    print_costs(contenders, picture, told.rounds)


if __name__ == "__main__":
    main()
