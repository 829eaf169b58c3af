"""What children share is loaded before they are forked, and they compute with it as if each had loaded it itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from models.header import WeightsError
from workers import devices
from workers.preload import preload
from workers.settings import Settings, read_settings

MODELS = ("bicubic", "liif", "lut3d", "eclut")

# Prints what one who loads it itself computes, and then what each forked child does; a child that hangs is ended.
FORKED = """
import hashlib, os, signal, sys
import numpy as np
from workers.child import make_engine
from workers.pictures.picture import Picture
from workers.preload import load, preload
from workers.settings import read_settings

settings = read_settings(device="cpu", models=sys.argv[1].split(","))
pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
picture = Picture(pixels, None, None, None, "png", False)

def computed(engine):
    engine.use_threads(2)
    larger = [engine.upscale(picture, model=name, height=160, width=200, tick=lambda *_: None).pixels
              for name in settings.models if name != "lut3d"]
    larger.append(engine.enhance(picture, tick=lambda *_: None).pixels)
    return hashlib.sha256(b"".join(one.tobytes() for one in larger)).hexdigest()

shared = preload(settings)
for _ in range(2):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        print(computed(shared.engine), flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(computed(load(make_engine(settings, 0), settings.models).engine))
"""


def settings(**more: Any) -> Settings:
    return read_settings(**{"device": "cpu", "models": ("bicubic", "nearest"), **more})


def test_forked_children_compute_by_several_threads_what_one_computes_that_loaded_by_itself() -> None:
    program = [sys.executable, "-c", FORKED, ",".join(MODELS)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    first, second, alone = done.stdout.split()
    assert first == second == alone


LOADING = """
import gc, json, sys
from workers.preload import preload
from workers.settings import read_settings
loaded = preload(read_settings(**json.loads(sys.argv[1])))
assert "torch" in sys.modules and "workers.runner" in sys.modules
assert gc.get_freeze_count() > 0
print(json.dumps(loaded and list(loaded.seconds)))
"""


def loaded_with(**options: Any) -> Any:
    """The models that are loaded under such settings, in a process of its own."""
    program = [sys.executable, "-c", LOADING, json.dumps({"models": ["bicubic", "nearest"], **options})]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


def test_models_are_loaded_once_on_the_processor_and_by_each_child_where_a_gpu_is_asked_for() -> None:
    assert loaded_with(device="cpu") == ["nearest", "bicubic"]
    assert loaded_with(device="cuda:0") is None


def test_where_gpus_may_serve_no_model_is_loaded_before_the_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.preload.gc.freeze", lambda: None)
    monkeypatch.setattr(devices, "may_have_gpu", lambda: True)
    assert preload(settings(device="auto")) is None
    monkeypatch.setattr(devices, "may_have_gpu", lambda: False)
    loaded = preload(settings(device="auto"))
    assert loaded is not None and str(loaded.engine.device) == "cpu"


def refuse(*_: object) -> None:
    raise WeightsError("the weight file is missing")


def test_what_cannot_be_loaded_for_all_is_left_to_each_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child says what is wrong, and its successor tries again."""
    monkeypatch.setattr("workers.preload.gc.freeze", lambda: None)
    monkeypatch.setattr("models.weights.load", refuse)
    assert preload(settings(models=("lut3d",))) is None
