"""The pictures of docs/page.md: `python -m tests.browser.write_shots` writes docs/img/page-*.webp of build/screenshots.

`pytest tests/browser/test_looks.py` makes those.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.browser.driving import SCREENSHOTS

IMAGES = Path(__file__).parents[2] / "docs" / "img"
SHOTS = {"result": "result-light", "several": "several-light", "dark": "zoomed-dark", "phone": "result-phone"}


def write_shots() -> None:
    for name, state in SHOTS.items():
        with Image.open(SCREENSHOTS / f"{state}.png") as shot:
            shot.convert("RGB").save(IMAGES / f"page-{name}.webp", quality=75, method=6)


if __name__ == "__main__":
    write_shots()
