"""What each operation does, on the page's first screen: the example before, left, and after it.

`python -m tests.browser.draw_samples` writes service/web/sample-*.webp anew, by what is served; seconds on a processor.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tests.browser.draw_example import FILE
from tests.living import as_file
from workers.engine.engine import Engine
from workers.pictures import imageio
from workers.pictures.picture import Picture

SIZE = (480, 320)
FACE = (180, 115, 300, 195)  # left, top, right, bottom: enlarged four times
NOISE = 20.0  # as service/web/example.js spoils it
FADED = (0.55, 15)


def picture_of(image: Image.Image) -> Picture:
    return imageio.decode(as_file(np.asarray(image), "PNG"), max_pixels=image.width * image.height)


def beside(name: str, before: Image.Image, after: Image.Image) -> None:
    """Left half of the one, right half of the other."""
    both = before.copy()
    middle = SIZE[0] // 2
    both.paste(after.crop((middle, 0, *SIZE)), (middle, 0))
    ImageDraw.Draw(both).line([(middle, 0), (middle, SIZE[1])], "white", 4)
    both.save(FILE.with_name(f"sample-{name}.webp"), quality=60, method=6)


def draw_samples() -> None:
    engine, example = Engine(device="cpu"), Image.open(FILE).convert("RGB")

    def tick(done: int, total: int) -> None:
        """Nobody waits for it."""

    face = example.crop(FACE)
    larger = engine.upscale(picture_of(face), model="lmliif", height=SIZE[1], width=SIZE[0], tick=tick)
    beside("upscale", face.resize(SIZE, Image.Resampling.BICUBIC), Image.fromarray(larger.pixels))
    levels = np.asarray(example, float)
    spoilt = levels + np.random.default_rng(1).normal(0, NOISE, levels.shape)
    noisy = Image.fromarray((spoilt + 0.5).clip(0, 255).astype(np.uint8))
    beside("restore", noisy, Image.fromarray(engine.restore(picture_of(noisy), model="airnet-u", tick=tick).pixels))
    faded = Image.fromarray((levels * FADED[0] + FADED[1] + 0.5).astype(np.uint8))
    beside("enhance", faded, Image.fromarray(engine.enhance(picture_of(faded), tick=tick).pixels))


if __name__ == "__main__":
    draw_samples()
