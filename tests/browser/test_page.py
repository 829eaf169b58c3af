"""The page with an API key: it asks for one where it has to, and sends it with all it asks, the events too."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from service.keys import add_key
from tests.living import as_file, opened, photo, running_lutra

HERE = Path(__file__).parent


@pytest.mark.browser
def test_the_page_asks_for_a_key_and_then_makes_a_better_picture(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    source, file = tmp_path / "photo.jpg", tmp_path / "keys.jsonl"
    source.write_bytes(as_file(photo()))
    key = add_key(file, "page")
    with running_lutra(tmp_path, LUTRA_API_KEYS_FILE=str(file), LUTRA_MODELS="nearest,lut3d") as lutra:
        command = [node, str(HERE / "page.mjs"), f"http://127.0.0.1:{lutra.port}", key, str(source), "upscale"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["refused"]["asksForKey"] and "an API key is needed" in shown["refused"]["status"]
    assert shown["models"] == ["auto", "nearest"]
    assert (shown["status"], shown["progress"], shown["name"]) == ("succeeded", 1, "upscaled.jpg")
    assert opened(base64.b64decode(shown["result"])).size == (128, 96)
