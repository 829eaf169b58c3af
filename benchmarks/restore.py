"""What /restore costs: AirNet by its settings, and one picture through the engine: time, memory, tiles against whole.

    python -m benchmarks.restore [--height 160] [--width 240] [--rounds 3]
    python -m benchmarks.restore --weights DIR [--height 3000] [--width 4000] [--tile 256] [--precision bf16] [--whole]

The first gives CPU seconds of one thread for a picture of 320x480, scaled from the size asked, with random weights;
the fastest round counts, since other work only adds. The second restores a drawn photo with noise by
DIR/airnet.safetensors; `--whole` compares with the same in one tile. No network and no queue.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import machine, pictures
from models.airnet import Airnet, AirnetConfig
from workers.engine import feathered
from workers.engine.engine import Engine
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


def print_engine(weights_dir: Path, picture: Picture, tile: str, precision: str, compare: bool) -> None:
    height, width = picture.pixels.shape[:2]
    engine = Engine(device="cpu", precision=precision, tile=tile, weights_dir=weights_dir)
    engine.restore(Picture(picture.pixels[:64, :64].copy(), None, None, None, "png", False), model="airnet", tick=quiet)
    forget_peak()
    before = memory("VmRSS")
    start, start_cpu = time.perf_counter(), time.process_time()
    found = engine.restore(picture, model="airnet", tick=quiet).pixels
    wall_s, spent_s = time.perf_counter() - start, time.process_time() - start_cpu
    print(f"{height}x{width}, {precision}, tile {tile}: {wall_s:.1f} s, {spent_s:.1f} CPU s")
    print(f"  memory above what was held before: {(memory('VmHWM') - before) / MIB:.0f} MiB")
    if compare:
        in_one = Engine(device="cpu", precision=precision, tile=str(max(height, width)), weights_dir=weights_dir)
        whole = in_one.restore(picture, model="airnet", tick=quiet).pixels
        print_seams(engine, whole.astype(int), found.astype(int))


def print_seams(engine: Engine, whole: np.ndarray, found: np.ndarray) -> None:
    served = engine._served("airnet", engine._dtype("airnet"))
    tile = engine._sizes.restorer_tile(served.card, served.model)
    rows, cols = feathered.cut_picture(found.shape, tile, restorer_halo(served.card, served.model))
    print(f"  tiles {len(rows) * len(cols)}, largest difference to the whole {np.abs(found - whole).max()} of 255")
    for name, axis, spans in (("rows", 0, rows), ("columns", 1, cols)):
        steps = np.abs(np.diff(found, axis=axis)).max(axis=tuple({0, 1, 2} - {axis}))
        across = [int(steps[span.border - 1]) for span in spans[1:]]
        print(f"  largest step between {name}: across borders {max(across, default=0)}, anywhere {steps.max()}")


def memory(what: str) -> int:
    """Bytes by /proc/self/status: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--whole", action="store_true")
    told = parser.parse_args()
    print(machine.line("torch"))
    if told.weights is None:
        print_settings(told.height or 160, told.width or 240, told.rounds)
        return
    picture = noisy_photo(told.height or 3000, told.width or 4000)
    print_engine(told.weights, picture, told.tile, told.precision, told.whole)


if __name__ == "__main__":
    main()
