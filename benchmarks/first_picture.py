"""A new user's first minute: from the command that serves to the first enlarged picture on the disk, by the page.

    python -m benchmarks.first_picture [PHOTO] [--rounds 3]

Each round starts `lutra up` with its defaults and nothing kept, opens the page in a Chromium of its own (CHROMIUM, or
one on the PATH) and clicks as fast as the page allows: choose, Upscale (x2), Save. Without PHOTO a JPEG of 512x512 is
sent. Prints the seconds of each step, and clicks. Needs the package playwright (`make browser` installs it).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import machine
from benchmarks.service import photo, running_service

NAMES = ("chromium", "chromium-browser", "google-chrome")
STEPS = ("until pictures are taken", "the page", "the photo chosen", "its result looked at", "saved")
CLICKS = ("#choose", "#go", "#save")


def first_picture(browser: Browser, source: Path, target: Path) -> list[float]:
    """Seconds of each of STEPS in a new service; `target` is what was saved."""
    times = [time.perf_counter()]
    with running_service() as client:
        times.append(time.perf_counter())
        page = browser.new_page(accept_downloads=True)
        page.goto(str(client.base_url))
        page.locator("#model option").nth(1).wait_for(state="attached")  # it knows what is served
        times.append(time.perf_counter())
        times += clicked(page, source, target)
        page.close()
    return [after - before for before, after in pairwise(times)]


def clicked(page: Page, source: Path, target: Path) -> list[float]:
    """When the photo was chosen, its result was looked at, and it lay on the disk."""
    times = []
    choose, go, save = map(page.locator, CLICKS)
    with page.expect_file_chooser() as asked:
        choose.click()
    asked.value.set_files(source)
    page.locator("#go:enabled").wait_for()
    times.append(time.perf_counter())
    go.click()
    page.locator("#viewer:not([hidden]) .tag.right:not(:empty)").wait_for(timeout=600_000)
    times.append(time.perf_counter())
    with page.expect_download() as started:
        save.click()
    started.value.save_as(target)
    times.append(time.perf_counter())
    return times


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_picture", allow_abbrev=False)
    parser.add_argument("photo", type=Path, nargs="?", help="a picture file")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        parser.error(f"none of {', '.join(NAMES)} is on the PATH")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        source, target = arguments.photo or Path(folder, "photo.jpg"), Path(folder, "result")
        if arguments.photo is None:
            source.write_bytes(photo(512))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        rounds = [first_picture(browser, source, target) for _ in range(arguments.rounds)]
        sizes = [Image.open(file).size for file in (source, target)]
    print(f"{machine.processor()}, {machine.today()}: {sizes[0]} to {sizes[1]} in {len(CLICKS)} clicks; seconds")
    for step, seconds in zip(STEPS, zip(*rounds, strict=True), strict=True):
        print(f"  {step:26}{statistics.median(seconds):6.2f}  ({min(seconds):.2f} to {max(seconds):.2f})")
    print(f"  {'ready to saved':26}{statistics.median(sum(one[1:]) for one in rounds):6.2f}")


if __name__ == "__main__":
    main()
